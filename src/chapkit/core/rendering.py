"""Entities as the bytes that stand on the wire."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar

from chapkit.core.ids import ULID
from chapkit.core.models import Entity
from chapkit.core.query import Query
from chapkit.core.schemas import EntityOut

ModelT = TypeVar("ModelT", bound=Entity)
OutSchemaT = TypeVar("OutSchemaT", bound=EntityOut)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class Rendering(Generic[ModelT, OutSchemaT]):
    """Serialises entities once; a manager whose rows hold JSON already overrides it."""

    def render(self, entity: ModelT) -> bytes:
        """Return the JSON of one entity."""
        schema = self._to_output_schema(entity)
        return bytes(schema.__pydantic_serializer__.to_json(schema))

    async def render_one(self, entity: ModelT) -> bytes:
        """Return the JSON of one entity with everything that belongs to it."""
        return self.render(entity)

    async def render_by_id(self, id: ULID) -> tuple[bytes, str] | None:
        """Return the JSON of the entity with this id and the tag of its state, or `None`."""
        entity = await self._find_entity(id)
        return None if entity is None else (await self.render_one(entity), self.etag(entity))

    async def render_list(self, query: Query) -> list[tuple[str, bytes]]:
        """Return the id and the JSON of each entity that `query` asks for."""
        return [(entity.id, self.render(entity)) for entity in await self._entities(query)]

    def etag(self, entity: ModelT) -> str:
        """Return the tag of the entity's present state."""
        return moment_etag(entity.updated_at)

    def _to_output_schema(self, entity: ModelT) -> OutSchemaT:
        raise NotImplementedError

    async def _find_entity(self, id: ULID) -> ModelT | None:
        raise NotImplementedError

    async def _entities(self, query: Query) -> Sequence[ModelT]:
        raise NotImplementedError


def moment_etag(moment: datetime) -> str:
    """Return the tag of a state that began at this moment."""
    # In whole numbers: as a float, neighbouring microseconds may come out the same.
    return f'"{(moment - _EPOCH) // _MICROSECOND:x}"'


def as_array(items: Sequence[bytes]) -> bytes:
    """Return a JSON array of what is JSON already."""
    return b"[" + b",".join(items) + b"]"


def as_page(items: Sequence[bytes], total: int, page: int, size: int) -> bytes:
    """Return the envelope of a page around what is JSON already."""
    tail: dict[str, Any] = {"total": total, "page": page, "size": size, "pages": -(-total // size)}
    return b'{"items":' + as_array(items) + b"," + ",".join(f'"{k}":{v}' for k, v in tail.items()).encode() + b"}"
