import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from sqlalchemy import update

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.job.context import JobContext
from chapkit.job.endings import Outcome
from chapkit.job.ledger import JobLedger
from chapkit.job.policies import Retry
from chapkit.job.ports import JobOutcome
from chapkit.job.rows import JOBS
from chapkit.job.schemas import JobStatus
from chapkit.job.statements import SUSPICIONS_BEFORE_WAIT
from tests.unit.job.parts import (
    Crowd,
    Double,
    Failing,
    Held,
    JobSystem,
    Scripted,
    SteppedClock,
    claim_jobs,
    eventually,
    happens,
    job_system,
)

pytestmark = pytest.mark.anyio


async def _die(system: JobSystem, owner: str, outcome: Outcome = Outcome.RECOVERED) -> None:
    """Put back what a process held."""
    async with system.services.scope.write() as scope:
        await JobLedger(scope.session, system.runtime.clock.now()).give_back(JOBS.c.owner == owner, outcome)


async def _suspect(system: JobSystem, *jobs: ULID, suspicions: int = 1) -> None:
    """Let jobs be as if the service had died while they ran."""
    async with system.services.scope.write() as scope:
        await scope.session.execute(update(JOBS).where(JOBS.c.id.in_(jobs)).values(suspicions=suspicions))


async def _suspicions(system: JobSystem, jobs: Sequence[ULID]) -> list[int]:
    return [(await system.counters(job))[2] for job in jobs]


async def test_all_that_ran_while_the_service_died_is_suspect(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        ran = [(await system.submit("test.double")).id for _ in range(2)]
        waited = await system.submit("test.double")
        await claim_jobs(system, "A" * 26, 2)
        await _die(system, "A" * 26)
        assert await _suspicions(system, ran) == [1, 1]
        assert await _suspicions(system, [waited.id]) == [0]
        assert await system.outcomes(ran[0]) == ["recovered"]
        record = await system.jobs.get(ran[0])
        assert (record.status, record.error) == (JobStatus.PENDING, None)


@pytest.mark.parametrize("outcome", [Outcome.RELEASED, Outcome.TAKEN_OVER])
async def test_a_process_that_ends_in_order_or_stands_still_makes_nothing_suspect(
    outcome: Outcome, database: Database
) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        await claim_jobs(system, "A" * 26)
        await _die(system, "A" * 26, outcome)
        assert await _suspicions(system, [job.id]) == [0]
        assert await system.outcomes(job.id) == [outcome.value]


async def test_an_orderly_end_of_the_service_makes_nothing_suspect(database: Database) -> None:
    held = Held()
    async with job_system(database, held) as system:
        job = await system.submit("test.held")
        await happens(held.begun)
    async with job_system(database, start=False) as system:
        assert await _suspicions(system, [job.id]) == [0]
        assert await system.outcomes(job.id) == ["released"]


async def test_one_suspect_at_a_time_is_taken_beside_ordinary_jobs(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        suspects = [(await system.submit("test.double")).id for _ in range(3)]
        ordinary = [(await system.submit("test.double")).id for _ in range(2)]
        await _suspect(system, *suspects)
        first = await claim_jobs(system, "A" * 26, 5)
        assert [claim.fence.job_id for claim in first] == [suspects[0], *ordinary]
        assert [claim.is_suspect for claim in first] == [True, False, False]
        # The process that runs one takes no other; another process does.
        assert await claim_jobs(system, "A" * 26, 5, takes_suspects=False) == []
        second = await claim_jobs(system, "B" * 26, 5)
        assert [claim.fence.job_id for claim in second] == [suspects[1]]


async def test_suspects_run_one_at_a_time_and_ordinary_jobs_beside_them(database: Database) -> None:
    crowd, others = Crowd(), Held()
    async with job_system(database, crowd, others, start=False) as system:
        suspects = [(await system.submit("test.crowd")).id for _ in range(4)]
        ordinary = [(await system.submit("test.held")).id for _ in range(2)]
        await _suspect(system, *suspects)
    async with job_system(database, crowd, others) as system:
        await eventually(lambda: others.starts == 2 and len(crowd.runs) == 1)
        crowd.go.set()
        for job in suspects:
            await system.completed(job)
        assert (crowd.most, crowd.order) == (1, suspects)
        assert await _suspicions(system, suspects) == [0] * 4
        others.go.set()
        for job in ordinary:
            await system.completed(job)


async def test_any_end_of_an_attempt_clears_a_suspect(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        await asyncio.Event().wait()
        return JobOutcome()

    clock = SteppedClock()
    failing = Failing([ValueError(), OSError()], Retry(attempts=9, initial=60, on=(OSError,)))
    async with job_system(database, failing, Scripted(body), start=False, clock=clock) as system:
        failed, waits = await system.submit("test.failing"), await system.submit("test.failing")
        canceled = await system.submit("test.scripted")
        await _suspect(system, failed.id, waits.id, canceled.id, suspicions=2)
    async with job_system(database, failing, Scripted(body), clock=clock) as system:
        assert (await system.finished(failed.id)).status is JobStatus.FAILED
        await system.becomes(waits.id, JobStatus.PENDING, 1)
        await system.becomes(canceled.id, JobStatus.RUNNING)
        await system.jobs.cancel(canceled.id)
        assert (await system.finished(canceled.id)).status is JobStatus.CANCELED
        assert await _suspicions(system, [failed.id, waits.id, canceled.id]) == [0, 0, 0]


async def test_being_killed_from_outside_condemns_nothing_but_lets_a_job_wait_in_the_end(database: Database) -> None:
    clock = SteppedClock()
    async with job_system(database, Double(), start=False, clock=clock) as system:
        job = await system.submit("test.double", {"value": 1})
        for death in range(1, 3 * SUSPICIONS_BEFORE_WAIT):
            assert len(await claim_jobs(system, "A" * 26)) == 1
            await _die(system, "A" * 26)
            assert await _suspicions(system, [job.id]) == [death]
            if death >= SUSPICIONS_BEFORE_WAIT:
                assert await claim_jobs(system, "A" * 26) == []
                clock.move(timedelta(seconds=10).total_seconds())
        assert (await system.jobs.get(job.id)).status is JobStatus.PENDING
    async with job_system(database, Double(), clock=clock) as system:
        assert (await system.completed(job.id)).attempt == 3 * SUSPICIONS_BEFORE_WAIT


async def test_a_suspect_that_is_run_again_by_hand_is_none_any_more(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        await _suspect(system, job.id, suspicions=7)
        await system.jobs.cancel(job.id)
        await system.jobs.retry(job.id)
        assert await _suspicions(system, [job.id]) == [0]
