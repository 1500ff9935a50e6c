"""Rows that somebody holds locked for long, for instance a process that was stopped in the middle of a transaction."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import BigInteger, func, insert, select

from chapkit.core import lock_waits
from chapkit.core.database import Database
from chapkit.core.errors import DatabaseBusyError
from chapkit.core.ids import ULID
from chapkit.core.workers import Backoff
from chapkit.job import claiming, endings, engine, recovery
from chapkit.job.desk import Entry, JobDesk
from chapkit.job.dispatchers import LocalDispatcher
from chapkit.job.endings import Outcome
from chapkit.job.errors import StaleAttemptError
from chapkit.job.ledger import JobLedger
from chapkit.job.ports import JobHandler
from chapkit.job.recovery import JobRecovery
from chapkit.job.rows import ATTEMPTS, JOBS, OWNERS
from chapkit.job.schemas import JobStatus
from tests.unit.job.parts import (
    PATIENCE,
    Double,
    Held,
    JobSystem,
    SteppedClock,
    another_job_system,
    claim_jobs,
    eventually,
    happens,
    job_system,
)

pytestmark = pytest.mark.anyio


def _require_row_locks(database: Database) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")


@asynccontextmanager
async def _locked(database: Database, job_id: ULID) -> AsyncGenerator[None]:
    """Hold the row of a job in a transaction that goes on."""
    async with database.engine.connect() as connection:
        await connection.execute(select(JOBS.c.id).where(JOBS.c.id == job_id).with_for_update())
        yield


@asynccontextmanager
async def _impatient(
    url: str, monkeypatch: pytest.MonkeyPatch, *handlers: JobHandler, **settings: Any
) -> AsyncGenerator[JobSystem]:
    """Run a job system over connections that wait for locks for a moment only."""
    monkeypatch.setattr(lock_waits, "LOCK_TIMEOUT", "20ms")
    async with another_job_system(url, *handlers, **settings) as system:
        yield system


async def _dead_owner(system: JobSystem) -> ULID:
    id, now = ULID(), system.runtime.clock.now()
    async with system.services.scope.write() as scope:
        row = {"id": id, "host": "other", "pid": 1, "lock": "42", "started_at": now, "seen_at": now}
        await scope.session.execute(insert(OWNERS).values(row))
    return id


async def _owners(system: JobSystem) -> set[ULID]:
    async with system.services.scope.read() as scope:
        return set((await scope.session.scalars(select(OWNERS.c.id))).all())


async def test_recovery_passes_over_what_is_locked_and_comes_back_to_it(database: Database) -> None:
    _require_row_locks(database)
    async with job_system(database, Double(), start=False) as system:
        jobs = [(await system.submit("test.double")).id for _ in range(4)]
        first, second = await _dead_owner(system), await _dead_owner(system)
        await claim_jobs(system, first, number=2)
        await claim_jobs(system, second, number=1)
        await claim_jobs(system, ULID(), number=1)
        looking = JobRecovery(system.runtime)
        async with _locked(database, jobs[0]), _locked(database, jobs[3]):
            assert sorted(await asyncio.wait_for(looking.recover(), PATIENCE)) == jobs[1:3]
            assert await asyncio.wait_for(looking.recover(), PATIENCE) == []
            # Who still has a job is not forgotten.
            assert await _owners(system) == {system.runtime.presence.id, first}
        assert sorted(await looking.recover()) == [jobs[0], jobs[3]]
        assert await _owners(system) == {system.runtime.presence.id}
        assert await system.outcomes(jobs[0]) == ["recovered"]


async def test_recovery_does_not_wait_for_the_row_of_a_process(database: Database) -> None:
    _require_row_locks(database)
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        dead = await _dead_owner(system)
        await claim_jobs(system, dead)
        async with database.engine.connect() as stopped:
            await stopped.execute(select(OWNERS.c.id).where(OWNERS.c.id == dead).with_for_update())
            assert await asyncio.wait_for(JobRecovery(system.runtime).recover(), PATIENCE) == [job.id]
            assert dead in await _owners(system)
        assert await JobRecovery(system.runtime).recover() == []
        assert dead not in await _owners(system)


async def test_a_process_shows_itself_while_its_recovery_waits(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "INTERVAL", 0.002)
    clock, waits = SteppedClock(), asyncio.Event()

    async def wait(_recovery: JobRecovery, *, doubting: bool) -> list[ULID]:
        waits.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with job_system(database, start=False, clock=clock) as system:
        monkeypatch.setattr(JobRecovery, "recover", wait)
        running = asyncio.create_task(JobRecovery(system.runtime).run())
        await happens(waits)
        before = system.runtime.presence.beats
        clock.move(5)
        await eventually(lambda: system.runtime.presence.beats > before)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_a_process_that_was_taken_for_stopped_lets_go_what_it_lost(database: Database) -> None:
    held = Held()
    async with job_system(database, held, max_concurrency=2) as system:
        lost, kept = await system.submit("test.held"), await system.submit("test.held")
        await eventually(lambda: held.starts == 2)
        async with system.services.scope.write() as scope:
            # The row of the other job was locked, so this process keeps it, and is an owner still.
            ledger = JobLedger(scope.session, system.runtime.clock.now())
            await ledger.give_back(JOBS.c.id == lost.id, Outcome.TAKEN_OVER)
        system.runtime.dispatcher.look()
        # Its former attempt is stopped, so that there is a free slot for the next one.
        await eventually(lambda: held.starts == 3)
        held.go.set()
        assert (await system.completed(lost.id)).attempt == 2
        assert (await system.completed(kept.id)).attempt == 1
        assert await system.outcomes(lost.id) == ["taken-over", "completed"]


async def test_a_service_that_stops_waits_for_a_job_that_is_locked_for_a_moment(database: Database) -> None:
    _require_row_locks(database)
    held = Held()
    async with AsyncExitStack() as service:
        system = await service.enter_async_context(job_system(database, held))
        locked, free = await system.submit("test.held"), await system.submit("test.held")
        await eventually(lambda: held.starts == 2)
        async with _locked(database, locked.id):
            stopping = asyncio.create_task(service.aclose())
            # The other one does not wait for it.
            await system.becomes(free.id, JobStatus.PENDING)
            assert not stopping.done()
        await stopping
    # Asked past a service, which would see to what was left behind.
    async with database.session() as session:
        assert (await session.scalars(select(JOBS.c.status))).all() == [JobStatus.PENDING] * 2
        assert (await session.scalars(select(ATTEMPTS.c.outcome))).all() == ["released"] * 2


async def test_a_service_that_stops_does_not_wait_for_ever(
    database: Database, table_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _require_row_locks(database)
    held = Held()
    async with AsyncExitStack() as stack:
        async with _impatient(table_url, monkeypatch, held) as system:
            locked, free = await system.submit("test.held"), await system.submit("test.held")
            await eventually(lambda: held.starts == 2)
            await stack.enter_async_context(_locked(database, locked.id))
        async with job_system(database, start=False) as system:
            assert (await system.jobs.get(locked.id)).status is JobStatus.RUNNING
            assert (await system.jobs.get(free.id)).status is JobStatus.PENDING
            await stack.aclose()
            assert await JobRecovery(system.runtime).recover() == [locked.id]


async def test_a_cancellation_of_a_job_that_is_locked_does_not_hang(
    database: Database, table_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _require_row_locks(database)
    async with _impatient(table_url, monkeypatch, Double(), start=False) as system:
        job = await system.submit("test.double")
        async with _locked(database, job.id):
            for wish in (system.jobs.cancel(job.id), system.jobs.delete(job.id)):
                with pytest.raises(DatabaseBusyError) as raised:
                    await asyncio.wait_for(wish, PATIENCE)
                assert raised.value.code == "database-busy"
        assert (await system.jobs.cancel(job.id)).status is JobStatus.CANCELED


async def test_a_result_is_recorded_when_its_row_is_free_again_and_holds_up_nobody(
    database: Database, table_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _require_row_locks(database)
    held = Held()
    async with _impatient(table_url, monkeypatch, Double(), held) as system:
        job, same_time = await system.submit("test.held"), await system.submit("test.held")
        await eventually(lambda: held.starts == 2)
        async with _locked(database, job.id):
            held.go.set()
            await system.completed(same_time.id)
            for _ in range(3):
                await system.completed((await system.submit("test.double", {"value": 1})).id)
            assert (await system.jobs.get(job.id)).status is JobStatus.RUNNING
        await system.completed(job.id)
        assert await system.outcomes(job.id) == ["completed"]
        assert held.starts == 2


async def test_an_end_that_comes_too_late_after_a_long_wait_is_told_so(
    database: Database, table_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _require_row_locks(database)
    async with _impatient(table_url, monkeypatch, Double(), start=False) as system:
        await system.submit("test.double")
        [claim] = await claim_jobs(system)
        job_id = claim.fence.job_id
        desk, entry = JobDesk(system.runtime), Entry(claim.fence, endings.completed(claim))
        async with _locked(database, job_id):
            for _ in range(2):
                with pytest.raises(DatabaseBusyError):
                    await desk.write(entry)
        async with system.services.scope.write() as scope:
            ledger = JobLedger(scope.session, system.runtime.clock.now())
            await ledger.give_back(JOBS.c.id == job_id, Outcome.TAKEN_OVER)
        with pytest.raises(StaleAttemptError):
            await desk.write(entry)
        assert await system.outcomes(job_id) == ["taken-over"]


async def test_a_job_that_is_too_late_but_locked_keeps_no_other_one_waiting(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _require_row_locks(database)
    monkeypatch.setattr(engine, "_LOCKED_OUT", Backoff(first=0.001, longest=0.01))
    clock = SteppedClock()
    async with job_system(database, Double(), clock=clock) as system:
        await eventually(lambda: system.engine.is_working)
        options: dict[str, Any] = {"queue": "elsewhere", "queue_timeout": 60.0}
        system.jobs.queues = None
        locked, late = [await system.submit("test.double", **options) for _ in range(2)]
        async with _locked(database, locked.id):
            await system.pass_time(clock, 61)
            assert (await system.finished(late.id)).error_code == "job-queue-timeout"
            await system.completed((await system.submit("test.double", {"value": 1})).id)
            assert (await system.jobs.get(locked.id)).status is JobStatus.PENDING
        assert (await system.finished(locked.id)).error_code == "job-queue-timeout"


@pytest.mark.parametrize("what", ["queue:narrow", "key:k"])
async def test_who_counts_for_long_holds_up_only_what_he_counts(
    what: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _require_row_locks(database)
    monkeypatch.setattr(claiming, "_LOCK_PAUSE", 0.001)
    monkeypatch.setattr(engine, "_LOCKED_OUT", Backoff(first=0.001, longest=0.01))
    number = func.hashtextextended(f"chapkit:job:{what}", 0, type_=BigInteger())
    async with job_system(database, Double(), queues={"narrow": 1}) as system:
        options: dict[str, Any] = {"concurrency_key": "k", "concurrency_limit": 1}
        if what == "queue:narrow":
            options = {"queue": "narrow"}
        async with database.engine.connect() as stopped:
            await stopped.execute(select(func.pg_advisory_xact_lock(number)))
            counted = await system.submit("test.double", {"value": 1}, **options)
            for _ in range(3):
                await system.completed((await system.submit("test.double", {"value": 2})).id)
            assert (await system.jobs.get(counted.id)).status is JobStatus.PENDING
        await system.completed(counted.id)


async def test_a_job_that_stays_locked_is_tried_less_and_less_often(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _require_row_locks(database)
    pauses: list[float] = []
    wait = LocalDispatcher.wait

    async def waiting(dispatcher: LocalDispatcher, timeout: float) -> None:
        pauses.append(timeout)
        await wait(dispatcher, timeout / 100)

    clock = SteppedClock()
    async with job_system(database, Double(), start=False, clock=clock) as system:
        job = await system.submit("test.double", {"value": 1})
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(_locked(database, job.id))
        monkeypatch.setattr(LocalDispatcher, "wait", waiting)
        system = await stack.enter_async_context(job_system(database, Double(), clock=clock))
        await eventually(lambda: len(pauses) >= 8)
        assert pauses[:8] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0, 1.0]
        next_one = await system.submit("test.double", {"value": 2})
        await system.completed(next_one.id)
        # Something was taken, so it begins anew.
        await eventually(lambda: 0.05 in pauses[8:])
