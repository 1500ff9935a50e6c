import asyncio
import sqlite3
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest

from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase
from chapkit.job import notices_sqlite
from chapkit.job.notices import News, NoNotices, notices_for
from chapkit.job.notices_sqlite import SqliteNotices
from tests.things import Thing, services_over

pytestmark = pytest.mark.anyio
ANYTHING = News(anything=True)
FAST = 0.001


class Ears:
    """Keeps what was heard."""

    def __init__(self) -> None:
        self.heard: list[News] = []
        self._event = asyncio.Event()

    def hear(self, news: News) -> None:
        self.heard.append(news)
        self._event.set()

    async def until_heard(self) -> None:
        async with asyncio.timeout(10):
            await self._event.wait()
        self._event.clear()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "shared # file.db"


@pytest.fixture
async def database(path: Path) -> AsyncGenerator[SqliteDatabase]:
    database = SqliteDatabase(f"sqlite:///{str(path).replace('#', '%23')}")
    await database.init()
    yield database
    await database.dispose()


@asynccontextmanager
async def listening(database: SqliteDatabase) -> AsyncGenerator[tuple[SqliteNotices, Ears]]:
    notices, ears = SqliteNotices(database, FAST), Ears()
    await notices.open(ears.hear)
    try:
        yield notices, ears
    finally:
        await notices.close()


async def _store(services: Services, name: str) -> None:
    async with services.scope.write() as scope:
        scope.session.add(Thing(name=name))


async def _looks(notices: SqliteNotices, number: int) -> None:
    async with asyncio.timeout(10):
        until = notices.looks + number
        while notices.looks < until:
            await asyncio.sleep(FAST)


def _write_elsewhere(path: Path, name: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE IF NOT EXISTS elsewhere (name)")
        connection.execute("INSERT INTO elsewhere VALUES (?)", (name,))


async def test_a_commit_of_another_process_is_heard(database: SqliteDatabase, path: Path) -> None:
    async with listening(database) as (notices, ears):
        await _looks(notices, 3)
        assert ears.heard == []
        _write_elsewhere(path, "a")
        await ears.until_heard()
        assert ears.heard == [ANYTHING]
        await _looks(notices, 3)
        assert ears.heard == [ANYTHING]


async def test_looks_are_rare_until_something_happens(database: SqliteDatabase, path: Path) -> None:
    services = services_over(database)
    async with listening(database) as (notices, ears):
        assert notices.pause == FAST * notices_sqlite.IDLE_FACTOR
        _write_elsewhere(path, "a")
        await ears.until_heard()
        assert notices.pause == FAST
        await _looks(notices, 40)
        assert notices.pause == FAST * notices_sqlite.IDLE_FACTOR
        await _store(services, "own")
        await _looks(notices, 1)
        assert notices.pause == FAST
        await _looks(notices, 15)
        assert notices.pause == FAST * notices_sqlite.IDLE_FACTOR


async def test_own_commits_do_not_wake_their_own_process_each_time(database: SqliteDatabase) -> None:
    services = services_over(database)
    async with listening(database) as (notices, ears):
        begin = asyncio.get_running_loop().time()
        for number in range(40):
            await _store(services, str(number))
        # Told now and then, because somebody else may have committed in between.
        assert len(ears.heard) <= (asyncio.get_running_loop().time() - begin) / (25 * FAST) + 1
        await _looks(notices, 60)
        heard = len(ears.heard)
        assert heard >= 1
        await _looks(notices, 60)
        assert len(ears.heard) == heard


@pytest.mark.parametrize("writes_again", [False, True])
@pytest.mark.parametrize("direct", [False, True])
async def test_a_busy_process_hears_of_the_others_at_once(
    database: SqliteDatabase, path: Path, writes_again: bool, direct: bool
) -> None:
    services = services_over(database)

    async def write() -> None:
        if not direct:
            await _store(services, str(ULID()))
            return
        async with database.writing() as connection:
            await connection.run("CREATE TABLE IF NOT EXISTS own (name)", ())
            await connection.run("INSERT INTO own VALUES (1)", ())

    async with listening(database) as (notices, ears):
        await write()
        _write_elsewhere(path, "foreign")
        if writes_again:
            await write()
        await _looks(notices, 2)
        assert ears.heard == [ANYTHING]


async def test_what_another_commits_right_behind_a_commit_of_ours_is_heard_a_little_later(
    database: SqliteDatabase, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = services_over(database)
    async with listening(database) as (notices, ears):
        ended = notices.ended

        def end_late() -> None:
            _write_elsewhere(path, "foreign")
            ended()

        monkeypatch.setattr(notices, "ended", end_late)
        await _store(services, "own")
        assert ears.heard == []
        await ears.until_heard()
        assert ears.heard == [ANYTHING]


async def test_a_transaction_that_lasts_hides_nothing(database: SqliteDatabase, path: Path) -> None:
    services = services_over(database)
    async with listening(database) as (notices, ears):
        _write_elsewhere(path, "foreign")
        async with services.scope.write() as scope:
            scope.session.add(Thing(name="own"))
            await scope.session.flush()
            await ears.until_heard()
            await _looks(notices, 3)
        assert ears.heard == [ANYTHING]


async def test_a_file_that_takes_the_place_of_another_is_watched_from_then_on(
    database: SqliteDatabase, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices_sqlite, "_LOOKS_UNTIL_CHECK", 2)
    other = tmp_path / "other.db"
    _write_elsewhere(other, "a")
    async with listening(database) as (notices, ears):
        path.rename(tmp_path / "gone.db")
        await _looks(notices, 4)
        assert ears.heard == []
        assert not path.exists()
        other.rename(path)
        await ears.until_heard()
        assert ears.heard == [ANYTHING]
        _write_elsewhere(path, "b")
        await ears.until_heard()
        assert ears.heard == [ANYTHING, ANYTHING]


async def test_a_file_that_somebody_locks_is_looked_at_again(tmp_path: Path) -> None:
    path = tmp_path / "locked.db"
    _write_elsewhere(path, "in rollback mode, where readers can be locked out")
    database = SqliteDatabase(f"sqlite:///{path}")
    async with listening(database) as (notices, ears):
        with closing(sqlite3.connect(path, isolation_level=None)) as holder:
            holder.execute("BEGIN EXCLUSIVE")
            holder.execute("INSERT INTO elsewhere VALUES ('a')")
            await _looks(notices, 3)
            assert ears.heard == []
            holder.execute("COMMIT")
        await ears.until_heard()
    assert ears.heard == [ANYTHING]
    await database.dispose()


async def test_a_file_that_cannot_be_read_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "broken.db"
    database = SqliteDatabase(f"sqlite:///{path}")
    async with listening(database) as (notices, ears):
        await _looks(notices, 2)
        path.write_bytes(b"this is no database" * 100)
        await _looks(notices, 3)
        assert ears.heard == []
        path.unlink()
        _write_elsewhere(path, "a")
        await ears.until_heard()
    assert ears.heard == [ANYTHING]
    await database.dispose()


async def test_a_file_that_is_broken_at_the_start_is_tried_again(tmp_path: Path) -> None:
    path = tmp_path / "broken.db"
    database = SqliteDatabase(f"sqlite:///{path}")
    path.write_bytes(b"this is no database" * 100)
    async with listening(database) as (notices, ears):
        await _looks(notices, 2)
        path.unlink()
        _write_elsewhere(path, "a")
        await ears.until_heard()
    assert ears.heard == [ANYTHING]
    await database.dispose()


async def test_a_file_that_breaks_is_let_go(database: SqliteDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    async with listening(database) as (notices, ears):
        with monkeypatch.context() as broken:

            def fail(connection: sqlite3.Connection) -> int:
                raise sqlite3.DatabaseError("broken")

            broken.setattr(notices, "_read", fail)
            await _looks(notices, 3)
        await ears.until_heard()
    assert ears.heard == [ANYTHING]


async def test_closed_ears_hear_nothing(database: SqliteDatabase, path: Path) -> None:
    notices, ears = SqliteNotices(database, FAST), Ears()
    await notices.close()
    await notices.open(ears.hear)
    notices.publish(ANYTHING)
    await notices.close()
    _write_elsewhere(path, "a")
    await asyncio.sleep(FAST * 5)
    assert ears.heard == []


async def test_each_database_has_the_notices_that_suit_it(database: SqliteDatabase) -> None:
    memory = SqliteDatabase("sqlite://")
    assert isinstance(notices_for(memory), NoNotices)
    assert isinstance(notices_for(database), SqliteNotices)
    await memory.dispose()
