"""SQLite: write-ahead log, one writer at a time in fair order, statements in the caller."""

import sqlite3
import tempfile
import time
import weakref
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sqlalchemy import URL, Connection, Table, event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.util import await_only

from chapkit.core.checkpoint import Checkpointer
from chapkit.core.database import Database, parse_url
from chapkit.core.database_errors import translating
from chapkit.core.durability import Durability, LogSync, check_durability
from chapkit.core.errors import ConfigurationError
from chapkit.core.inline import InlineConnection
from chapkit.core.pool import FairPool
from chapkit.core.quick import Rows, offer_quick_reader
from chapkit.core.sqlite_writer import SqliteWriter
from chapkit.core.transactions import WRITE_OPTION
from chapkit.core.write_gate import WriteGate

PATIENCE = 30.0
"""Seconds to wait for another process's lock, counted from when a writer comes."""
_MINIMUM_VERSION = (3, 40)
_PRAGMAS = (
    "PRAGMA foreign_keys=ON",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",
    "PRAGMA temp_store=MEMORY",
    "PRAGMA cache_size=-64000",
    "PRAGMA mmap_size=134217728",
    "PRAGMA wal_autocheckpoint=10000",
)
_HOLDS_GATE = "chapkit_holds_gate"
_MOST_REMEMBERED = 100


def is_in_memory_url(url: str) -> bool:
    """Tell whether the URL names a database that ends with the process."""
    parsed = parse_url(url)
    database = parsed.database or ""
    return database in ("", ":memory:") or ":memory:" in database or parsed.query.get("mode") == "memory"


class Bystander(Protocol):
    """Is told when this process has the file to itself, and when no longer: what is committed between is its own."""

    def begun(self) -> None:
        """A transaction that writes has begun; nobody else can commit from now on."""
        ...

    def ended(self) -> None:
        """It was committed, or rolled back."""
        ...


class SqliteDatabase(Database):
    """A database in one file; `:memory:` is a private file that goes when the database is disposed."""

    def __init__(self, url: str, *, durability: str = "process", **options: Any) -> None:
        if sqlite3.sqlite_version_info < _MINIMUM_VERSION:
            raise ConfigurationError(
                f"SQLite {sqlite3.sqlite_version} is too old; 3.40 or newer is needed", code="sqlite-too-old"
            )
        parsed = parse_url(url)
        self._cleanup: Callable[[], object] | None = None
        if is_in_memory_url(url):
            folder = tempfile.TemporaryDirectory(prefix="chapkit-", ignore_cleanup_errors=True)
            self._cleanup = weakref.finalize(self, folder.cleanup)
            self.path = Path(folder.name) / "memory.db"
        else:
            self.path = Path(parsed.database or "").absolute()
        self._gate = WriteGate(PATIENCE)
        self.bystander: Bystander | None = None
        """Is told of every transaction that writes; see `Bystander`."""
        self._scans: AsyncEngine | None = None
        self._reader: sqlite3.Connection | None = None
        self._checkpointer = Checkpointer(self.path)
        self._writer = SqliteWriter(self._open_inline)
        self._counts: dict[tuple[str, tuple[Any, ...]], Rows] = {}
        self._version: Any = None
        self._echo = bool(options.get("echo", False))
        if options.get("data_dir") is None:
            options["data_dir"] = self.path.parent / f"{self.path.stem}.data"
        super().__init__(url, durability=durability, **options)
        # What ends with the process need not survive the power.
        self._durability: Durability = "process" if self.is_in_memory() else check_durability(durability)
        self._log_sync = LogSync(self.path)
        if self._durability == "power":
            sessions = type("SyncedSession", (Session,), {})
            self._log_sync.watch(sessions)
            self._session_factory.configure(sync_session_class=sessions)

    @property
    def durability(self) -> Durability:
        """What a commit survives: `process` or `power`."""
        return self._durability

    @property
    def held_for(self) -> float | None:
        """Seconds that the last writer has waited for another process in vain; `None` if it could write."""
        return self._gate.held_for

    async def init(self, tables: Iterable[Table] | None = None) -> None:
        """Bring the schema up to date; several processes may do so at once."""
        await super().init(tables)
        if self._durability == "power":
            await self._log_sync.wait()

    def is_in_memory(self) -> bool:
        """Tell whether the data end with the process."""
        return self._cleanup is not None

    def open_session(self, *, write: bool = False, scan: bool = False) -> AsyncSession:
        """Return a session that takes a connection when it is first used."""
        session = super().open_session(write=write, scan=scan)
        if not write:
            offer_quick_reader(session, self)
        return session

    def fetch(self, sql: str, parameters: tuple[Any, ...]) -> Rows:
        """Return what one statement reads, outside of any transaction."""
        if self._reader is None:
            self._reader = self._connect()
        return self._reader.execute(sql, parameters).fetchall()

    def fetch_remembered(self, sql: str, parameters: tuple[Any, ...]) -> Rows:
        """Return what `fetch` does; read again only after somebody, in whatever process, has committed."""
        version = self.fetch("PRAGMA data_version", ())
        if version != self._version or len(self._counts) >= _MOST_REMEMBERED:
            self._counts.clear()
            self._version = version
        key = (sql, parameters)
        if key not in self._counts:
            self._counts[key] = self.fetch(sql, parameters)
        return self._counts[key]

    @asynccontextmanager
    async def writing(self, *, durable: bool = True) -> AsyncGenerator[InlineConnection]:
        """Open a transaction for `Direct` statements; it takes a tenth of the time of a session."""
        with translating():
            async with self._gate as since:
                try:
                    async with self._writer.transaction(partial(self._gate.begin, since=since)) as connection:
                        self._begun()
                        yield connection
                finally:
                    self._ended()
            if durable and self._durability == "power":
                await self._log_sync.wait()

    async def close_session(self, session: AsyncSession) -> None:
        """Give the session's connection back, rolling back what is open."""
        if not self._is_scan(session):
            # Nothing here waits for anything, so there is nothing to shield from cancellation.
            await session.close()
        else:
            await super().close_session(session)

    async def dispose(self) -> None:
        """Close every connection; a private file goes with it."""
        await self._log_sync.close()
        await self._checkpointer.close()
        await self._writer.close()
        await super().dispose()
        if self._reader is not None:
            self._reader.close()
            self._reader = None
        if self._scans is not None:
            await self._scans.dispose()
        if self._cleanup is not None:
            self._cleanup()

    def _is_scan(self, session: AsyncSession) -> bool:
        return self._scans is not None and session.get_bind().engine.pool is self._scans.sync_engine.pool

    def _create_engine(self, url: URL, *, echo: bool, **pool: Any) -> AsyncEngine:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        pool.pop("pool_pre_ping", None)
        engine = create_async_engine(
            URL.create("sqlite+aiosqlite", database=str(self.path)),
            echo=echo,
            hide_parameters=True,
            poolclass=FairPool,
            pool_use_lifo=True,
            connect_args={"async_creator_fn": self._open_inline},
            **pool,
        )
        event.listen(engine.sync_engine, "begin", self._begin)
        event.listen(engine.sync_engine, "checkin", self._release)
        return engine

    def _scan_engine(self) -> AsyncEngine:
        if self._scans is None:
            self._scans = create_async_engine(
                URL.create("sqlite+aiosqlite", database=str(self.path)),
                echo=self._echo,
                hide_parameters=True,
                connect_args={"timeout": PATIENCE, "isolation_level": None},
            )
            event.listen(self._scans.sync_engine, "connect", _prepare_scans)
        return self._scans

    def _open_inline(self, *_arguments: Any, **_options: Any) -> InlineConnection:
        return InlineConnection(self._connect, PATIENCE)

    def _connect(self) -> sqlite3.Connection:
        # Waiting for a lock is done by the event loop, never by SQLite inside of it.
        connection = sqlite3.connect(
            self.path, timeout=0, isolation_level=None, check_same_thread=False, cached_statements=256
        )
        connection.execute(f"PRAGMA busy_timeout={int(PATIENCE * 1000)}")
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        connection.execute("PRAGMA busy_timeout=0")
        return connection

    def _begin(self, connection: Connection) -> None:
        driver: Any = connection.connection.driver_connection
        if not connection.get_execution_options().get(WRITE_OPTION):
            driver._conn.execute("BEGIN")
            return
        try:
            await_only(self._begin_writing(connection.info, driver))
            self._begun()
        except BaseException as error:
            self._open_gate(connection.info)
            if isinstance(error, sqlite3.Error):
                _raise_as_sqlalchemy(error)
            raise

    async def _begin_writing(self, info: dict[Any, Any], driver: InlineConnection) -> None:
        if info.get(_HOLDS_GATE):
            # The connection was not given back after the transaction before.
            since = time.monotonic()
        else:
            since = await self._gate.acquire()
        # From here on `_open_gate` has to follow, whatever happens.
        info[_HOLDS_GATE] = True
        await self._gate.begin(driver, since)

    def _release(self, dbapi_connection: Any, record: Any) -> None:
        self._open_gate(record.info)

    def _open_gate(self, info: dict[Any, Any]) -> None:
        if info.pop(_HOLDS_GATE, False):
            self._gate.release()
            self._ended()

    def _begun(self) -> None:
        if self.bystander is not None:
            self.bystander.begun()

    def _ended(self) -> None:
        if self.bystander is not None:
            self.bystander.ended()
        self._checkpointer.count()


def _prepare_scans(dbapi_connection: Any, record: Any) -> None:
    cursor = dbapi_connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _raise_as_sqlalchemy(error: sqlite3.Error) -> None:
    raise OperationalError("BEGIN IMMEDIATE", None, error) from error
