"""Rows of configurations."""

from collections.abc import Sequence
from typing import Any, cast

from sqlalchemy import BigInteger, ColumnElement, Row, Select, Text, bindparam, func, select, type_coerce
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.config.models import DEFAULT_KIND, Config
from chapkit.core.clauses import apply_query
from chapkit.core.ids import ULID
from chapkit.core.query import Query
from chapkit.core.quick import Prepared, Rows
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

_kind = bindparam("kind", type_=Text)
_ONE = Prepared(
    cast("Select[Any]", select(*_RAW_COLUMNS).where(Config.id == bindparam("id", type_=Text), Config.kind == _kind))
)
_WINDOW = Prepared(
    cast(
        "Select[Any]",
        select(*_RAW_COLUMNS)
        .where(Config.kind == _kind, Config.id > bindparam("after", type_=Text))
        .order_by(Config.id)
        .limit(bindparam("limit", type_=BigInteger))
        .offset(bindparam("offset", type_=BigInteger)),
    )
)
_COUNT = Prepared(
    cast("Select[Any]", select(func.count()).select_from(Config).where(Config.kind == _kind)), remember=True
)
_NO_LIMIT = 2**62


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

    async def find_raw(self, id: ULID) -> Sequence[Any] | None:
        """Return the columns of the wire of one configuration, or `None`."""
        rows = await _ONE.fetch(self.session, id=id, kind=self.kind)
        return rows[0] if rows else None

    async def count(self, query: Query | None = None) -> int:
        """Return the number of configurations that meet the filters of `query`."""
        if query is None or not query.filters:
            return int((await _COUNT.fetch(self.session, kind=self.kind))[0][0])
        return await super().count(query)

    async def list_raw(self, query: Query) -> Rows:
        """Return the columns of the wire as they are stored."""
        if not query.filters and not query.sort:
            limit = _NO_LIMIT if query.limit is None else query.limit
            after = query.after or ""
            return await _WINDOW.fetch(self.session, kind=self.kind, after=after, limit=limit, offset=query.offset)
        columns = cast("Select[Any]", select(*_RAW_COLUMNS).where(*self._criteria()))
        rows: Sequence[Row[Any]] = (await self.session.execute(apply_query(columns, Config, query, self.dialect))).all()
        return rows

    def _criteria(self) -> tuple[ColumnElement[bool], ...]:
        return (Config.kind == self.kind,)

    def _owned(self, entity: Config | None) -> Config | None:
        return entity if entity is not None and entity.kind == self.kind else None
