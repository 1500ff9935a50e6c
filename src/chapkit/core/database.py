"""A database: its engine, its sessions, its tables."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Table, event, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

from chapkit._extras import requires_extra
from chapkit.core.connecting import connect
from chapkit.core.database_errors import translate, translating
from chapkit.core.direct import DirectSession
from chapkit.core.durability import Durability, check_durability
from chapkit.core.errors import ConfigurationError, StorageFullError, UnavailableError
from chapkit.core.faults import reach
from chapkit.core.keepalive import keep_alive
from chapkit.core.lock_waits import limit_waits
from chapkit.core.lost_connections import notice_end
from chapkit.core.migrate import Migration
from chapkit.core.pool import FairPool
from chapkit.core.poolers import require_own_session
from chapkit.core.transactions import WRITE_OPTION

_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_ASYNC_DRIVERS = {
    "sqlite+aiosqlite": ("aiosqlite", None),
    "postgresql+asyncpg": ("asyncpg", "postgres"),
    "postgresql+psycopg": ("psycopg", "psycopg"),
}


def parse_url(url: str) -> URL:
    """Return the URL with its asynchronous driver.

    Raises:
        ConfigurationError: It is no URL of SQLite or PostgreSQL (`database-url-invalid`).
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise _url_error(url) from error
    parsed = parsed.set(drivername=_DRIVERS.get(parsed.drivername, parsed.drivername))
    if parsed.drivername not in _ASYNC_DRIVERS:
        raise _url_error(url)
    module, extra = _ASYNC_DRIVERS[parsed.drivername]
    if extra is not None:
        requires_extra(module, extra)
    return parsed


def _url_error(url: str) -> ConfigurationError:
    scheme = url.partition("://")[0] if "://" in url else url[:40]
    return ConfigurationError(
        f"{scheme!r} is no database URL that chapkit knows; write sqlite+aiosqlite:///path/to/file.db, "
        "sqlite+aiosqlite:///:memory: or postgresql+asyncpg://user@host/name",
        code="database-url-invalid",
        found=scheme,
        expected=sorted(_ASYNC_DRIVERS),
    )


class Database:
    """An engine and its sessions; SQLite has a class of its own."""

    def __init__(
        self,
        url: str,
        *,
        echo: bool = False,
        alembic_dir: Path | None = None,
        auto_migrate: bool = True,
        pool_size: int = 5,
        max_overflow: int = 10,
        pool_recycle: int = 3600,
        pool_pre_ping: bool = True,
        data_dir: Path | str | None = None,
        durability: str = "process",
    ) -> None:
        check_durability(durability)
        self.url = url
        self.alembic_dir = alembic_dir
        self.auto_migrate = auto_migrate
        self.data_dir = Path(data_dir) if data_dir is not None else Path("data")
        self.engine = self._create_engine(
            parse_url(url),
            echo=echo,
            pool_size=pool_size,
            max_overflow=max_overflow,
            pool_recycle=pool_recycle,
            pool_pre_ping=pool_pre_ping,
        )
        self._session_factory = async_sessionmaker(self.engine, expire_on_commit=False)

    @property
    def dialect(self) -> str:
        """Name of the database in use: `sqlite` or `postgresql`."""
        return self.engine.dialect.name

    @property
    def durability(self) -> Durability:
        """What a commit survives; a server decides that by itself."""
        return "server"

    async def init(self, tables: Iterable[Table] | None = None) -> None:
        """Bring the schema up to date; several processes may do so at once.

        Args:
            tables: The user's tables to create where they are missing; all that are mapped, if not given.

        Raises:
            UnavailableError: The database cannot be reached, or not be written to.
            StorageFullError: There is no room for it.
            ConfigurationError: A pooler gives each transaction another session (`database-pooler-unsuitable`).
        """
        try:
            if self.dialect == "postgresql":
                await require_own_session(self.engine.url)
            await Migration(self.engine, self.alembic_dir, self.auto_migrate).run(tables)
        except SQLAlchemyError as error:
            explained = translate(error)
            if isinstance(explained, UnavailableError | StorageFullError):
                raise explained from error
            raise

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[AsyncSession]:
        """Open a session for a script; nothing is committed unless somebody does it."""
        session = self.open_session()
        try:
            yield session
        finally:
            await self.close_session(session)

    def open_session(self, *, write: bool = False, scan: bool = False) -> AsyncSession:
        """Return a session that takes a connection when it is first used.

        Args:
            write: Begin as a writer.
            scan: Use a connection on which long reads do not hold up the event loop.
        """
        if write:
            return self._session_factory(bind=self._write_engine)
        engine = self._scan_engine() if scan else self.engine
        return self._session_factory() if engine is self.engine else self._session_factory(bind=engine)

    @cached_property
    def _write_engine(self) -> AsyncEngine:
        engine: AsyncEngine = self.engine.execution_options(**{WRITE_OPTION: True})
        return engine

    @asynccontextmanager
    async def writing(self, *, durable: bool = True) -> AsyncGenerator[DirectSession]:
        """Open a transaction for `Direct` statements alone, committed at the end of the block.

        Args:
            durable: Wait for the disk, where the database promises to survive a power cut.
        """
        session = self.open_session(write=True)
        with translating():
            try:
                yield session
                reach("scope.before-commit")
                await session.commit()
                reach("scope.after-commit")
            finally:
                await self.close_session(session)

    async def close_session(self, session: AsyncSession) -> None:
        """Give the session's connection back, rolling back what is open."""
        # The context manager shields the closing from cancellation.
        async with session:
            pass

    async def dispose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()

    def is_in_memory(self) -> bool:
        """Tell whether the data end with the process."""
        return False

    def _scan_engine(self) -> AsyncEngine:
        return self.engine

    def _create_engine(self, url: URL, *, echo: bool, **pool: Any) -> AsyncEngine:
        try:
            engine = create_async_engine(url, echo=echo, hide_parameters=True, poolclass=FairPool, **pool)
        except NoSuchModuleError as error:
            raise _url_error(self.url) from error
        event.listen(engine.sync_engine, "do_connect", connect)
        event.listen(engine.sync_engine, "connect", limit_waits)
        event.listen(engine.sync_engine, "connect", keep_alive)
        event.listen(engine.sync_engine, "handle_error", notice_end)
        return engine
