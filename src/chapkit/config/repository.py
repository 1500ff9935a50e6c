"""Rows of configurations."""

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import ColumnElement, Row, Select, Text, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.config.models import DEFAULT_KIND, Config
from chapkit.core.clauses import apply_query
from chapkit.core.query import Query
from chapkit.core.repository import BaseRepository

_RAW_COLUMNS = tuple(
    type_coerce(column, Text)
    for column in (
        Config.id,
        Config.created_at,
        Config.updated_at,
        Config.tags,
        Config.name,
        Config.document,
        Config.shape,
    )
)


class ConfigRepository(BaseRepository[Config]):
    """Finds configurations by name too."""

    def __init__(self, session: AsyncSession, kind: str = DEFAULT_KIND) -> None:
        super().__init__(session, Config)
        self.kind = kind

    async def find_by_name(self, name: str) -> Config | None:
        """Return the newest configuration of this name, or `None`."""
        found = await self.find_all_by_name(name, limit=1)
        return found[0] if found else None

    async def find_all_by_name(self, name: str, limit: int | None = None) -> Sequence[Config]:
        """Return the configurations of this name, the newest first."""
        statement = (
            select(Config)
            .where(Config.name == name, *self._criteria())
            .order_by(Config.created_at.desc(), Config.id.desc())
        )
        return (await self.session.scalars(statement.limit(limit))).all()

    async def list_raw(self, query: Query) -> Sequence[Row[Any]]:
        """Return the columns of the wire as they are stored."""
        columns = cast("Select[Any]", select(*_RAW_COLUMNS).where(*self._criteria()))
        rows: Sequence[Row[Any]] = (await self.session.execute(apply_query(columns, Config, query, self.dialect))).all()
        return rows

    def _criteria(self) -> tuple[ColumnElement[bool], ...]:
        return (Config.kind == self.kind,)

    def _owned(self, entity: Config | None) -> Config | None:
        return entity if entity is not None and entity.kind == self.kind else None
