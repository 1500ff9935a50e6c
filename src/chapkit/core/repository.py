"""Rows of one table: find, count, save, delete."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, delete, exists, func, inspect, select
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.clauses import apply_filters, apply_query
from chapkit.core.errors import NotFoundError
from chapkit.core.ids import ULID
from chapkit.core.models import Base, Entity
from chapkit.core.plain import plain_table
from chapkit.core.query import Query
from chapkit.core.transactions import is_scoped

ModelT = TypeVar("ModelT", bound=Base)
T = TypeVar("T")
IdT = TypeVar("IdT")
_IDS_PER_STATEMENT = 500
_LOCKED = "locked_rows"


class Repository(ABC, Generic[T, IdT]):
    """What any store of entities can do; nothing but `commit` ends the transaction."""

    @abstractmethod
    async def save(self, entity: T) -> T:
        """Add the entity to the session."""

    @abstractmethod
    async def save_all(self, entities: Iterable[T]) -> Sequence[T]:
        """Add the entities to the session."""

    @abstractmethod
    async def commit(self) -> None:
        """Commit the transaction of the session."""

    @abstractmethod
    async def refresh_many(self, entities: Iterable[T]) -> None:
        """Read the entities again."""

    @abstractmethod
    async def delete(self, entity: T) -> None:
        """Delete the entity by the rules of its relationships."""

    @abstractmethod
    async def delete_by_id(self, id: IdT) -> None:
        """Delete the row, if there is one."""

    @abstractmethod
    async def delete_all(self) -> None:
        """Delete every row."""

    @abstractmethod
    async def delete_all_by_id(self, ids: Iterable[IdT]) -> None:
        """Delete the rows that exist."""

    @abstractmethod
    async def count(self) -> int:
        """Return the number of rows."""

    @abstractmethod
    async def exists_by_id(self, id: IdT) -> bool:
        """Tell whether there is such a row."""

    @abstractmethod
    async def find_all(self) -> Sequence[T]:
        """Return every entity, by id."""

    @abstractmethod
    async def find_all_paginated(self, offset: int, limit: int) -> Sequence[T]:
        """Return a window of the entities, by id."""

    @abstractmethod
    async def find_all_by_id(self, ids: Iterable[IdT]) -> Sequence[T]:
        """Return the entities that exist, by id."""

    @abstractmethod
    async def find_by_id(self, id: IdT) -> T | None:
        """Return the entity, or `None`."""


class BaseRepository(Repository[ModelT, ULID]):
    """A repository over one mapped class and one session."""

    def __init__(self, session: AsyncSession, model: type[ModelT]) -> None:
        self.session = session
        self.model = model

    @property
    def s(self) -> AsyncSession:
        """The session, by its name in the first release."""
        return self.session

    @property
    def dialect(self) -> str:
        """Name of the database in use: `sqlite` or `postgresql`."""
        return self.session.get_bind().dialect.name

    async def save(self, entity: ModelT) -> ModelT:
        """Add the entity to the session."""
        self.session.add(entity)
        return entity

    async def save_all(self, entities: Iterable[ModelT]) -> Sequence[ModelT]:
        """Add the entities to the session."""
        items = list(entities)
        self.session.add_all(items)
        return items

    async def insert(self, entity: ModelT) -> None:
        """Write a new entity now."""
        if not isinstance(entity, Entity) or not await plain_table(type(entity)).insert(self.session, entity):
            self.session.add(entity)
            await self.session.flush()

    async def update(self, entity: ModelT) -> None:
        """Write what was changed of an entity now."""
        if not isinstance(entity, Entity) or not await plain_table(type(entity)).update(self.session, entity):
            await self.session.flush()

    async def remove(self, entity: ModelT) -> None:
        """Delete the entity now, by the rules of its relationships."""
        if not isinstance(entity, Entity) or not await plain_table(type(entity)).delete(self.session, entity):
            await self.session.delete(entity)
            await self.session.flush()

    async def flush(self) -> None:
        """Send what is pending to the database."""
        await self.session.flush()

    async def commit(self) -> None:
        """Commit the transaction of the session."""
        await self.session.commit()

    async def refresh_many(self, entities: Iterable[ModelT]) -> None:
        """Read the entities again."""
        for entity in entities:
            await self.session.refresh(entity)

    async def delete(self, entity: ModelT) -> None:
        """Delete the entity by the rules of its relationships."""
        await self.session.delete(entity)

    async def delete_by_id(self, id: ULID) -> None:
        """Delete the row, if there is one."""
        await self.session.execute(delete(self.model).where(self._identity == id, *self._criteria()))

    async def delete_all(self) -> None:
        """Delete every row."""
        await self.session.execute(delete(self.model).where(*self._criteria()))

    async def delete_all_by_id(self, ids: Iterable[ULID]) -> None:
        """Delete the rows that exist."""
        for part in _parts(ids):
            await self.session.execute(delete(self.model).where(self._identity.in_(part), *self._criteria()))

    async def count(self, query: Query | None = None) -> int:
        """Return the number of rows that meet the filters of `query`."""
        statement = select(func.count()).select_from(self.model).where(*self._criteria())
        if query is not None:
            statement = apply_filters(statement, self.model, query.filters, self.dialect)
        return await self.session.scalar(statement) or 0

    async def exists_by_id(self, id: ULID) -> bool:
        """Tell whether there is such a row."""
        return bool(await self.session.scalar(select(exists().where(self._identity == id, *self._criteria()))))

    async def find_all(self) -> Sequence[ModelT]:
        """Return every entity, by id."""
        return await self.list(Query())

    async def find_all_paginated(self, offset: int, limit: int) -> Sequence[ModelT]:
        """Return a window of the entities, by id."""
        return await self.list(Query(offset=offset, limit=limit))

    async def find_all_by_id(self, ids: Iterable[ULID]) -> Sequence[ModelT]:
        """Return the entities that exist, by id."""
        found: list[ModelT] = []
        for part in _parts(sorted(ids)):
            statement = select(self.model).where(self._identity.in_(part), *self._criteria())
            found.extend(await self.session.scalars(statement.order_by(self._identity)))
        return found

    async def find_by_id(self, id: ULID) -> ModelT | None:
        """Return the entity, or `None`."""
        return self._owned(await self.session.get(self.model, id))

    async def find_for_update(self, id: ULID) -> ModelT | None:
        """Return the entity as it is stored now, locked until the transaction ends."""
        if self.session.new or self.session.dirty or self.session.deleted:
            # What is pending would be overwritten by what is stored.
            await self.session.flush()
        locked: dict[tuple[Any, ULID], ModelT | None] = self.session.info.setdefault(_LOCKED, {})
        entity = locked.get((self.model, id)) if is_scoped(self.session) else None
        if entity is None or entity not in self.session:
            entity = await self.session.get(self.model, id, with_for_update=True, populate_existing=True)
            # The transaction holds the row from here on, so nobody can change it.
            locked[(self.model, id)] = entity
        return self._owned(entity)

    async def get(self, id: ULID) -> ModelT:
        """Return the entity.

        Raises:
            NotFoundError: There is none with this id.
        """
        entity = await self.find_by_id(id)
        if entity is None:
            raise NotFoundError(f"Entity with id {id} not found")
        return entity

    async def list(self, query: Query) -> Sequence[ModelT]:
        """Return the entities that `query` asks for, by its order, then by id."""
        statement = apply_query(select(self.model).where(*self._criteria()), self.model, query, self.dialect)
        return (await self.session.scalars(statement)).all()

    def _criteria(self) -> tuple[ColumnElement[bool], ...]:
        """Return what every row of this repository meets; a subclass narrows the table with it."""
        return ()

    def _owned(self, entity: ModelT | None) -> ModelT | None:
        return entity

    @property
    def _identity(self) -> Any:
        return inspect(self.model).primary_key[0]


def _parts(ids: Iterable[ULID]) -> Iterable[list[ULID]]:
    items = list(ids)
    for start in range(0, len(items), _IDS_PER_STATEMENT):
        yield items[start : start + _IDS_PER_STATEMENT]
