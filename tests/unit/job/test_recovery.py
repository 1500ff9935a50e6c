import asyncio
import os
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import insert, select, text, update

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.job.ledger import JobLedger
from chapkit.job.liveness import DEAD_AFTER, STOPPED_AFTER
from chapkit.job.owners import owner_locks
from chapkit.job.recovery import JobRecovery
from chapkit.job.rows import JOBS, OWNERS
from chapkit.job.schemas import JobStatus
from tests.unit.job.parts import (
    Double,
    Held,
    JobSystem,
    SteppedClock,
    another_job_system,
    claim_jobs,
    happens,
    job_system,
)

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def holding(database: Database, lock: str) -> AsyncGenerator[None]:
    """Hold a lock as another process would."""
    if database.dialect == "sqlite":
        yield
        return
    async with database.engine.connect() as connection:
        await connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": int(lock)})
        try:
            yield
        finally:
            await connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": int(lock)})


async def _owner(system: JobSystem, lock: str, owner: ULID | None = None, host: str = "other", pid: int = 1) -> ULID:
    id = owner or ULID()
    now = system.runtime.clock.now()
    async with system.services.scope.write() as scope:
        row = {"id": id, "host": host, "pid": pid, "lock": lock, "started_at": now, "seen_at": now}
        await scope.session.execute(insert(OWNERS).values(row))
    return id


async def _lost(system: JobSystem, **columns: Any) -> ULID:
    """Let another process hold a job, whose lock is free."""
    other = await _owner(system, "79", **columns)
    await system.submit("test.double")
    await _claim(system, other)
    return other


async def _claim(system: JobSystem, owner: ULID) -> None:
    assert await claim_jobs(system, owner)


async def _owners(system: JobSystem) -> set[ULID]:
    async with system.services.scope.read() as scope:
        return set((await scope.session.scalars(select(OWNERS.c.id))).all())


def _free_lock(database: Database, folder: Path) -> str:
    if database.dialect != "sqlite":
        return "42"
    path = folder / "dead.lock"
    path.touch()
    return str(path)


async def test_the_jobs_of_a_dead_process_are_put_back(database: Database, tmp_path: Path) -> None:
    async with job_system(database, Double(), start=False) as system:
        dead = await _owner(system, _free_lock(database, tmp_path))
        job = await system.submit("test.double")
        await _claim(system, dead)
        assert await JobRecovery(system.runtime).recover() == [job.id]
        record = await system.jobs.get(job.id)
        assert (record.status, record.attempt) == (JobStatus.PENDING, 1)
        assert (await system.jobs.list_events(job.id))[-1].data["reason"] == "recovered"
        assert await _owners(system) == {system.runtime.presence.id}
        assert not (tmp_path / "dead.lock").exists()


async def test_a_recovery_that_is_broken_off_leaves_the_dead_process_known_as_dead(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def break_off(ledger: JobLedger, *_arguments: object, **_options: object) -> list[ULID]:
        raise ConnectionError("killed in the middle")

    async with job_system(database, Double(), start=False) as system:
        dead = await _owner(system, _free_lock(database, tmp_path))
        job = await system.submit("test.double")
        await _claim(system, dead)
        with monkeypatch.context() as patch:
            patch.setattr(JobLedger, "give_back", break_off)
            with pytest.raises(ConnectionError):
                await JobRecovery(system.runtime).recover()
        assert await JobRecovery(system.runtime).recover() == [job.id]


async def test_the_jobs_of_a_live_process_stay_with_it(database: Database) -> None:
    locks = owner_locks(database)
    other = ULID()
    lock = await locks.acquire(other)
    async with job_system(database, Double(), start=False) as system:
        await _owner(system, lock, other)
        job = await system.submit("test.double")
        await _claim(system, other)
        assert await JobRecovery(system.runtime).recover() == []
        assert (await system.jobs.get(job.id)).status is JobStatus.RUNNING
        await locks.release()
        if database.dialect == "sqlite":
            # The file is gone too; only a crash leaves it behind.
            Path(lock).touch()
        assert await JobRecovery(system.runtime).recover() == [job.id]


async def test_two_services_on_one_database_leave_each_other_alone(database: Database) -> None:
    held = Held()
    async with job_system(database, held) as first, job_system(database, Double()) as second:
        job = await first.submit("test.held")
        await happens(held.begun)
        assert await JobRecovery(second.runtime).recover() == []
        held.go.set()
        assert (await first.completed(job.id)).attempt == 1


async def test_a_process_that_holds_its_lock_but_does_not_move_loses_its_jobs(
    database: Database, tmp_path: Path
) -> None:
    now = 0.0
    async with job_system(database, Double(), start=False) as system:
        # A lock that cannot be seen from here counts as held.
        lock = "77" if database.dialect == "postgresql" else str(tmp_path / "elsewhere.lock")
        other = await _owner(system, lock)
        job = await system.submit("test.double")
        await _claim(system, other)
        recovery = JobRecovery(system.runtime, monotonic=lambda: now)
        async with holding(database, lock):
            assert await recovery.recover() == []
            now += STOPPED_AFTER + 1
            # This process itself has not shown itself meanwhile: somebody wrote for long.
            assert await recovery.recover() == []
            system.runtime.presence.beats += 100
            assert await recovery.recover() == [job.id]
        [attempt] = await system.jobs.list_attempts(job.id)
        assert attempt.outcome == "taken-over"
        async with system.services.scope.read() as scope:
            assert (await scope.session.scalar(select(JOBS.c.suspicions))) == 0


async def test_a_process_that_moves_keeps_its_jobs(database: Database, tmp_path: Path) -> None:
    now = 0.0
    async with job_system(database, Double(), start=False) as system:
        lock = "78" if database.dialect == "postgresql" else str(tmp_path / "elsewhere.lock")
        other = await _owner(system, lock)
        await system.submit("test.double")
        await _claim(system, other)
        recovery = JobRecovery(system.runtime, monotonic=lambda: now)
        async with holding(database, lock):
            for _ in range(5):
                assert await recovery.recover() == []
                now += STOPPED_AFTER - 1
                system.runtime.presence.beats += 100
                await _move(system, other, now)


async def test_a_process_without_lock_gets_the_time_to_take_it_again(migrated_postgres_url: str) -> None:
    now = 0.0
    async with another_job_system(migrated_postgres_url, Double(), start=False) as system:
        other = await _lost(system)
        looking = JobRecovery(system.runtime, monotonic=lambda: now)
        for seconds, has_moved in ((0, False), (DEAD_AFTER - 1, True), (2, False), (DEAD_AFTER - 3, False)):
            now += seconds
            if has_moved:
                await _move(system, other, now)
            system.runtime.presence.beats += 100
            assert await looking.recover(doubting=True) == []
        now += 1
        assert len(await looking.recover(doubting=True)) == 1


async def test_a_process_that_could_not_show_itself_takes_nobody_else_for_dead(migrated_postgres_url: str) -> None:
    now = 0.0
    async with another_job_system(migrated_postgres_url, Double(), start=False) as system:
        await _lost(system)
        looking = JobRecovery(system.runtime, monotonic=lambda: now)
        assert await looking.recover(doubting=True) == []
        now += 10 * DEAD_AFTER
        assert await looking.recover(doubting=True) == []
        system.runtime.presence.beats += 2
        assert len(await looking.recover(doubting=True)) == 1


async def test_a_process_that_ended_on_this_machine_is_dead_at_once(migrated_postgres_url: str) -> None:
    ended = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await ended.wait()
    async with another_job_system(migrated_postgres_url, Double(), start=False) as system:
        await _lost(system, host=socket.gethostname(), pid=ended.pid)
        assert len(await JobRecovery(system.runtime).recover(doubting=True)) == 1


async def test_a_process_that_is_there_on_this_machine_gets_its_time(
    migrated_postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(pid: int, signal: int) -> None:
        raise PermissionError(pid, signal)

    async with another_job_system(migrated_postgres_url, Double(), start=False) as system:
        await _lost(system, host=socket.gethostname(), pid=os.getpid())
        assert await JobRecovery(system.runtime).recover(doubting=True) == []
        # Perhaps it is another user's.
        with monkeypatch.context() as patch:
            patch.setattr(os, "kill", refuse)
            assert await JobRecovery(system.runtime).recover(doubting=True) == []


async def _move(system: JobSystem, owner: ULID, now: float) -> None:
    async with system.services.scope.write() as scope:
        moved = update(OWNERS).where(OWNERS.c.id == owner)
        await scope.session.execute(moved.values(seen_at=system.runtime.clock.now() + timedelta(seconds=now)))


async def test_a_job_of_an_owner_without_a_row_is_put_back(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        await _claim(system, ULID())
        assert await JobRecovery(system.runtime).recover() == [job.id]


async def test_a_job_that_was_asked_to_stop_is_canceled_when_its_process_is_dead(
    database: Database, tmp_path: Path
) -> None:
    async with job_system(database, Double(), start=False) as system:
        dead = await _owner(system, _free_lock(database, tmp_path))
        job = await system.submit("test.double")
        await _claim(system, dead)
        await system.jobs.cancel(job.id)
        await JobRecovery(system.runtime).recover()
        assert (await system.jobs.get(job.id)).status is JobStatus.CANCELED


async def test_ad_hoc_work_of_a_dead_process_fails(database: Database, tmp_path: Path) -> None:
    async with job_system(database, start=False) as system:
        dead = await _owner(system, _free_lock(database, tmp_path))
        waiting = await system.jobs.add_job(print)
        async with system.services.scope.write() as scope:
            await scope.session.execute(update(JOBS).where(JOBS.c.id == waiting).values(owner=dead))
        await JobRecovery(system.runtime).recover()
        record = await system.jobs.get(waiting)
        assert (record.status, record.error_code) == (JobStatus.FAILED, "job-not-durable")


async def test_a_start_takes_up_what_was_left(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double", {"value": 4})
        await _claim(system, ULID())
    async with job_system(database, Double()) as system:
        assert (await system.completed(job.id)).attempt == 2


async def test_every_start_is_a_new_owner_and_leaves_nothing_behind(database: Database) -> None:
    async with job_system(database, start=False) as system:
        first = system.runtime.presence.id
        assert await _owners(system) == {first}
    async with job_system(database, start=False) as system:
        assert system.runtime.presence.id != first
        assert await _owners(system) == {system.runtime.presence.id}
    if database.dialect == "sqlite":
        assert list((database.data_dir / "owners").iterdir()) == []


async def test_a_process_shows_now_and_then_that_it_is_there(database: Database) -> None:
    clock = SteppedClock()
    async with job_system(database, start=False, clock=clock) as system:
        clock.move(20)
        await system.runtime.presence.beat()
        async with system.services.scope.read() as scope:
            assert await scope.session.scalar(select(OWNERS.c.seen_at)) == clock.now()


async def test_a_lost_lock_is_taken_again(database: Database) -> None:
    locks, owner = owner_locks(database), ULID()
    lock = await locks.acquire(owner)
    if database.dialect == "sqlite":
        Path(lock).unlink()
    await locks.keep()
    assert await owner_locks(database).is_free(lock) is False
    await locks.release()
