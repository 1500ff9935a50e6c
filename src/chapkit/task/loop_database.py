"""The database of a service, once more for another event loop.

Connections are bound to the loop that opened them. So functions of users, which run on a loop of their own, get a
database of the same class and for the same data, with an engine of its own.

On SQLite a session for such a function becomes a writer with its first statement that writes, not with its first
statement: the function may read and compute for an hour, and nobody has to wait. Until then each statement sees what is
committed at that moment, as on PostgreSQL.
"""

import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, Final, NamedTuple, cast
from urllib.parse import quote

from sqlalchemy import Connection, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util import await_only

from chapkit.core.database import Database
from chapkit.core.inline import InlineConnection
from chapkit.core.repository import _LOCKED as LOCKED_ROWS
from chapkit.core.sqlite import PATIENCE, SqliteDatabase
from chapkit.core.transactions import WRITE_OPTION
from chapkit.task.write_watch import WriteWatch, writes

_WATCH: Final = "chapkit_watch"
_BEGIN: Final = "BEGIN IMMEDIATE"


class LoopDatabase(Database):
    """What a database can do on another loop beside what it can do anyway."""

    def open_run_session(self, watch: WriteWatch) -> AsyncSession:
        """Return a session that becomes a writer when it first writes, of which `watch` is told."""
        bound: AsyncEngine = self.engine.execution_options(**{_WATCH: watch})
        # Used after the run, it would begin a transaction that nobody ends.
        session = self._session_factory(bind=bound, close_resets_only=False)
        # Unlike a unit of work of the library, a function may commit in between and go on.
        event.listen(session.sync_session, "after_transaction_end", _forget_locked_rows)
        return session


class _Late(NamedTuple):
    watch: WriteWatch
    become_writer: Callable[[], Awaitable[None]]


class _LateConnection(InlineConnection):
    """Begins a transaction before the first statement that writes."""

    late: _Late | None = None

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        late = self.late
        if late is not None and args and isinstance(args[0], str) and (late.watch.intends or writes(args[0])):
            await late.become_writer()
        return await super()._execute(fn, *args, **kwargs)


class _LoopSqlite(LoopDatabase, SqliteDatabase):
    is_private: bool = False

    def is_in_memory(self) -> bool:
        return self.is_private

    def _open_inline(self, *_arguments: Any, **_options: Any) -> InlineConnection:
        return _LateConnection(self._connect, PATIENCE)

    def _begin(self, connection: Connection) -> None:
        options = connection.get_execution_options()
        watch: WriteWatch | None = options.get(_WATCH)
        if watch is None:
            super()._begin(connection)
            return
        driver: Any = connection.connection.driver_connection
        info = connection.info
        driver.late = _Late(watch, lambda: self._become_writer(info, driver, watch))
        if options.get(WRITE_OPTION) or watch.intends:
            try:
                await_only(driver.late.become_writer())
            except sqlite3.Error as error:
                raise OperationalError(_BEGIN, None, error) from error

    async def _become_writer(self, info: dict[Any, Any], driver: _LateConnection, watch: WriteWatch) -> None:
        late, driver.late = driver.late, None
        try:
            await self._begin_writing(info, driver)
        except BaseException:
            self._open_gate(info)
            # Without it the next statement would be committed on its own.
            driver.late = late
            raise
        watch.begin()

    def _release(self, dbapi_connection: Any, record: Any) -> None:
        driver = getattr(dbapi_connection, "driver_connection", None)
        if driver is not None:
            driver.late = None
        super()._release(dbapi_connection, record)


@asynccontextmanager
async def open_on_this_loop(database: Database) -> AsyncGenerator[LoopDatabase]:
    """Open a database of the same class for the same data; nothing is connected before its first use."""
    copy = _copied(database)
    engine = copy.engine.sync_engine
    event.listen(engine, "before_cursor_execute", _note_statement)
    event.listen(engine, "commit", _note_end)
    event.listen(engine, "rollback", _note_end)
    try:
        yield copy
    finally:
        await copy.dispose()


def _copied(database: Database) -> LoopDatabase:
    own = type(database)
    extra = _LoopSqlite if isinstance(database, SqliteDatabase) else LoopDatabase
    bases = (extra,) if issubclass(extra, own) else (extra, own)
    made: Any = type(own.__name__, bases, {"__module__": own.__module__, "__doc__": own.__doc__})
    copy = made.__new__(made)
    # What a subclass of the user has added stays; everything that is bound to a loop is made anew.
    copy.__dict__.update({name: value for name, value in vars(database).items() if not _is_remembered(own, name)})
    options = _options_of(database)
    if isinstance(database, SqliteDatabase):
        path = quote(str(database.path), safe="/:")
        SqliteDatabase.__init__(copy, f"sqlite+aiosqlite:///{path}", durability=database.durability, **options)
        copy.url = database.url
        copy.is_private = database.is_in_memory()
    else:
        Database.__init__(copy, database.url, **options)
    return cast("LoopDatabase", copy)


def _is_remembered(kind: type[Any], name: str) -> bool:
    return any(isinstance(vars(each).get(name), cached_property) for each in kind.__mro__)


def _options_of(database: Database) -> dict[str, Any]:
    pool: Any = database.engine.pool
    options = {
        "pool_size": pool.size(),
        "max_overflow": pool._max_overflow,
        "pool_recycle": pool._recycle,
        "pool_pre_ping": pool._pre_ping,
    }
    return {
        **options,
        "echo": bool(database.engine.echo),
        "alembic_dir": database.alembic_dir,
        "auto_migrate": database.auto_migrate,
        "data_dir": database.data_dir,
    }


def _note_statement(
    connection: Connection, cursor: object, statement: str, parameters: object, context: Any, executemany: bool
) -> None:
    watch: WriteWatch | None = connection.get_execution_options().get(_WATCH)
    if watch is None:
        return
    if connection.dialect.name != "sqlite":
        if writes(statement):
            watch.begin()
    elif getattr(getattr(context.compiled, "statement", None), "_for_update_arg", None) is not None:
        # SQLite has no words for it.
        watch.intends = True


def _forget_locked_rows(session: Session, transaction: SessionTransaction) -> None:
    if transaction.parent is None:
        session.info.pop(LOCKED_ROWS, None)


def _note_end(connection: Connection) -> None:
    watch: WriteWatch | None = connection.get_execution_options().get(_WATCH)
    if watch is not None:
        watch.end()
