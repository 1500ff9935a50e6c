import asyncio
from collections.abc import AsyncGenerator
from datetime import timedelta

import pytest
from sqlalchemy import make_url, text

from chapkit.core.database import Database
from chapkit.core.dedicated import DedicatedConnection
from chapkit.core.errors import UnavailableError
from chapkit.core.ids import ULID
from chapkit.job import owners
from chapkit.job.owners import AdvisoryLocks

pytestmark = pytest.mark.anyio


@pytest.fixture(params=["asyncpg", "psycopg"])
async def database(request: pytest.FixtureRequest, shared_postgres_url: str) -> AsyncGenerator[Database]:
    url = make_url(shared_postgres_url).set(drivername=f"postgresql+{request.param}")
    database = Database(url.render_as_string(hide_password=False))
    yield database
    await database.dispose()


async def _holders(database: Database) -> list[int]:
    async with database.engine.connect() as connection:
        holders = await connection.scalars(
            text(
                "SELECT pid FROM pg_locks JOIN pg_database ON pg_database.oid = pg_locks.database"
                " WHERE locktype = 'advisory' AND datname = current_database() AND granted"
            )
        )
        return list(holders)


async def _end(database: Database, pids: list[int]) -> None:
    async with database.engine.begin() as connection:
        for pid in pids:
            await connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    async with asyncio.timeout(10):
        while set(await _holders(database)) & set(pids):
            await asyncio.sleep(0.01)


async def test_a_lock_is_held_until_it_is_given_back(database: Database) -> None:
    locks = AdvisoryLocks(database)
    lock = await locks.acquire(ULID())
    assert await locks.is_free(lock) is False
    await locks.keep()
    assert len(await _holders(database)) == 1
    await locks.release()
    async with asyncio.timeout(10):
        while not await locks.is_free(lock):
            await asyncio.sleep(0.01)
    await locks.keep()
    assert await _holders(database) == []
    await locks.remove(lock)


async def test_locks_may_be_lost_that_a_server_which_started_just_now_does_not_know(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = AdvisoryLocks(database)
    monkeypatch.setattr(owners, "LEASE", timedelta(days=100_000))
    assert await locks.were_lost() is True
    monkeypatch.setattr(owners, "LEASE", timedelta())
    assert await locks.were_lost() is False


async def test_a_lost_lock_is_taken_again(database: Database) -> None:
    locks = AdvisoryLocks(database)
    lock = await locks.acquire(ULID())
    await _end(database, await _holders(database))
    assert await locks.is_free(lock) is True
    await locks.keep()
    assert await locks.is_free(lock) is False
    await locks.release()


async def test_a_lock_that_could_not_be_taken_again_at_first_is_taken_later(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    locks = AdvisoryLocks(database)
    lock = await locks.acquire(ULID())
    await _end(database, await _holders(database))

    async def refuse(database: Database) -> DedicatedConnection:
        raise UnavailableError("The database cannot be reached; try again", code="database-unreachable")

    with monkeypatch.context() as away:
        away.setattr(owners.DedicatedConnection, "open", refuse)
        for _ in range(2):
            with pytest.raises(UnavailableError):
                await locks.keep()
    await locks.keep()
    assert await locks.is_free(lock) is False
    await locks.release()


async def test_a_lock_that_the_server_takes_for_held_is_not_waited_for_forever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owners, "_PATIENCE", "20ms")
    owner = ULID()
    first, second = AdvisoryLocks(database), AdvisoryLocks(database)
    await first.acquire(owner)
    with pytest.raises(UnavailableError):
        await second.acquire(owner)
    await first.release()
    async with asyncio.timeout(10):
        while await _holders(database):
            await asyncio.sleep(0.01)
    await second.keep()
    assert len(await _holders(database)) == 1
    await second.release()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_server_that_is_not_there_cannot_be_reached(driver: str) -> None:
    database = Database(f"postgresql+{driver}://nobody@127.0.0.1:9/none")
    with pytest.raises(UnavailableError) as raised:
        await DedicatedConnection.open(database)
    assert raised.value.code == "database-unreachable"
    await database.dispose()


async def test_a_server_that_does_not_say_goodbye_is_left(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("chapkit.core.dedicated.PATIENCE", 0.01)
    connection = await DedicatedConnection.open(database)
    close = connection.driver.close

    class Hanging:
        async def close(self) -> None:
            await close()
            await asyncio.Event().wait()

    monkeypatch.setattr(connection, "driver", Hanging())
    async with asyncio.timeout(10):
        await connection.close()
