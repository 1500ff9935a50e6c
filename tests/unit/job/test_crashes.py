from datetime import timedelta

import pytest
from sqlalchemy import select

from chapkit.core.database import Database
from chapkit.core.errors import ConflictError
from chapkit.core.ids import ULID
from chapkit.job.errors import JobNotFoundError, ProcessDiedError
from chapkit.job.policies import Retry
from chapkit.job.rows import JOBS
from chapkit.job.schemas import JobRecord, JobStatus
from tests.unit.job.parts import Double, Failing, Held, JobSystem, SteppedClock, happens, job_system

pytestmark = pytest.mark.anyio


def _died() -> ProcessDiedError:
    return ProcessDiedError("The child process was killed by signal 9")


async def _crash(system: JobSystem, clock: SteppedClock, job_id: ULID, times: int, first: int = 1) -> None:
    """See a job die so many times and come back each time after a pause that grows."""
    for crash in range(times):
        await system.becomes(job_id, JobStatus.PENDING, first + crash)
        await system.pass_time(clock, 2**crash)


async def test_a_job_whose_process_dies_comes_back_without_a_policy(database: Database) -> None:
    clock = SteppedClock()
    failing = Failing([_died()])
    async with job_system(database, failing, clock=clock) as system:
        job = await system.submit("test.failing", {"value": 1})
        await _crash(system, clock, job.id, 1)
        assert (await system.completed(job.id)).attempt == 2
        first, second = await system.jobs.list_attempts(job.id)
        assert (first.outcome, first.error_code, second.outcome) == ("crashed", "job-process-died", "completed")
        assert failing.diagnoses == 0


async def test_it_comes_back_after_a_pause_only(database: Database) -> None:
    clock = SteppedClock()
    async with job_system(database, Failing([_died(), _died()]), Double(), clock=clock) as system:
        job = await system.submit("test.failing")
        for attempt, pause in ((1, 1.0), (2, 2.0)):
            await system.becomes(job.id, JobStatus.PENDING, attempt)
            await system.pass_time(clock, pause - 0.001)
            await system.completed((await system.submit("test.double", {"value": 1})).id)
            assert (await system.jobs.get(job.id)).attempt == attempt
            await system.pass_time(clock, 0.001)
        await system.completed(job.id)


async def _poison(system: JobSystem, clock: SteppedClock, **options: object) -> JobRecord:
    job = await system.submit("test.failing", {"value": 1}, **options)
    await _crash(system, clock, job.id, 2)
    return await system.finished(job.id)


async def test_a_job_that_kills_its_process_three_times_is_poisoned(database: Database) -> None:
    clock = SteppedClock()
    failing = Failing([_died() for _ in range(9)])
    async with job_system(database, failing, clock=clock) as system:
        record = await _poison(system, clock, retry=Retry(attempts=100, initial=0))
        assert (record.status, record.error_code, record.attempt) == (JobStatus.FAILED, "job-poisoned", 3)
        assert "3 times" in (record.error or "")
        assert await system.outcomes(record.id) == ["crashed"] * 3
        assert await system.counters(record.id) == (0, 3, 0)
        assert failing.diagnoses == 1


async def test_crashes_and_exceptions_are_counted_apart(database: Database) -> None:
    clock = SteppedClock()
    errors: list[BaseException | None] = [ValueError(), _died(), _died(), ValueError()]
    retry = Retry(attempts=2, initial=0)
    async with job_system(database, Failing(errors), clock=clock) as system:
        job = await system.submit("test.failing", retry=retry)
        await _crash(system, clock, job.id, 2, first=2)
        record = await system.finished(job.id)
        assert (record.error_code, record.attempt) == ("job-failed", 4)
        assert await system.outcomes(job.id) == ["failed", "crashed", "crashed", "failed"]
        assert await system.counters(job.id) == (2, 2, 0)


async def test_a_crash_at_the_end_of_the_whole_time_is_final(database: Database) -> None:
    async with job_system(database, Failing([_died()]), clock=SteppedClock()) as system:
        job = await system.submit("test.failing", total_timeout=1)
        record = await system.finished(job.id)
        assert (record.status, record.error_code, record.attempt) == (JobStatus.FAILED, "job-process-died", 1)


async def test_a_poisoned_job_runs_again_when_it_is_retried_by_hand(database: Database) -> None:
    clock = SteppedClock()
    failing = Failing([_died() for _ in range(5)])
    async with job_system(database, failing, clock=clock) as system:
        poisoned = await _poison(system, clock, artifact_id=ULID(), total_timeout=100)
        clock.move(500)
        record = await system.jobs.retry(poisoned.id, {"value": 2})
        assert (record.status, record.error, record.error_code, record.progress) == (
            JobStatus.PENDING,
            None,
            None,
            None,
        )
        assert record.finished_at is None
        # What explains the failure may stand under the first identifier.
        assert record.artifact_id not in (None, poisoned.artifact_id)
        assert (await system.jobs.get_record(poisoned.id)).error_traceback is None
        assert (await system.jobs.list_events(poisoned.id))[7].data["reason"] == "restarted"
        # The counters are new: it may crash two times more, and so is the time that it has.
        await _crash(system, clock, poisoned.id, 2, first=4)
        record = await system.completed(poisoned.id)
        assert record.attempt == 6
        assert await system.jobs.get_result(record.id) == {"value": 2}
        assert await system.outcomes(record.id) == ["crashed"] * 5 + ["completed"]
        assert await system.counters(record.id) == (0, 2, 0)


async def test_a_failed_job_that_is_retried_keeps_its_payload_and_counts_anew(database: Database) -> None:
    failing = Failing([ValueError() for _ in range(3)], Retry(attempts=2, initial=0))
    async with job_system(database, failing) as system:
        job = await system.submit("test.failing", {"value": 1})
        assert (await system.finished(job.id)).attempt == 2
        assert await system.counters(job.id) == (2, 0, 0)
        await system.jobs.retry(job.id)
        record = await system.completed(job.id)
        assert (record.attempt, record.artifact_id) == (4, None)
        assert await system.jobs.get_result(job.id) == {"value": 1}


async def test_a_job_has_the_same_time_each_time_that_it_is_retried_by_hand(database: Database) -> None:
    clock = SteppedClock()
    async with job_system(database, Double(), start=False, clock=clock) as system:
        job = await system.submit("test.double", total_timeout=100)
        for _ in range(3):
            await system.jobs.cancel(job.id)
            clock.move(500)
            await system.jobs.retry(job.id)
            async with system.services.scope.read() as scope:
                deadline, expiry = (
                    await scope.session.execute(select(JOBS.c.deadline, JOBS.c.expires_at).where(JOBS.c.id == job.id))
                ).one()
            assert deadline == expiry == clock.now() + timedelta(seconds=100)


async def test_a_canceled_job_can_be_run_again(database: Database) -> None:
    held = Held()
    async with job_system(database, held) as system:
        job = await system.submit("test.held")
        await happens(held.begun)
        await system.jobs.cancel(job.id)
        assert (await system.finished(job.id)).status is JobStatus.CANCELED
        held.go.set()
        await system.jobs.retry(job.id)
        await system.completed(job.id)
        assert await system.outcomes(job.id) == ["canceled", "completed"]


async def test_what_cannot_be_run_again_says_why(database: Database) -> None:
    held = Held()

    def fail() -> None:
        raise ValueError

    async with job_system(database, Double(), held, Failing(), max_concurrency=1) as system:
        done = await system.completed((await system.submit("test.double", {"value": 1})).id)
        adhoc = await system.finished(await system.jobs.add_job(fail))
        running = await system.submit("test.held")
        await happens(held.begun)
        waiting = await system.submit("test.double")
        for job, code in (
            (done, "job-completed"),
            (adhoc, "job-not-durable"),
            (running, "job-not-finished"),
            (waiting, "job-not-finished"),
        ):
            before = await system.jobs.list_events(job.id)
            with pytest.raises(ConflictError) as refused:
                await system.jobs.retry(job.id, {"value": 3})
            assert refused.value.code == code
            assert await system.jobs.list_events(job.id) == before
        with pytest.raises(JobNotFoundError):
            await system.jobs.retry(ULID())
        held.go.set()
