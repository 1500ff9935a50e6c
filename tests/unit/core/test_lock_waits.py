"""On PostgreSQL nobody waits for ever for what somebody else holds locked, but who has to migrate."""

import asyncio

import pytest
from sqlalchemy import make_url, text

from chapkit.core import lock_waits
from chapkit.core.database import Database
from chapkit.core.errors import DatabaseBusyError
from chapkit.core.migrate import _LOCK_NUMBER
from chapkit.core.services import Services
from chapkit.migrations import bundled_tables
from tests.things import Thing, open_database

pytestmark = pytest.mark.anyio
_SETTING = text("SELECT current_setting('lock_timeout')")


def _services(database: Database) -> Services:
    services = Services()
    services.add(Database, database)
    return services


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_every_connection_of_a_pool_has_a_limit(postgres_url: str, driver: str) -> None:
    url = make_url(postgres_url).set(drivername=f"postgresql+{driver}")
    database = open_database(url.render_as_string(hide_password=False))
    for _ in range(2):
        async with database.engine.connect() as connection:
            assert await connection.scalar(_SETTING) == lock_waits.LOCK_TIMEOUT
            # A rollback does not take it away.
            await connection.rollback()
            assert await connection.scalar(_SETTING) == lock_waits.LOCK_TIMEOUT
    await database.dispose()


async def test_a_limit_that_was_set_on_the_server_stays(postgres_url: str) -> None:
    database = open_database(postgres_url)
    async with database.engine.begin() as connection:
        await connection.execute(text(f'ALTER DATABASE "{make_url(postgres_url).database}" SET lock_timeout = 70000'))
    await database.dispose()
    async with database.engine.connect() as connection:
        assert await connection.scalar(_SETTING) == "70s"
    await database.dispose()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_who_waits_too_long_for_a_row_is_told_that_the_database_is_busy(
    postgres_url: str, driver: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_waits, "LOCK_TIMEOUT", "20ms")
    url = make_url(postgres_url).set(drivername=f"postgresql+{driver}")
    database = open_database(url.render_as_string(hide_password=False))
    await database.init()
    services = _services(database)
    async with services.scope.write() as scope:
        scope.session.add(Thing(name="one"))
    change = text("UPDATE test_things SET size = 1")
    async with services.scope.write() as holder:
        await holder.session.execute(change)
        with pytest.raises(DatabaseBusyError) as raised:
            async with services.scope.write() as scope:
                await scope.session.execute(change)
    assert raised.value.code == "database-busy"
    async with services.scope.write() as scope:
        await scope.session.execute(change)
    await database.dispose()


async def test_a_migration_waits_for_that_of_another_process_as_long_as_it_takes(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_waits, "LOCK_TIMEOUT", "20ms")
    database = open_database(postgres_url)
    async with database.engine.connect() as other:
        await other.execute(text("SELECT pg_advisory_lock(:number)"), {"number": _LOCK_NUMBER})
        migrating = asyncio.create_task(database.init(bundled_tables()))
        done, _ = await asyncio.wait({migrating}, timeout=0.2)
        assert not done
        await other.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": _LOCK_NUMBER})
    await migrating
    await database.dispose()
