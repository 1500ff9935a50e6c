import asyncio
import gc
import os
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from urllib.parse import quote

import pytest
from sqlalchemy import inspect, text
from sqlalchemy.exc import InvalidRequestError

from chapkit.core.database import Database, parse_url
from chapkit.core.errors import ConfigurationError, DatabaseBusyError, MissingExtraError, UnavailableError
from chapkit.core.migrate import Migration
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase
from chapkit.core.sqlite_builder import SqliteDatabaseBuilder
from tests.things import Thing, ThingIn, ThingManager, services_over

pytestmark = pytest.mark.anyio
MEMORY = "sqlite+aiosqlite:///:memory:"

HOLD_THE_LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("ROLLBACK")
print("released", flush=True)
"""


@pytest.fixture
async def memory() -> AsyncGenerator[SqliteDatabase]:
    database = SqliteDatabase(MEMORY)
    await database.init()
    yield database
    await database.dispose()


async def _create(services: Services, name: str) -> None:
    async with services.scope.write() as scope:
        await scope.get(ThingManager).create(ThingIn(name=name))


async def _names(services: Services) -> list[str]:
    async with services.scope.read() as scope:
        return sorted(thing.name for thing in await scope.get(ThingManager).find_all())


async def _table_names(database: Database) -> set[str]:
    async with database.engine.connect() as connection:
        return set(await connection.run_sync(lambda sync: inspect(sync).get_table_names()))


class OtherProcess:
    """Another process that holds the write lock until it is told to let go."""

    def __init__(self, path: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", HOLD_THE_LOCK, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "held\n"

    def release(self) -> None:
        if self._process.returncode is None:
            self._process.communicate("go\n")


@pytest.fixture
async def other_process(memory: SqliteDatabase) -> AsyncGenerator[OtherProcess]:
    process = OtherProcess(memory.path)
    yield process
    process.release()


async def test_a_memory_database_is_a_private_file_that_goes_with_it() -> None:
    database = SqliteDatabase(MEMORY)
    await database.init()
    folder = database.path.parent
    assert database.is_in_memory()
    assert database.path.exists()
    assert folder.stat().st_mode & 0o077 == 0
    assert database.data_dir.parent == folder
    await database.dispose()
    assert not folder.exists()


async def test_the_file_of_a_forgotten_memory_database_goes_too() -> None:
    database = SqliteDatabase(MEMORY)
    folder = database.path.parent
    del database
    gc.collect()
    assert not folder.exists()


@pytest.mark.parametrize(
    "url", [MEMORY, "sqlite://", "sqlite+aiosqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true"]
)
async def test_every_spelling_of_memory_is_private(url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    database = SqliteDatabase(url)
    await database.init()
    assert database.is_in_memory()
    await database.dispose()
    assert list(tmp_path.iterdir()) == []


async def test_two_memory_databases_do_not_see_each_other(memory: SqliteDatabase) -> None:
    other = SqliteDatabase(MEMORY)
    await other.init()
    await _create(services_over(memory), "a")
    assert await _names(services_over(memory)) == ["a"]
    assert await _names(services_over(other)) == []
    await other.dispose()


async def test_many_writers_at_once_all_succeed(database: Database) -> None:
    services = services_over(database)

    async def write_many(writer: int) -> None:
        for number in range(5):
            async with services.scope.write() as scope:
                await scope.get(ThingManager).create(ThingIn(name=f"{writer}-{number}"))
                await asyncio.sleep(0)

    await asyncio.gather(*(write_many(writer) for writer in range(16)))
    assert len(await _names(services)) == 80


async def test_writers_take_turns_in_the_order_of_their_coming(memory: SqliteDatabase) -> None:
    services = services_over(memory)
    await asyncio.gather(*(_create(services, f"{number:02}") for number in range(12)))
    async with services.scope.read() as scope:
        names = [thing.name for thing in await scope.get(ThingManager).find_all()]
    assert names == sorted(names)


async def test_no_change_is_lost_between_writers(database: Database) -> None:
    services = services_over(database)
    async with services.scope.write() as scope:
        made = await scope.get(ThingManager).create(ThingIn(name="counter", size=0))

    async def count() -> None:
        async with services.scope.write() as scope:
            row = await scope.get(ThingManager).get_entity_for_update(made.id)
            await asyncio.sleep(0)
            row.size = (row.size or 0) + 1

    await asyncio.gather(*(count() for _ in range(20)))
    async with services.scope.read() as scope:
        assert (await scope.get(ThingManager).get(made.id)).size == 20


async def test_readers_go_on_while_somebody_writes(memory: SqliteDatabase) -> None:
    services = services_over(memory)
    await _create(services, "before")
    async with services.scope.write() as scope:
        await scope.get(ThingManager).create(ThingIn(name="during"))
        assert await asyncio.wait_for(_names(services), 5) == ["before"]
    assert await _names(services) == ["before", "during"]


async def test_a_reader_keeps_its_view_of_the_data(memory: SqliteDatabase) -> None:
    services = services_over(memory)
    async with services.scope.read() as scope:
        assert await scope.get(ThingManager).count() == 0
        await _create(services, "a")
        assert await scope.get(ThingManager).count() == 0
    assert await _names(services) == ["a"]


async def test_waiting_for_another_process_does_not_hold_up_the_event_loop(
    memory: SqliteDatabase, other_process: OtherProcess
) -> None:
    services = services_over(memory)
    writer = asyncio.create_task(_create(services, "a"))
    turns = 0
    deadline = time.monotonic() + 0.3
    while time.monotonic() < deadline:
        await asyncio.sleep(0.001)
        turns += 1
    # A loop that SQLite itself made wait would have come round once.
    assert not writer.done()
    assert turns > 10
    await asyncio.to_thread(other_process.release)
    await asyncio.wait_for(writer, 10)
    assert await _names(services) == ["a"]


async def test_a_writer_that_waited_too_long_is_told_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("chapkit.core.sqlite.PATIENCE", 0.05)
    database = SqliteDatabase(f"sqlite:///{tmp_path / 'a.db'}")
    await database.init()
    services = services_over(database)
    process = OtherProcess(database.path)
    with pytest.raises(DatabaseBusyError) as raised:
        await _create(services, "a")
    assert raised.value.code == "database-busy"
    process.release()
    await _create(services, "b")
    assert await _names(services) == ["b"]
    await database.dispose()


async def test_a_cancelled_waiter_does_not_keep_the_gate(memory: SqliteDatabase) -> None:
    services = services_over(memory)
    async with services.scope.write() as scope:
        await scope.get(ThingManager).create(ThingIn(name="first"))
        waiter = asyncio.create_task(_create(services, "cancelled"))
        for _ in range(5):
            await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
    await asyncio.wait_for(_create(services, "last"), 5)
    assert await _names(services) == ["first", "last"]


async def test_a_cancelled_writer_frees_the_gate_and_leaves_nothing(memory: SqliteDatabase) -> None:
    services = services_over(memory)
    inside = asyncio.Event()

    async def write_and_hang() -> None:
        async with services.scope.write() as scope:
            await scope.get(ThingManager).create(ThingIn(name="cancelled"))
            inside.set()
            await asyncio.Event().wait()

    writer = asyncio.create_task(write_and_hang())
    await asyncio.wait_for(inside.wait(), 5)
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    await asyncio.wait_for(_create(services, "last"), 5)
    assert await _names(services) == ["last"]


async def test_a_writer_cancelled_while_another_process_holds_the_lock_frees_the_gate(
    memory: SqliteDatabase, other_process: OtherProcess
) -> None:
    services = services_over(memory)
    writer = asyncio.create_task(_create(services, "cancelled"))
    await asyncio.sleep(0.01)
    writer.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writer
    await asyncio.to_thread(other_process.release)
    await asyncio.wait_for(_create(services, "last"), 5)
    assert await _names(services) == ["last"]


async def test_a_scan_reads_what_is_stored_and_leaves_the_loop_free(memory: SqliteDatabase) -> None:
    services = services_over(memory)
    await _create(services, "a")
    async with services.scope.read(scan=True) as scope:
        assert scope.session.bind is not memory.engine
        assert await scope.get(ThingManager).count() == 1


@pytest.mark.parametrize(
    "name", ["50% off.db", "with space.db", "ünï 数据.db", "a%20b.db", "a#b.db", "a'b\"c.db", "what?.db"]
)
async def test_a_file_may_have_any_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "new folder %41" / name
    for database in (SqliteDatabaseBuilder.from_file(path).build(), SqliteDatabase(f"sqlite:///{quote(str(path))}")):
        await database.init()
        services = services_over(database)
        async with services.scope.write() as scope:
            await scope.get(ThingManager).delete_all()
        await _create(services, "a")
        assert await _names(services) == ["a"]
        await database.dispose()
        assert path.exists()
        assert not database.is_in_memory()


async def test_a_relative_file_lies_in_the_folder_of_the_start(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    database = SqliteDatabase("sqlite+aiosqlite:///data/service.db")
    monkeypatch.chdir("/")
    await database.init()
    await database.dispose()
    assert (tmp_path / "data" / "service.db").exists()
    assert database.data_dir == tmp_path / "data" / "service.data"


async def test_what_was_written_is_there_after_a_restart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'a.db'}"
    for expected in ([], ["a"]):
        database = SqliteDatabase(url)
        await database.init()
        services = services_over(database)
        assert await _names(services) == expected
        if not expected:
            await _create(services, "a")
        await database.dispose()


async def test_entities_of_the_user_get_their_tables(database: Database) -> None:
    assert {"test_things", "configs", "artifacts", "jobs"} <= await _table_names(database)


async def test_only_declared_tables_are_made_beside_those_of_chapkit() -> None:
    database = SqliteDatabase(MEMORY)
    await database.init([])
    assert "test_things" not in await _table_names(database)
    assert "configs" in await _table_names(database)
    await database.init([Thing.metadata.tables["test_things"]])
    assert "test_things" in await _table_names(database)
    await database.dispose()


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:secret@h/x",
        "sqlite+pysqlcipher:///x",
        "nonsense",
        "",
        "postgresql+psycopg2://u:secret@h/x",
        "file.db",
    ],
)
def test_an_unknown_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        Database(url)
    assert raised.value.code == "database-url-invalid"
    assert "secret" not in str(raised.value)


def test_the_driver_of_a_url_is_filled_in() -> None:
    assert parse_url("sqlite:///x.db").drivername == "sqlite+aiosqlite"
    assert parse_url("postgresql://u@h/x").drivername == "postgresql+asyncpg"
    assert parse_url("postgres://u@h/x").drivername == "postgresql+asyncpg"


def test_a_missing_driver_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'chapkit\[postgres\]'"):
        parse_url("postgresql://u@h/x")


def test_a_builder_without_a_database_says_how_to_start() -> None:
    with pytest.raises(ConfigurationError, match=r"in_memory\(\) or from_file"):
        SqliteDatabaseBuilder().build()


async def test_a_builder_hands_its_settings_on(tmp_path: Path) -> None:
    builder = SqliteDatabaseBuilder.in_memory().with_data_dir(tmp_path).with_pool(2, 1).with_migrations(False)
    database = builder.with_echo(False).build()
    assert database.data_dir == tmp_path
    assert not database.auto_migrate
    await database.init()
    await database.init()
    assert "configs" in await _table_names(database)
    await database.dispose()


async def test_the_pragmas_that_keep_data_safe_are_set(memory: SqliteDatabase) -> None:
    async with memory.session() as session:
        assert await session.scalar(text("PRAGMA foreign_keys")) == 1
        assert await session.scalar(text("PRAGMA journal_mode")) == "wal"


async def test_more_sessions_than_connections_wait_for_their_turn(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite:///{tmp_path / 'a.db'}", pool_size=1, max_overflow=0)
    await database.init()
    services = services_over(database)
    await asyncio.gather(*(_create(services, str(number)) for number in range(8)))
    assert len(await _names(services)) == 8
    await database.dispose()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_a_file_that_cannot_be_written_is_an_error_of_its_own(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(PermissionError):
        SqliteDatabase(f"sqlite:///{tmp_path / 'deeper' / 'a.db'}")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_server_that_is_away_at_the_start_is_an_error_of_its_own(driver: str) -> None:
    database = Database(f"postgresql+{driver}://nobody@127.0.0.1:9/none")
    with pytest.raises(UnavailableError) as raised:
        await database.init()
    assert raised.value.code == "database-unreachable"
    await database.dispose()


async def test_an_unexplained_error_at_the_start_stays_what_it_is(
    memory: SqliteDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(migration: Migration, tables: object) -> None:
        raise InvalidRequestError("odd")

    monkeypatch.setattr(Migration, "run", fail)
    with pytest.raises(InvalidRequestError):
        await memory.init()
