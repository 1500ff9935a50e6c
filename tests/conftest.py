import asyncio
import logging
import os
import shutil
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import structlog
from sqlalchemy import URL, make_url

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.migrations import bundled_tables
from tests.things import filled_database, open_database
from tests.tracing import keep_main_greenlets

_SERVER = "CHAPKIT_TEST_POSTGRES"
_PATIENCE, _PAUSE = 100, 0.02
# A service that stops while asyncpg asks the server for TLS leaves a future behind whose error nobody hears of.
os.environ.setdefault("PGSSLMODE", "disable")
keep_main_greenlets()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """Yield the URL of an empty database that lives as long as one test."""
    with _postgres_database() as url:
        yield url


@pytest.fixture(scope="session")
def shared_postgres_url() -> Iterator[str]:
    """Yield the URL of a database that keeps its tables; who fills them empties them."""
    with _postgres_database() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgres"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database without any tables: once on SQLite, once on PostgreSQL."""
    return _url_for(request, "postgres_url", tmp_path)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database whose tables are there and empty: once on SQLite, once on PostgreSQL."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "service.db")
    return _url_for(request, "migrated_postgres_url", tmp_path)


@pytest.fixture
def migrated_postgres_url(postgres_template: URL) -> Iterator[str]:
    """Yield the URL of a database with empty tables that lives as long as one test."""
    with _postgres_database(f'TEMPLATE "{postgres_template.database}"') as url:
        yield url


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file with empty tables; making a copy takes less time than making tables."""
    path = tmp_path_factory.mktemp("template") / "service.db"
    asyncio.run(_migrate(f"sqlite+aiosqlite:///{path}"))
    return path


@pytest.fixture(scope="session")
def postgres_template() -> Iterator[URL]:
    """Yield the URL of a database with empty tables; making a copy takes less time than making tables."""
    with _postgres_database() as url:
        asyncio.run(_migrate(url))
        yield make_url(url)


@pytest.fixture(params=["sqlite", "postgres"])
def table_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Return the URL of a database whose tables are there already, perhaps those of other tests as well."""
    if request.param == "sqlite":
        shutil.copy(request.getfixturevalue("sqlite_template"), tmp_path / "service.db")
    return _url_for(request, "shared_postgres_url", tmp_path)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def module_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the URL of a database for all tests of a module, which leave its tables empty."""
    return _url_for(request, "shared_postgres_url", tmp_path_factory.mktemp("module"))


@pytest.fixture
async def database(table_url: str) -> AsyncGenerator[Database]:
    """Yield an open database with empty tables: once on SQLite, once on PostgreSQL."""
    async with filled_database(table_url) as database:
        yield database


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    # A service that a test starts writes to that test's standard output, which is gone afterwards.
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    yield
    root.handlers[:] = [handler for handler in root.handlers if handler in before or handler.name != "chapkit"]
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def _url_for(request: pytest.FixtureRequest, postgres: str, folder: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite+aiosqlite:///{folder / 'service.db'}"
    url: str = request.getfixturevalue(postgres)
    return url


@contextmanager
def _postgres_database(how: str = "") -> Generator[str]:
    if not (server := os.environ.get(_SERVER)):
        pytest.skip(f"{_SERVER} names no server")
    url = make_url(server)
    name = f"chapkit_test_{ULID().lower()}"
    asyncio.run(_execute(url, f'CREATE DATABASE "{name}" {how}'))
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        asyncio.run(_drop(url, name))


async def _migrate(url: str) -> None:
    database = open_database(url)
    await database.init(bundled_tables())
    await database.dispose()


async def _drop(server: URL, name: str) -> None:
    # Lazy: as below.
    import asyncpg

    connection = await asyncpg.connect(server.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        # A connection that is just being closed would take its violent end for an error.
        for _ in range(_PATIENCE):
            if not await connection.fetchval("SELECT count(*) FROM pg_stat_activity WHERE datname = $1", name):
                break
            await asyncio.sleep(_PAUSE)
        await connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
    finally:
        await connection.close()


async def _execute(server: URL, statement: str) -> None:
    # Lazy: most runs touch no server, and then the driver need not be there.
    import asyncpg

    connection = await asyncpg.connect(server.set(drivername="postgresql").render_as_string(hide_password=False))
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
