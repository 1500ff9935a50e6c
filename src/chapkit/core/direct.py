"""Statements that write, compiled once and handed to the driver.

SQLAlchemy takes ten times as long to run a small statement as SQLite takes to carry it out. What runs several times
for each job goes past it, inside of the same transaction; on PostgreSQL, where the way to the server counts, the same
statement goes through the session.
"""

import sqlite3
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import Delete, Insert, Select, Update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.compiled import Compiled
from chapkit.core.inline import InlineConnection
from chapkit.core.transactions import begin_write

T = TypeVar("T")
_KNOWN = "inline_connection"
Statement: TypeAlias = Insert | Update | Delete | Select[*tuple[Any, ...]]
DirectSession: TypeAlias = AsyncSession | InlineConnection
"""What such a statement runs on."""
Row: TypeAlias = Mapping[Any, Any]


class Direct:
    """A statement whose parameters are named by `bindparam`, or the columns of an `insert`.

    Values of the returned rows are as they are stored: moments are text on SQLite.
    """

    def __init__(self, statement: Statement) -> None:
        self._statement = statement

    async def fetch(self, session: DirectSession, values: Mapping[str, Any]) -> Sequence[Row]:
        """Carry it out in the transaction of the session and return its rows."""
        inner = await _innermost(session)
        if isinstance(inner, AsyncSession):
            return (await inner.execute(self._statement, dict(values))).mappings().all()
        rows = await run(inner.fetch, self._compiled.sql, self._compiled.bind(values))
        return [dict(zip(self._names, row, strict=True)) for row in rows]

    async def first(self, session: DirectSession, values: Mapping[str, Any]) -> Row | None:
        """Carry it out and return its first row, or `None`."""
        rows = await self.fetch(session, values)
        return rows[0] if rows else None

    async def run(self, session: DirectSession, *values: Mapping[str, Any]) -> None:
        """Carry it out for each set of values; it returns nothing."""
        if not values:
            return
        inner = await _innermost(session)
        if isinstance(inner, AsyncSession):
            await inner.execute(self._statement, [dict(each) for each in values])
            return
        await run(inner.run_many, self._compiled.sql, [self._compiled.bind(each) for each in values])

    @cached_property
    def _names(self) -> list[Any]:
        return list(self._statement.exported_columns.keys())

    @cached_property
    def _compiled(self) -> Compiled:
        return Compiled(self._statement)


def is_on_sqlite(session: DirectSession) -> bool:
    """Tell which database it belongs to."""
    return isinstance(session, InlineConnection) or session.get_bind().dialect.name == "sqlite"


async def _innermost(session: DirectSession) -> DirectSession:
    return session if isinstance(session, InlineConnection) else await inline_connection(session) or session


async def inline_connection(session: AsyncSession) -> InlineConnection | None:
    """Return the driver of a session's transaction on SQLite, begun as a writer; `None` on PostgreSQL."""
    transaction = _present_transaction(session)
    known = session.info.get(_KNOWN)
    if transaction is not None and known is not None and known[0] is transaction:
        driver: InlineConnection | None = known[1]
        return driver
    if session.get_bind().dialect.name != "sqlite":
        return None
    await begin_write(session)
    connection: Any = (await session.connection()).sync_connection
    found = connection.connection.driver_connection
    driver = found if isinstance(found, InlineConnection) else None
    # Asking the session again would take longer than the statement.
    session.info[_KNOWN] = (_present_transaction(session), driver)
    return driver


def _present_transaction(session: AsyncSession) -> object:
    # A savepoint is only sent when the session itself is asked for its connection.
    sync = session.sync_session
    return sync.get_nested_transaction() or sync.get_transaction()


async def run(method: Callable[[str, Any], Awaitable[T]], sql: str, parameters: Any) -> T:
    """Call a method of an inline connection; its errors are those of SQLAlchemy."""
    try:
        return await method(sql, parameters)
    except sqlite3.IntegrityError as error:
        raise IntegrityError(sql, None, error, hide_parameters=True) from error
    except sqlite3.OperationalError as error:
        raise OperationalError(sql, None, error, hide_parameters=True) from error
