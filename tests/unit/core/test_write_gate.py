"""Writers of SQLite that wait for a process which holds the file."""

import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from sqlalchemy import text

from chapkit.core.errors import ChapkitError, DatabaseBusyError
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase
from chapkit.core.transactions import WRITE_OPTION
from chapkit.task.loop_database import open_on_this_loop
from tests.things import ThingIn, ThingManager, services_over

pytestmark = pytest.mark.anyio

PATIENCE = 0.3
WRITERS = 60
"""One after the other they would wait for 18 seconds."""
LONG_BEFORE = 9.0


class Holder:
    """Somebody else who holds the write lock, as a process does that was stopped in the middle of a transaction."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, timeout=0, isolation_level=None)

    def hold(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def let_go(self) -> None:
        self._connection.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
async def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncGenerator[SqliteDatabase]:
    """Yield a database whose writers lose patience soon."""
    monkeypatch.setattr("chapkit.core.sqlite.PATIENCE", PATIENCE)
    database = SqliteDatabase(f"sqlite:///{tmp_path / 'a.db'}")
    await database.init()
    yield database
    await database.dispose()


@pytest.fixture
async def holder(database: SqliteDatabase) -> AsyncGenerator[Holder]:
    holder = Holder(database.path)
    yield holder
    holder.close()


async def _create(services: Services, name: str) -> None:
    async with services.scope.write() as scope:
        await scope.get(ThingManager).create(ThingIn(name=name))


async def _write(database: SqliteDatabase, name: str) -> None:
    async with database.writing() as connection:
        await connection.run("UPDATE test_things SET name = ?", (name,))


async def test_all_who_wait_for_a_process_that_does_not_move_are_refused_in_time(
    database: SqliteDatabase, holder: Holder
) -> None:
    services = services_over(database)
    holder.hold()
    writers = [_create(services, "session") for _ in range(10)]
    writers += [_write(database, "writing") for _ in range(WRITERS)]
    async with asyncio.timeout(LONG_BEFORE):
        answers = await asyncio.gather(*writers, return_exceptions=True)
    assert {type(answer) for answer in answers} == {DatabaseBusyError}
    holder.let_go()
    await _create(services, "later")


async def test_functions_on_a_loop_of_their_own_are_refused_in_time(database: SqliteDatabase, holder: Holder) -> None:
    holder.hold()
    async with open_on_this_loop(database) as copy:
        services = services_over(copy)
        async with asyncio.timeout(LONG_BEFORE):
            writers = [_create(services, "session") for _ in range(10)]
            writers += [_write(copy, "writing") for _ in range(WRITERS)]  # pyright: ignore[reportArgumentType]
            answers = await asyncio.gather(*writers, return_exceptions=True)
        assert {type(answer) for answer in answers} == {DatabaseBusyError}


async def test_who_has_waited_for_others_of_this_process_still_waits_for_another_process(
    database: SqliteDatabase, holder: Holder
) -> None:
    async with database.writing():
        waiting = asyncio.create_task(_write(database, "patient"))
        while not database._gate._lock._waiters:
            await asyncio.sleep(0)
        # Its time would be over if it were counted from here.
        await asyncio.sleep(2 * PATIENCE)
    # Nobody else has had its turn since, so the file is still free.
    holder.hold()
    asyncio.get_running_loop().call_later(PATIENCE / 3, holder.let_go)
    await waiting


async def test_writers_are_served_in_the_order_in_which_they_came(database: SqliteDatabase, holder: Holder) -> None:
    served: list[int] = []

    async def write(number: int) -> None:
        async with database.writing():
            served.append(number)

    holder.hold()
    writers = [asyncio.create_task(write(number)) for number in range(20)]
    await asyncio.sleep(0)
    holder.let_go()
    await asyncio.gather(*writers)
    assert served == list(range(20))


async def test_it_is_known_that_another_process_holds_the_file_until_somebody_can_write(
    database: SqliteDatabase, holder: Holder
) -> None:
    assert database.held_for is None
    holder.hold()
    with pytest.raises(DatabaseBusyError):
        await _write(database, "refused")
    assert database.held_for is not None
    assert database.held_for >= PATIENCE
    holder.let_go()
    await _write(database, "served")
    assert database.held_for is None


async def test_a_transaction_that_cannot_begin_for_another_reason_says_nothing_about_others(
    database: SqliteDatabase,
) -> None:
    await _write(database, "first")
    connection = database._writer._connection
    assert connection is not None
    await connection.run("BEGIN", ())
    with pytest.raises(ChapkitError) as caught:
        await _write(database, "second")
    assert caught.value.code == "database-error"
    assert database.held_for is None
    await _write(database, "third")


async def test_a_statement_outside_of_a_transaction_waits_for_another_process_too(
    database: SqliteDatabase, holder: Holder
) -> None:
    connection = await database._open_inline()
    holder.hold()
    asyncio.get_running_loop().call_later(PATIENCE / 3, holder.let_go)
    await connection.run("UPDATE test_things SET name = 'a'", ())
    with pytest.raises(sqlite3.OperationalError, match="syntax"):
        await connection.run("nonsense", ())
    await connection.close()


async def test_a_closed_connection_begins_nothing(database: SqliteDatabase) -> None:
    connection = await database._open_inline()
    await connection.close()
    with pytest.raises(ValueError, match="closed"):
        await connection.begin(0.0)


async def test_a_connection_may_write_in_several_transactions(database: SqliteDatabase) -> None:
    async with database.engine.connect() as plain, asyncio.timeout(LONG_BEFORE):
        connection = await plain.execution_options(**{WRITE_OPTION: True})
        for _ in range(2):
            await connection.execute(text("UPDATE test_things SET name = 'a'"))
            await connection.commit()
    async with asyncio.timeout(LONG_BEFORE):
        await _write(database, "b")
