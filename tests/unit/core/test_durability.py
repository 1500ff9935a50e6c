import asyncio
import errno
import os
import sqlite3
import threading
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest
from sqlalchemy import func, select

from chapkit.api import ServiceBuilder, ServiceInfo
from chapkit.core import durability
from chapkit.core.database import Database
from chapkit.core.durability import LogSync, make_folder, sync_file, sync_folder
from chapkit.core.errors import ConfigurationError, StorageFullError, UnavailableError
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase
from chapkit.core.sqlite_builder import SqliteDatabaseBuilder
from tests.things import Thing, services_over

pytestmark = pytest.mark.anyio


class Disk:
    """Counts syncs in the place of the disk; they wait for `free` and end with `failure`."""

    def __init__(self) -> None:
        self.syncs = 0
        self.failure: OSError | None = None
        self.entered = threading.Event()
        self.free = threading.Event()
        self.free.set()

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        self.entered.set()
        assert self.free.wait(10)
        if self.failure is not None:
            raise self.failure

    async def until_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 10)
        self.entered.clear()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(durability, "sync_file", disk.sync)
    return disk


@pytest.fixture
async def database(tmp_path: Path, disk: Disk) -> AsyncGenerator[SqliteDatabase]:
    database = SqliteDatabaseBuilder.from_file(tmp_path / "power.db").with_durability("power").build()
    await database.init()
    disk.syncs = 0
    disk.entered.clear()
    yield database
    disk.free.set()
    await database.dispose()


@pytest.fixture
def services(database: SqliteDatabase) -> Services:
    return services_over(database)


async def _store(services: Services, name: str, told: list[str] | None = None) -> None:
    async with services.scope.write() as scope:
        scope.session.add(Thing(name=name))
        if told is not None:
            scope.after_commit(lambda: told.append(name))


async def _count(services: Services) -> int:
    async with services.scope.read() as scope:
        return await scope.session.scalar(select(func.count()).select_from(Thing)) or 0


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


async def test_a_commit_goes_on_only_after_the_disk_has_confirmed_it(services: Services, disk: Disk) -> None:
    disk.free.clear()
    told: list[str] = []
    writer = asyncio.create_task(_store(services, "a", told))
    await disk.until_entered()
    assert await _count(services) == 1
    assert not writer.done()
    assert told == []
    disk.free.set()
    await asyncio.wait_for(writer, 10)
    assert told == ["a"]
    assert disk.syncs == 1


async def test_commits_that_come_during_a_sync_share_the_next_one(services: Services, disk: Disk) -> None:
    disk.free.clear()
    first = asyncio.create_task(_store(services, "first"))
    await disk.until_entered()
    others = [asyncio.create_task(_store(services, str(number))) for number in range(20)]
    while await _count(services) < 21:
        await asyncio.sleep(0)
    assert not any(task.done() for task in others)
    disk.free.set()
    await asyncio.wait_for(asyncio.gather(first, *others), 10)
    assert disk.syncs == 2


async def test_a_unit_of_work_may_do_without_the_disk(services: Services, disk: Disk) -> None:
    async with services.scope.write(durable=False) as scope:
        scope.session.add(Thing(name="a"))
    assert disk.syncs == 0
    assert await _count(services) == 1


async def test_reading_and_rolling_back_wait_for_nothing(services: Services, disk: Disk) -> None:
    await _count(services)
    with pytest.raises(RuntimeError, match="changed my mind"):
        await _store_and_fail(services)
    async with services.scope.write():
        pass
    assert disk.syncs == 0
    assert await _count(services) == 0


async def _store_and_fail(services: Services) -> None:
    async with services.scope.write() as scope:
        scope.session.add(Thing(name="a"))
        await scope.session.flush()
        raise RuntimeError("changed my mind")


async def test_a_savepoint_alone_does_not_wait(services: Services, disk: Disk) -> None:
    async with services.scope.write() as scope:
        async with scope.savepoint():
            scope.session.add(Thing(name="a"))
        assert disk.syncs == 0
    assert disk.syncs == 1


async def test_a_session_outside_of_a_scope_waits_as_well(database: SqliteDatabase, disk: Disk) -> None:
    async with database.session() as session:
        session.add(Thing(name="a"))
        await session.commit()
        assert disk.syncs == 1
    async with database.session() as session, session.begin():
        session.add(Thing(name="b"))
    assert disk.syncs == 2


async def test_a_cancelled_commit_leaves_the_others_waiting(services: Services, disk: Disk) -> None:
    disk.free.clear()
    first = asyncio.create_task(_store(services, "first"))
    await disk.until_entered()
    told: list[str] = []
    cancelled, other = (asyncio.create_task(_store(services, name, told)) for name in ("cancelled", "other"))
    while await _count(services) < 3:
        await asyncio.sleep(0)
    cancelled.cancel()
    disk.free.set()
    await asyncio.wait_for(asyncio.gather(first, other), 10)
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    assert told == ["other"]


@pytest.mark.parametrize(
    ("failure", "kind", "code"),
    [
        (OSError(errno.ENOSPC, "full"), StorageFullError, "disk-full"),
        (OSError(errno.EIO, "broken"), UnavailableError, "commit-not-synced"),
    ],
)
async def test_what_the_disk_did_not_confirm_is_not_said_to_be_safe(
    services: Services, disk: Disk, failure: OSError, kind: type[Exception], code: str
) -> None:
    disk.failure = failure
    told: list[str] = []
    outcomes = await asyncio.gather(*(_store(services, name, told) for name in "ab"), return_exceptions=True)
    assert [(type(outcome), getattr(outcome, "code", None)) for outcome in outcomes] == [(kind, code)] * 2
    assert outcomes[0] is not outcomes[1]
    assert told == []
    assert await _count(services) == 2


async def test_after_a_failed_sync_the_log_is_carried_over_before_anything_is_said_to_be_safe(
    services: Services, database: SqliteDatabase, disk: Disk
) -> None:
    disk.failure = OSError(errno.EIO, "broken")
    with pytest.raises(UnavailableError):
        await _store(services, "lost-or-not")
    disk.failure = None
    # A sync that succeeds proves nothing now.
    await _store(services, "a")
    assert disk.syncs == 1
    assert b"lost-or-not" in database.path.read_bytes()
    await _store(services, "b")
    assert disk.syncs == 2


async def test_a_log_that_cannot_be_carried_over_leaves_the_doubt(
    services: Services, database: SqliteDatabase, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durability, "_PATIENCE", 0.01)
    disk.failure = OSError(errno.EIO, "broken")
    with pytest.raises(UnavailableError):
        await _store(services, "a")
    disk.failure = None
    reader = sqlite3.connect(database.path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM test_things").fetchone()
    with pytest.raises(UnavailableError) as raised:
        await _store(services, "b")
    assert raised.value.code == "commit-not-synced"
    reader.close()
    await _store(services, "c")
    assert await _count(services) == 3


async def test_a_database_that_was_closed_has_nothing_left_to_sync(tmp_path: Path, disk: Disk) -> None:
    sync = LogSync(tmp_path / "nothing.db")
    await sync.wait()
    assert disk.syncs == 0
    await sync.close()
    await sync.close()


async def test_a_log_that_was_made_anew_is_the_one_that_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(durability, "sync_file", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    path, inodes = tmp_path / "a.db", []
    log = path.with_name("a.db-wal")
    sync = LogSync(path)
    blocker = None
    for _ in range(2):
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("CREATE TABLE IF NOT EXISTS t (x)")
        inodes.append(log.stat().st_ino)
        await sync.wait()
        connection.close()
        # The next file shall not get the number of this one.
        blocker = log.with_name("blocker").open("w") if blocker is None else blocker
    await sync.close()
    assert blocker is not None
    blocker.close()
    assert synced == inodes


async def test_closing_waits_for_those_who_wait(tmp_path: Path, disk: Disk) -> None:
    (tmp_path / "a.db-wal").touch()
    sync = LogSync(tmp_path / "a.db")
    disk.free.clear()
    waiting = asyncio.create_task(sync.wait())
    await disk.until_entered()
    later = asyncio.create_task(sync.wait())
    closing = asyncio.create_task(sync.close())
    await asyncio.sleep(0)
    assert not closing.done()
    disk.free.set()
    await asyncio.wait_for(asyncio.gather(waiting, later, closing), 10)
    assert disk.syncs == 2


async def test_by_default_a_commit_waits_for_no_disk(tmp_path: Path, disk: Disk) -> None:
    database = SqliteDatabaseBuilder.from_file(tmp_path / "a.db").build()
    await database.init()
    await _store(services_over(database), "a")
    assert database.durability == "process"
    assert disk.syncs == 0
    await database.dispose()


async def test_memory_does_not_survive_anything(disk: Disk) -> None:
    database = SqliteDatabaseBuilder.in_memory().with_durability("power").build()
    await database.init()
    assert database.durability == "process"
    assert disk.syncs == 0
    await database.dispose()


def test_a_server_decides_by_itself() -> None:
    assert Database("postgresql+asyncpg://u@h/x", durability="power").durability == "server"


@pytest.mark.parametrize(
    "make",
    [SqliteDatabaseBuilder.in_memory().with_durability, lambda value: Database("postgresql://u@h/x", durability=value)],
)
def test_an_unknown_durability_is_refused(make: Callable[[str], object]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        make("forever")
    assert raised.value.code == "durability-unknown"
    assert "'power'" in str(raised.value)


async def test_the_builder_of_a_service_hands_it_on(tmp_path: Path) -> None:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Demo"))
    app = builder.with_database(f"sqlite:///{tmp_path / 'a.db'}", durability="power").with_system().build()
    async with app.router.lifespan_context(app):
        assert app.state.services.get(Database).durability == "power"
    given = SqliteDatabaseBuilder.from_file(tmp_path / "b.db").build()
    with pytest.raises(ConfigurationError) as raised:
        builder.with_database(given, durability="power")
    assert raised.value.code == "durability-misplaced"
    builder.with_database(SqliteDatabaseBuilder.from_file(tmp_path / "b.db").with_durability("power").build())


def test_files_and_folders_are_synced_for_real(tmp_path: Path) -> None:
    with (tmp_path / "a").open("w") as file:
        file.write("a")
        file.flush()
        sync_file(file.fileno())
    sync_folder(tmp_path)
    with pytest.raises(OSError):
        sync_file(file_descriptor_that_is_closed())


def test_a_folder_is_made_with_those_above_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(durability, "sync_folder", synced.append)
    for _ in range(2):
        make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    assert synced == [tmp_path / "a", tmp_path]


def file_descriptor_that_is_closed() -> int:
    descriptor = os.open(os.devnull, os.O_RDONLY)
    os.close(descriptor)
    return descriptor


def test_where_the_drive_can_be_told_to_write_it_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[int] = []
    refusal: list[int] = []

    def tell(descriptor: int, command: int) -> int:
        if refusal:
            raise OSError(refusal[0], "no")
        told.append(command)
        return 0

    synced: list[int] = []
    monkeypatch.setattr(durability, "_FULLFSYNC", 51)
    monkeypatch.setattr(durability.fcntl, "fcntl", tell)
    monkeypatch.setattr(durability, "_sync_data", synced.append)
    sync_file(7)
    assert (told, synced) == ([51], [])
    refusal.append(errno.ENOTSUP)
    sync_file(7)
    assert synced == [7]
    refusal[0] = errno.EIO
    with pytest.raises(OSError):
        sync_file(7)
    assert synced == [7]
