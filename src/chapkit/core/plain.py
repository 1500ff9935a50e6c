"""Write rows of simple classes without a flush.

The unit of work of the ORM sorts dependencies, matches rows and reads defaults; for one row of a class without
relationships that takes ten times as long as SQLite takes to write it. The entity is known to the session
afterwards as if it had been flushed.
"""

from functools import cache, cached_property
from typing import Any, cast

from sqlalchemy import ClauseElement, Column, Table, bindparam, delete, insert, inspect, update
from sqlalchemy.dialects.sqlite.aiosqlite import dialect as sqlite_dialect
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapper, make_transient, make_transient_to_detached

from chapkit.core.direct import inline_connection, run
from chapkit.core.models import Entity


@cache
def plain_table(model: type[Entity]) -> "PlainTable":
    """Return what is known of a class; it is looked at once."""
    return PlainTable(model)


class PlainTable:
    """Writes entities of one class on SQLite."""

    def __init__(self, model: type[Entity]) -> None:
        self.mapper: Mapper[Any] = inspect(model)
        self._table = cast("Table", self.mapper.local_table)
        self._dialect = sqlite_dialect()
        self._updates: dict[frozenset[str], tuple[str, list[tuple[str, Any]]]] = {}

    @cached_property
    def is_plain(self) -> bool:
        """Tell whether a row stands for itself: no relationships, no inheritance, no values made by the database."""
        return (
            not self.mapper.relationships
            and self.mapper.inherits is None
            and self.mapper.polymorphic_on is None
            and self.mapper.version_id_col is None
            and len(self.mapper.tables) == 1
            and len(self.mapper.columns) == len(self._table.columns)
            and all(self._has_plain_default(column) for column in self._table.columns)
        )

    def _writes(self, session: AsyncSession) -> bool:
        """Tell whether a row may be written past the flush: nobody must be waiting to see one."""
        mapper, flush = self.mapper.dispatch, session.sync_session.dispatch
        # Listeners come and go, so they are asked for every time; the two that set the times are ours.
        ours = (mapper.before_insert, mapper.before_update)
        foreign = (
            *(mapper.after_insert, mapper.after_update, mapper.before_delete, mapper.after_delete),
            *(flush.before_flush, flush.after_flush, flush.after_flush_postexec),
        )
        watched = any(len(list(listeners)) > 1 for listeners in ours) or any(list(listeners) for listeners in foreign)
        return self.is_plain and not watched

    async def insert(self, session: AsyncSession, entity: Entity) -> bool:
        """Write a new entity; false where that has to be left to the session."""
        connection = await inline_connection(session) if self._writes(session) and _is_idle(session) else None
        if connection is None:
            return False
        self.mapper.dispatch.before_insert(self.mapper, None, inspect(entity))
        values = self._values(entity)
        if any(isinstance(value, ClauseElement) for value in values.values()):
            return False
        sql, binders = self._insert
        parameters = tuple(bind(values[name]) if bind else values[name] for name, bind in binders)
        await run(connection.run, sql, parameters)
        make_transient_to_detached(entity)
        session.add(entity)
        return True

    async def update(self, session: AsyncSession, entity: Entity) -> bool:
        """Write what was changed of an entity; false where that has to be left to the session."""
        alone = all(item is entity for item in session.dirty) and not session.new and not session.deleted
        connection = await inline_connection(session) if alone and self._writes(session) else None
        fields = set(inspect(entity).committed_state)
        if connection is None or not fields:
            return False
        for listener in self.mapper.dispatch.before_update:
            listener(self.mapper, None, inspect(entity))
        values = {name: getattr(entity, name) for name in fields | {"updated_at"}}
        if any(isinstance(value, ClauseElement) for value in values.values()):
            return False
        sql, binders = self._update(frozenset(values))
        parameters = (*(bind(values[name]) if bind else values[name] for name, bind in binders), entity.id)
        await run(connection.run, sql, parameters)
        # The session takes the present values for the stored ones again.
        session.expunge(entity)
        make_transient(entity)
        make_transient_to_detached(entity)
        session.add(entity)
        return True

    async def delete(self, session: AsyncSession, entity: Entity) -> bool:
        """Delete the row of an entity; false where that has to be left to the session."""
        connection = await inline_connection(session) if self._writes(session) and _is_idle(session) else None
        if connection is None:
            return False
        await run(connection.run, self._delete, (entity.id,))
        session.expunge(entity)
        return True

    @cached_property
    def _insert(self) -> tuple[str, list[tuple[str, Any]]]:
        compiled: Any = insert(self._table).compile(dialect=self._dialect)
        return str(compiled), [self._binders[name] for name in compiled.positiontup]

    def _update(self, fields: frozenset[str]) -> tuple[str, list[tuple[str, Any]]]:
        if fields not in self._updates:
            columns = [column for column in self._table.columns if self._key_of(column) in fields]
            statement = update(self._table).where(self._table.c.id == bindparam("where_id"))
            compiled: Any = statement.values({column.name: None for column in columns}).compile(dialect=self._dialect)
            order = [name for name in compiled.positiontup if name != "where_id"]
            binders = self._binders
            self._updates[fields] = str(compiled), [binders[name] for name in order]
        return self._updates[fields]

    @cached_property
    def _binders(self) -> dict[str, tuple[str, Any]]:
        return {
            column.name: (
                self._key_of(column),
                column.type.dialect_impl(self._dialect).bind_processor(self._dialect),
            )
            for column in self._table.columns
        }

    def _key_of(self, column: Any) -> str:
        return self.mapper.get_property_by_column(column).key

    @cached_property
    def _delete(self) -> str:
        return str(delete(self._table).where(self._table.c.id == "").compile(dialect=self._dialect))

    def _values(self, entity: Entity) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for column in self.mapper.columns:
            key = self._key_of(column)
            if key not in entity.__dict__:
                setattr(entity, key, _default(column))
            values[key] = entity.__dict__[key]
        return values

    def _has_plain_default(self, column: Column[Any]) -> bool:
        if column.onupdate is not None or column.server_onupdate is not None:
            return False
        default: Any = column.default
        if default is None:
            return column.server_default is None and column.computed is None and column.identity is None
        return bool(default.is_scalar or default.is_callable)


def _default(column: Any) -> Any:
    default = column.default
    if default is None:
        return None
    return default.arg if default.is_scalar else default.arg(None)


def _is_idle(session: AsyncSession) -> bool:
    # Something else is pending: only a flush knows what has to be written first.
    return not (session.new or session.dirty or session.deleted)
