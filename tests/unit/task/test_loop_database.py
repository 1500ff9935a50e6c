import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, text, update
from sqlalchemy.exc import OperationalError

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.core.sqlite import SqliteDatabase
from chapkit.core.transactions import begin_write
from chapkit.job.executors.loop import JobLoop
from chapkit.task.loop_database import LoopDatabase, open_on_this_loop
from chapkit.task.loop_things import LoopThings
from chapkit.task.write_watch import WriteWatch
from tests.things import Thing

pytestmark = pytest.mark.anyio
PATIENCE = 20.0


class OwnDatabase(SqliteDatabase):
    """A user's own."""

    def __init__(self, url: str, region: str) -> None:
        super().__init__(url)
        self.region = region

    @cached_property
    def remembered(self) -> str:
        return str(self.engine.url)

    def greet(self) -> str:
        return f"Hello {self.region}"


class OtherLoop:
    """The database of a test on a job loop."""

    def __init__(self, database: Database) -> None:
        self.things = LoopThings()
        self.loop = JobLoop()
        self.database = database

    async def run(self, function: Callable[[LoopDatabase], Awaitable[Any]]) -> Any:
        async def there() -> Any:
            opened = await self.things.get("database", lambda: open_on_this_loop(self.database))
            return await function(opened)

        return await self.loop.run(there)


@asynccontextmanager
async def other_loop(database: Database) -> AsyncGenerator[OtherLoop]:
    loop = OtherLoop(database)
    try:
        yield loop
    finally:
        await loop.loop.close()


async def _add(database: Database, name: str, *, late: bool = True) -> None:
    if late and isinstance(database, LoopDatabase):
        session = database.open_run_session(WriteWatch("test"))
    else:
        session = database.open_session(write=True)
    async with session:
        session.add(Thing(id=ULID(), name=name))
        await session.commit()


async def _names(database: Database) -> list[str]:
    async with database.session() as session:
        return sorted(await session.scalars(select(Thing.name)))


async def test_two_loops_write_to_one_database_at_once(database: Database) -> None:
    async with other_loop(database) as other:

        async def there(opened: LoopDatabase) -> None:
            await asyncio.gather(*(_add(opened, f"there {number}") for number in range(30)))
            for number in range(30):
                await _add(opened, f"there again {number}", late=False)

        async def here() -> None:
            await asyncio.gather(*(_add(database, f"here {number}") for number in range(30)))
            for number in range(30):
                await _add(database, f"here again {number}")

        await asyncio.gather(other.run(there), here())
        expected = sorted(
            f"{where}{again} {number}"
            for where in ("here", "there")
            for again in ("", " again")
            for number in range(30)
        )
        assert await _names(database) == expected
        assert await other.run(_names) == expected


async def test_a_counter_is_raised_by_both_loops_without_losing_anything(database: Database) -> None:
    id = ULID()
    async with database.session() as session:
        session.add(Thing(id=id, name="counter", size=0))
        await session.commit()

    async def raise_it(opened: Database) -> None:
        for _ in range(25):
            session = (
                opened.open_run_session(WriteWatch("test"))
                if isinstance(opened, LoopDatabase)
                else opened.open_session(write=True)
            )
            async with session:
                # Read before it is locked, so that it is known already.
                await session.scalar(select(func.count()).select_from(Thing))
                thing = await session.get_one(Thing, id, with_for_update=True)
                await asyncio.sleep(0)
                thing.size = (thing.size or 0) + 1
                await session.commit()

    async with other_loop(database) as other:
        await asyncio.gather(other.run(raise_it), other.run(raise_it), raise_it(database))
    async with database.session() as session:
        assert (await session.get_one(Thing, id)).size == 75


async def test_a_function_that_has_only_read_holds_up_nobody(database: Database) -> None:
    async with other_loop(database) as other:
        read, go = threading.Event(), threading.Event()

        async def there(opened: LoopDatabase) -> int:
            async with opened.open_run_session(WriteWatch("test")) as session:
                await session.scalar(select(func.count()).select_from(Thing))
                read.set()
                assert await asyncio.to_thread(go.wait, PATIENCE)
                # It sees what was committed meanwhile, and may write on top of it.
                await session.execute(update(Thing).values(size=9))
                count = await session.scalar(select(func.count()).select_from(Thing).where(Thing.size == 9))
                await session.commit()
                return count or 0

        running = asyncio.create_task(other.run(there))
        assert await asyncio.to_thread(read.wait, PATIENCE)
        async with asyncio.timeout(PATIENCE):
            await _add(database, "meanwhile")
        go.set()
        assert await running == 1


async def test_what_is_rolled_back_is_gone(database: Database) -> None:
    async with other_loop(database) as other:

        async def there(opened: LoopDatabase) -> None:
            async with opened.open_run_session(WriteWatch("test")) as session:
                session.add(Thing(id=ULID(), name="never"))
                await session.flush()
                await session.rollback()
                # The next transaction of the session is late again.
                await session.scalar(select(func.count()).select_from(Thing))
                session.add(Thing(id=ULID(), name="first"))
                await session.commit()
                session.add(Thing(id=ULID(), name="second"))
                await session.flush()

        await other.run(there)
    assert await _names(database) == ["first"]


async def test_a_connection_that_is_lost_is_replaced(database: Database) -> None:
    async with other_loop(database) as other:

        async def there(opened: LoopDatabase) -> None:
            async with opened.open_run_session(WriteWatch("test")) as session:
                session.add(Thing(id=ULID(), name="lost"))
                await session.flush()
                await (await session.connection()).invalidate()
                await session.rollback()
                session.add(Thing(id=ULID(), name="kept"))
                await session.commit()
            # What is nobody's session is not watched.
            async with opened.engine.connect() as connection:
                await connection.execute(text("SELECT 1"))
                await connection.rollback()

        await other.run(there)
        async with asyncio.timeout(PATIENCE):
            await _add(database, "here")
    assert await _names(database) == ["here", "kept"]


async def test_a_connection_that_is_kept_begins_one_transaction_after_the_other(database: Database) -> None:
    async with other_loop(database) as other:

        async def there(opened: LoopDatabase) -> None:
            await _add(opened, "thing")
            watched = opened.engine.execution_options(chapkit_watch=WriteWatch("test"))
            async with asyncio.timeout(PATIENCE), watched.connect() as connection:
                for size in range(3):
                    await connection.execute(update(Thing).values(size=size))
                    await connection.commit()

        await other.run(there)
    async with database.session() as session:
        assert await session.scalar(select(Thing.size)) == 2


async def test_savepoints_begin_a_transaction_that_writes(database: Database) -> None:
    async with other_loop(database) as other:

        async def there(opened: LoopDatabase) -> None:
            async with opened.open_run_session(WriteWatch("test")) as session:
                await session.scalar(select(func.count()).select_from(Thing))
                async with session.begin_nested():
                    session.add(Thing(id=ULID(), name="kept"))
                savepoint = await session.begin_nested()
                session.add(Thing(id=ULID(), name="undone"))
                await session.flush()
                await savepoint.rollback()
                await session.commit()

        await other.run(there)
    assert await _names(database) == ["kept"]


async def test_the_watch_is_told_when_a_transaction_writes_and_when_it_ends(database: Database) -> None:
    class Notes(WriteWatch):
        def __init__(self) -> None:
            super().__init__("test")
            self.steps: list[str] = []

        def begin(self) -> None:
            self.steps.append("begin")
            super().begin()

        def end(self) -> None:
            self.steps.append("end")
            super().end()

    async with other_loop(database) as other:

        async def there(opened: LoopDatabase) -> list[str]:
            watch = Notes()
            async with opened.open_run_session(watch) as session:
                await session.scalar(select(func.count()).select_from(Thing))
                assert watch.steps == []
                await session.execute(text("UPDATE test_things SET size = 1"))
                assert watch.steps == ["begin"]
                await session.commit()
                assert watch.steps[:1] + watch.steps[-1:] == ["begin", "end"]
                watch.steps.clear()
                await begin_write(session)
                await session.execute(text("UPDATE test_things SET size = 1"))
                await session.rollback()
            return watch.steps

        assert (await other.run(there))[:1] == ["begin"]


async def test_the_copy_is_of_the_same_class_and_knows_the_same(tmp_path: Path) -> None:
    database = OwnDatabase(f"sqlite+aiosqlite:///{tmp_path / 'a b%41?.db'}", "north")
    await database.init()
    assert database.remembered
    async with other_loop(database) as other:

        async def there(opened: Any) -> None:
            assert isinstance(opened, OwnDatabase)
            assert type(opened).__name__ == "OwnDatabase"
            assert opened.greet() == "Hello north"
            assert opened.path == database.path
            assert opened.url == database.url
            assert opened.data_dir == database.data_dir
            assert opened.engine is not database.engine
            assert opened.remembered == str(opened.engine.url)
            assert not opened.is_in_memory()
            await _add(opened, "there")

        await other.run(there)
    assert await _names(database) == ["there"]
    await database.dispose()


async def test_a_database_in_memory_is_shared_by_its_loops_and_ends_with_the_first() -> None:
    database = SqliteDatabase("sqlite+aiosqlite:///:memory:", pool_size=3)
    await database.init()
    async with other_loop(database) as other:

        async def there(opened: Any) -> None:
            assert opened.is_in_memory()
            assert opened.durability == "process"
            assert opened.engine.pool.size() == 3
            await _add(opened, "there")

        await other.run(there)
        assert await _names(database) == ["there"]
        folder = database.path.parent
    assert folder.exists()
    await database.dispose()
    assert not folder.exists()


async def test_a_commit_that_survives_the_power_does_so_on_the_other_loop(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite+aiosqlite:///{tmp_path / 'service.db'}", durability="power")
    await database.init()
    async with other_loop(database) as other:

        async def there(opened: Any) -> int:
            await _add(opened, "there")
            rounds: int = opened._log_sync.rounds
            return rounds

        assert await other.run(there) == 1
    await database.dispose()


async def test_a_transaction_that_cannot_begin_leaves_the_session_usable(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite+aiosqlite:///{tmp_path / 'service.db'}")
    await database.init()
    async with other_loop(database) as other:

        async def there(opened: Any) -> None:
            failures = [1, 1]
            begin = opened._become_writer

            async def fail(info: Any, driver: Any, watch: WriteWatch) -> None:
                real = driver._conn
                if failures:
                    failures.pop()

                    class Broken:
                        def execute(self, *args: Any) -> None:
                            raise _locked()

                        def __getattr__(self, name: str) -> Any:
                            return getattr(real, name)

                    driver._connection = Broken()
                try:
                    await begin(info, driver, watch)
                finally:
                    driver._connection = real

            opened._become_writer = fail
            async with opened.open_run_session(WriteWatch("test")) as session:
                with pytest.raises(OperationalError):
                    await session.execute(text("UPDATE test_things SET size = 1"))
                await session.rollback()
                # The same at the very beginning of a transaction.
                with pytest.raises(OperationalError):
                    await begin_write(session)
                await session.rollback()
                session.add(Thing(id=ULID(), name="there"))
                await session.commit()

        await other.run(there)
        async with asyncio.timeout(PATIENCE):
            await _add(database, "here")
    assert await _names(database) == ["here", "there"]
    await database.dispose()


def _locked() -> Exception:
    import sqlite3

    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    return error


async def test_connections_of_a_loop_are_closed_with_it(database: Database) -> None:
    async with other_loop(database) as other:

        async def there(opened: LoopDatabase) -> LoopDatabase:
            await asyncio.gather(*(_add(opened, f"there {number}") for number in range(5)))
            return opened

        opened = await other.run(there)
        pool: Any = opened.engine.pool
        assert pool.checkedin() >= 1
        assert pool.checkedout() == 0
    pool = opened.engine.pool
    assert (pool.checkedin(), pool.checkedout()) == (0, 0)
    assert other.things.loops == 0
