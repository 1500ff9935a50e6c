"""Entities in terms of schemas: create, replace, patch, save, delete, find."""

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.errors import ConflictError, NotFoundError
from chapkit.core.events import EntityDeleted, EntityDeleting, EntitySaved, Event
from chapkit.core.faults import reach
from chapkit.core.hooks import LifecycleHooks
from chapkit.core.ids import ULID
from chapkit.core.manager_port import Manager
from chapkit.core.merge import merge_patch
from chapkit.core.models import Entity
from chapkit.core.query import Query
from chapkit.core.rendering import Rendering
from chapkit.core.repository import BaseRepository
from chapkit.core.schemas import EntityIn, EntityOut
from chapkit.core.transactions import begin_write, emit, is_scoped, require_writer

ModelT = TypeVar("ModelT", bound=Entity)
InSchemaT = TypeVar("InSchemaT", bound=EntityIn)
OutSchemaT = TypeVar("OutSchemaT", bound=EntityOut)


class BaseManager(
    LifecycleHooks[ModelT, InSchemaT],
    Rendering[ModelT, OutSchemaT],
    Manager[InSchemaT, OutSchemaT, ULID],
    Generic[ModelT, InSchemaT, OutSchemaT],
):
    """A manager over one repository.

    Inside of a scope the scope commits. On a session of `database.session()` every operation
    commits by itself, so that a script loses nothing.
    """

    def __init__(self, repo: BaseRepository[ModelT], model_cls: type[ModelT], out_schema_cls: type[OutSchemaT]) -> None:
        self.repository = repo
        self.model_cls = model_cls
        self.out_schema_cls = out_schema_cls

    @property
    def repo(self) -> BaseRepository[ModelT]:
        """The repository, by its name in the first release."""
        return self.repository

    @property
    def session(self) -> AsyncSession:
        """The session that the repository works on."""
        return self.repository.session

    async def create(self, data: InSchemaT) -> OutSchemaT:
        """Write a new entity.

        Raises:
            ConflictError: The id is taken (`id-exists`).
        """
        return self._to_output_schema(await self.create_entity(data))

    async def replace(self, id: ULID, data: InSchemaT) -> OutSchemaT:
        """Write the fields that were set in `data`; an explicit null is written.

        Raises:
            NotFoundError: There is no such entity.
        """
        return self._to_output_schema(await self.replace_entity(id, data))

    async def patch(self, id: ULID, changes: Mapping[str, Any], schema: type[InSchemaT]) -> OutSchemaT:
        """Merge `changes` into the entity's document; null removes a member, so its default returns.

        Raises:
            NotFoundError: There is no such entity.
        """
        return self._to_output_schema(await self.patch_entity(id, changes, schema))

    async def save(self, data: InSchemaT) -> OutSchemaT:
        """Create the entity, or change the one that has its id; for programs, not for HTTP."""
        return self._to_output_schema(await self._save_entity(data))

    async def save_all(self, items: Iterable[InSchemaT]) -> list[OutSchemaT]:
        """Save every item, or none."""
        async with self.unit_of_work():
            return [self._to_output_schema(await self._save_entity(item)) for item in items]

    async def create_entity(self, data: InSchemaT) -> ModelT:
        """Write a new entity and return its row."""
        async with self.unit_of_work():
            if data.id is not None and await self.repository.exists_by_id(data.id):
                raise ConflictError(f"There is already an entity with id {data.id}", code="id-exists", field="id")
            entity = self.model_cls(**self._values(data, set(type(data).model_fields) - {"id"}))
            if data.id is not None:
                entity.id = data.id
            await self.pre_save(entity, data)
            await self.repository.insert(entity)
            reach("entity.inserted")
            await self.post_save(entity)
            await self._emit(EntitySaved(entity, created=True))
        return entity

    async def replace_entity(self, id: ULID, data: InSchemaT, fields: set[str] | None = None) -> ModelT:
        """Write the set fields of `data`, or those in `fields`, and return the row."""
        async with self.unit_of_work():
            entity = await self.get_entity_for_update(id)
            chosen = (data.model_fields_set if fields is None else fields) - {"id"}
            values = {
                name: value
                for name, value in self._values(data, chosen).items()
                if self._should_assign_field(name, value) and hasattr(entity, name)
            }
            old = {name: getattr(entity, name) for name in values}
            for name, value in values.items():
                setattr(entity, name, value)
            await self.pre_update(entity, data, old)
            changes = {
                name: (before, getattr(entity, name))
                for name, before in old.items()
                if not _same(before, getattr(entity, name))
            }
            await self.repository.update(entity)
            reach("entity.updated")
            await self.post_update(entity, changes)
            await self._emit(EntitySaved(entity, created=False, changes=changes))
        return entity

    async def patch_entity(self, id: ULID, changes: Mapping[str, Any], schema: type[InSchemaT]) -> ModelT:
        """Merge `changes` into the entity's document and return the row."""
        async with self.unit_of_work():
            entity = await self.get_entity_for_update(id)
            current = self._document(entity)
            document = {name: value for name, value in current.items() if name in schema.model_fields}
            data = schema.model_validate(merge_patch(document, changes))
            return await self.replace_entity(id, data, set(changes) & set(schema.model_fields))

    async def delete_by_id(self, id: ULID, *, cascade: bool | None = None) -> None:
        """Delete the entity, if there is one; `cascade` says what becomes of what hangs on it."""
        async with self.unit_of_work():
            entity = await self.repository.find_for_update(id)
            if entity is not None:
                await self.delete_entity(entity, cascade=cascade)

    async def delete_entity(self, entity: ModelT, *, cascade: bool | None = None) -> None:
        """Delete the row, with its hooks and its events."""
        async with self.unit_of_work():
            await self._emit(EntityDeleting(entity, cascade))
            await self.pre_delete(entity)
            await self.repository.remove(entity)
            reach("entity.removed")
            await self.post_delete(entity)
            await self._emit(EntityDeleted(entity))

    async def delete_all(self) -> None:
        """Delete every entity."""
        async with self.unit_of_work():
            for entity in await self.repository.find_all():
                await self.delete_entity(entity)

    async def delete_all_by_id(self, ids: Iterable[ULID]) -> None:
        """Delete the entities that exist."""
        async with self.unit_of_work():
            for entity in await self.repository.find_all_by_id(ids):
                await self.delete_entity(entity)

    async def count(self, query: Query | None = None) -> int:
        """Return the number of entities that meet the filters of `query`."""
        async with self._reading():
            return await self.repository.count(query)

    async def exists_by_id(self, id: ULID) -> bool:
        """Tell whether there is such an entity."""
        async with self._reading():
            return await self.repository.exists_by_id(id)

    async def find_by_id(self, id: ULID) -> OutSchemaT | None:
        """Return the entity, or `None`."""
        async with self._reading():
            entity = await self.repository.find_by_id(id)
        return None if entity is None else self._to_output_schema(entity)

    async def get(self, id: ULID) -> OutSchemaT:
        """Return the entity.

        Raises:
            NotFoundError: There is none with this id.
        """
        async with self._reading():
            return self._to_output_schema(await self.repository.get(id))

    async def find_all(self) -> list[OutSchemaT]:
        """Return every entity, by id."""
        return list(await self.list(Query()))

    async def find_paginated(self, page: int, size: int) -> tuple[list[OutSchemaT], int]:
        """Return a page, counted from 1, and the number of all entities."""
        if page < 1 or size < 1:
            raise ValueError(f"page and size count from 1; found page={page}, size={size}")
        return list(await self.list(Query(offset=(page - 1) * size, limit=size))), await self.count()

    async def find_all_by_id(self, ids: Iterable[ULID]) -> list[OutSchemaT]:
        """Return the entities that exist, by id."""
        async with self._reading():
            return list(self._to_output_schemas(await self.repository.find_all_by_id(ids)))

    async def list(self, query: Query) -> Sequence[OutSchemaT]:
        """Return the entities that `query` asks for."""
        async with self._reading():
            return self._to_output_schemas(await self.repository.list(query))

    async def get_entity_for_update(self, id: ULID) -> ModelT:
        """Return the row as it is now, locked until the transaction ends."""
        entity = await self.repository.find_for_update(id)
        if entity is None:
            raise NotFoundError(f"Entity with id {id} not found")
        return entity

    @asynccontextmanager
    async def unit_of_work(self) -> AsyncGenerator[None]:
        """Make what happens inside one transaction, also when no scope is there to commit it."""
        session = self.session
        require_writer(session)
        if is_scoped(session) or session.info.get("unit_of_work"):
            yield
            return
        session.info["unit_of_work"] = True
        try:
            await begin_write(session)
            yield
            await session.commit()
        except BaseException:
            await session.rollback()
            raise
        finally:
            del session.info["unit_of_work"]

    @asynccontextmanager
    async def _reading(self) -> AsyncGenerator[None]:
        session = self.session
        free = not session.in_transaction() and not is_scoped(session)
        yield
        if free and session.in_transaction():
            await session.commit()

    def _values(self, data: InSchemaT, fields: set[str]) -> dict[str, Any]:
        return data.model_dump(include=fields)

    def _document(self, entity: ModelT) -> dict[str, Any]:
        """What a patch is merged into, as plain JSON values."""
        return self._to_output_schema(entity).model_dump(mode="json")

    def _to_output_schema(self, entity: ModelT) -> OutSchemaT:
        return self.out_schema_cls.model_validate(entity, from_attributes=True)

    async def _find_entity(self, id: ULID) -> ModelT | None:
        return await self.repository.find_by_id(id)

    async def _entities(self, query: Query) -> Sequence[ModelT]:
        return await self.repository.list(query)

    def _to_output_schemas(self, entities: Sequence[ModelT]) -> Sequence[OutSchemaT]:
        return [self._to_output_schema(entity) for entity in entities]

    async def _save_entity(self, data: InSchemaT) -> ModelT:
        async with self.unit_of_work():
            if data.id is not None and await self.repository.exists_by_id(data.id):
                return await self.replace_entity(data.id, data)
            return await self.create_entity(data)

    async def _emit(self, event: Event) -> None:
        await emit(self.session, event)


def _same(before: Any, after: Any) -> bool:
    try:
        return bool(before == after)
    except (TypeError, ValueError):
        # Frames and arrays do not compare to one truth value.
        return before is after
