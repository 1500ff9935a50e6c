"""A process among those that work on jobs: its row, its lock, and what happens when either is lost."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import delete, select, text

from chapkit.core.clock import SystemClock
from chapkit.core.database import Database
from chapkit.core.errors import ChapkitError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.job import recovery
from chapkit.job.engine import JobEngine
from chapkit.job.owners import FileLocks, owner_locks
from chapkit.job.presence import Presence
from chapkit.job.recovery import JobRecovery
from chapkit.job.rows import OWNERS
from chapkit.job.runtime import JobRuntime
from tests.things import open_database
from tests.unit.job.parts import Double, JobSystem, SteppedClock, eventually, job_system

pytestmark = pytest.mark.anyio


class _Unreliable(SystemClock):
    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def now(self) -> datetime:
        if self.errors:
            raise self.errors.pop(0)
        return super().now()


def _files(database: Database) -> list[Path]:
    folder = database.data_dir / "owners"
    return list(folder.iterdir()) if folder.exists() else []


async def _owners(system: JobSystem) -> set[ULID]:
    async with system.services.scope.read() as scope:
        return set((await scope.session.scalars(select(OWNERS.c.id))).all())


async def test_two_who_enter_at_the_same_time_are_one_owner(database: Database) -> None:
    async with job_system(database, start=False) as system:
        presence = Presence(system.services, SystemClock())
        first, second = await asyncio.gather(presence.enter(), presence.enter())
        assert first == second == presence.id
        await presence.leave()
        # Who has left already, or was never there, may leave.
        await presence.leave()
        await Presence(system.services, SystemClock()).leave()
        assert await _owners(system) == {system.runtime.presence.id}


async def test_who_gives_up_to_enter_leaves_the_others_waiting(database: Database) -> None:
    async with job_system(database, start=False) as system:
        presence = Presence(system.services, SystemClock())
        one, other = asyncio.create_task(presence.enter()), asyncio.create_task(presence.enter())
        await asyncio.sleep(0)
        one.cancel()
        assert await other == presence.id
        assert one.cancelled()
        await presence.leave()


async def test_an_entry_that_is_broken_off_with_the_service_is_nobodys_error(database: Database) -> None:
    async with job_system(database, start=False) as system:
        presence = Presence(system.services, SystemClock())
        waiting = asyncio.create_task(presence.enter())
        await asyncio.sleep(0)
        assert presence._entering is not None
        presence._entering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert presence.id is None
        await presence.enter()
        await presence.leave()


async def test_an_entry_that_fails_leaves_no_lock_behind(database: Database) -> None:
    async with job_system(database, start=False) as system:
        clock = _Unreliable()
        clock.errors = [UnavailableError("away")]
        presence = Presence(system.services, clock)
        before = len(_files(database))
        with pytest.raises(UnavailableError):
            await presence.enter()
        assert presence.id is None
        assert len(_files(database)) == before
        # Another attempt makes it an owner.
        assert await presence.enter() in await _owners(system)
        await presence.leave()


async def test_a_beat_comes_not_too_often_and_only_from_an_owner(database: Database) -> None:
    clock = SteppedClock()
    async with job_system(database, start=False, clock=clock) as system:
        presence = system.runtime.presence
        for seconds, beats in ((1, 0), (2, 1), (2.9, 1), (0.1, 2), (-60, 3)):
            # A clock that was set back does not silence anybody.
            clock.move(seconds)
            await presence.beat()
            assert presence.beats == beats
        nobody = Presence(system.services, clock)
        await nobody.beat()
        assert nobody.beats == 0


async def test_who_cannot_start_again_at_once_does_so_at_the_next_beat(database: Database) -> None:
    clock = SteppedClock()
    async with job_system(database, start=False, clock=clock) as system:
        presence = system.runtime.presence
        before = presence.id
        async with system.services.scope.write() as scope:
            await scope.session.execute(delete(OWNERS))
        clock.move(5)
        async with database.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE job_owners RENAME COLUMN host TO away"))
        try:
            with pytest.raises(ChapkitError):
                await presence.beat()
        finally:
            async with database.engine.begin() as connection:
                await connection.execute(text("ALTER TABLE job_owners RENAME COLUMN away TO host"))
        # It is still the old one, so that whoever asks for an owner does not wait.
        assert presence.id == before
        clock.move(5)
        await presence.beat()
        assert presence.id not in (None, before)
        assert await _owners(system) == {presence.id}


async def test_recovery_goes_on_after_an_error_and_ends_with_the_presence(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "INTERVAL", 0.005)
    clock = _Unreliable()
    async with job_system(database, start=False, clock=clock) as system:
        running = asyncio.create_task(JobRecovery(system.runtime).run())
        for error in (UnavailableError("away"), ConnectionError("away")):
            clock.errors = [error]
            await eventually(lambda: not clock.errors)
        beats = system.runtime.presence.beats
        system.runtime.presence._last_beat = None
        await eventually(lambda: system.runtime.presence.beats > beats)
        await system.runtime.presence.leave()
        await asyncio.wait_for(running, 10)


async def test_an_engine_that_never_was_an_owner_has_nothing_to_put_back(database: Database) -> None:
    async with job_system(database, start=False) as system:
        await JobEngine(JobRuntime(system.services)).shutdown(0)


async def test_locks_that_were_never_taken_can_be_kept_and_released(database: Database) -> None:
    locks = owner_locks(database)
    await locks.keep()
    await locks.release()
    await locks.release()


async def test_a_lock_is_held_until_it_is_released(database: Database) -> None:
    locks, others = owner_locks(database), owner_locks(database)
    lock = await locks.acquire(ULID())
    assert await others.is_free(lock) is False
    await locks.keep()
    assert await others.is_free(lock) is False
    await locks.release()
    assert await others.is_free(lock) is (None if database.dialect == "sqlite" else True)
    await others.remove(lock)


async def test_a_file_that_cannot_be_seen_says_nothing_of_its_process(tmp_path: Path) -> None:
    assert await FileLocks(tmp_path).is_free(str(tmp_path / "elsewhere" / "x.lock")) is None


async def test_a_lock_that_another_holds_is_waited_for_only_a_while(postgres_url: str) -> None:
    database = open_database(postgres_url)
    owner = ULID()
    first, second = owner_locks(database), owner_locks(database)
    await first.acquire(owner)
    with pytest.raises(UnavailableError):
        await second.acquire(owner)
    await first.release()
    # It remembers what it wanted, and gets it with the next beat.
    await second.keep()
    await second.release()
    await database.dispose()


async def test_a_lost_connection_is_replaced(postgres_url: str) -> None:
    database = open_database(postgres_url)
    locks = owner_locks(database)
    lock = await locks.acquire(ULID())
    async with database.engine.begin() as connection:
        await connection.execute(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        )
    await locks.keep()
    assert await owner_locks(database).is_free(lock) is False
    await locks.release()
    await database.dispose()


async def test_a_database_in_memory_has_nobody_to_tell() -> None:
    database = open_database("sqlite+aiosqlite:///:memory:")
    await database.init()
    async with job_system(database, Double()) as system:
        assert system.runtime.hub.tell_others is None
        await system.completed((await system.submit("test.double", {"value": 1})).id)
    await database.dispose()
