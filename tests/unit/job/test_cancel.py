import asyncio

import pytest
from sqlalchemy import update

from chapkit.core.database import Database
from chapkit.core.errors import ConflictError
from chapkit.core.ids import ULID
from chapkit.job.context import JobContext
from chapkit.job.endings import canceled
from chapkit.job.errors import JobNotFoundError, StaleAttemptError
from chapkit.job.executors.user_code import UserCode
from chapkit.job.policies import Retry
from chapkit.job.ports import JobOutcome
from chapkit.job.recording import Recorder
from chapkit.job.rows import JOBS
from chapkit.job.runtime import JobLimits
from chapkit.job.schemas import JobStatus
from tests.unit.job.parts import Double, Failing, Held, Scripted, Threaded, claim_jobs, eventually, happens, job_system

pytestmark = pytest.mark.anyio


async def test_a_waiting_job_is_canceled_at_once(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        record = await system.jobs.cancel(job.id)
        assert record.status is JobStatus.CANCELED
        assert record.finished_at is not None
        assert record.attempt == 0


async def test_a_canceled_job_is_not_started(database: Database) -> None:
    held = Held()
    async with job_system(database, held, max_concurrency=1) as system:
        first, second = await system.submit("test.held"), await system.submit("test.held")
        await happens(held.begun)
        await system.jobs.cancel(second.id)
        held.go.set()
        await system.completed(first.id)
        assert (await system.jobs.get(second.id)).status is JobStatus.CANCELED
        assert held.starts == 1


async def test_a_job_that_is_canceled_between_two_attempts_has_not_failed(database: Database) -> None:
    async with job_system(database, Failing([ValueError("no such luck")], Retry(initial=60.0))) as system:
        job = await system.submit("test.failing")
        waiting = await system.becomes(job.id, JobStatus.PENDING, 1)
        assert waiting.error_code == "job-failed"
        record = await system.jobs.cancel(job.id)
        assert (record.status, record.error, record.error_code) == (JobStatus.CANCELED, None, None)
        (attempt,) = await system.jobs.list_attempts(job.id)
        assert (attempt.outcome, attempt.error) == ("failed", "ValueError: no such luck")


async def test_a_running_coroutine_is_canceled(database: Database) -> None:
    held = Held()
    async with job_system(database, held) as system:
        job = await system.submit("test.held")
        await happens(held.begun)
        assert (await system.jobs.cancel(job.id)).status is JobStatus.RUNNING
        assert (await system.finished(job.id)).status is JobStatus.CANCELED


async def test_a_thread_is_canceled_once_it_has_really_ended_and_its_result_is_dropped(database: Database) -> None:
    threaded = Threaded()
    async with job_system(database, threaded) as system:
        job = await system.submit("test.threaded")
        await happens(threaded.begun)
        await system.jobs.cancel(job.id)
        # Asking twice changes nothing more.
        assert (await system.jobs.cancel(job.id)).status is JobStatus.RUNNING
        assert (await system.jobs.wait_until_final(job.id, 0.01)).status is JobStatus.RUNNING
        [run] = system.engine._runs.values()
        await eventually(lambda: run.context.cancel_requested)
        threaded.go.set()
        assert (await system.finished(job.id)).status is JobStatus.CANCELED
        assert threaded.saw_cancel
        with pytest.raises(ConflictError) as refused:
            await system.jobs.get_result(job.id)
        assert refused.value.code == "job-not-finished"


async def test_a_handler_that_swallows_the_cancellation_ends_canceled_too(database: Database) -> None:
    begun = asyncio.Event()

    async def body(context: JobContext) -> JobOutcome:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return JobOutcome(result="too late")
        return JobOutcome()

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        await happens(begun)
        await system.jobs.cancel(job.id)
        assert (await system.finished(job.id)).status is JobStatus.CANCELED


async def test_a_cancellation_that_nobody_asked_for_is_a_failure(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        raise asyncio.CancelledError

    async with job_system(database, Scripted(body)) as system:
        record = await system.finished((await system.submit("test.scripted")).id)
        assert (record.status, record.error) == (JobStatus.FAILED, "CancelledError")


async def test_a_job_that_has_ended_cannot_be_canceled(database: Database) -> None:
    async with job_system(database, Double()) as system:
        job = await system.submit("test.double", {"value": 1})
        await system.completed(job.id)
        with pytest.raises(ConflictError) as refused:
            await system.jobs.cancel(job.id)
        assert refused.value.code == "job-finished"
        with pytest.raises(JobNotFoundError):
            await system.jobs.cancel(ULID())


async def test_a_request_that_nobody_told_of_is_found(database: Database) -> None:
    held = Held()
    async with job_system(database, held, limits=JobLimits(look_every=0.1)) as system:
        job = await system.submit("test.held")
        await happens(held.begun)
        async with system.services.scope.write() as scope:
            await scope.session.execute(update(JOBS).where(JOBS.c.id == job.id).values(cancel_requested=True))
        assert (await system.finished(job.id)).status is JobStatus.CANCELED


async def test_a_request_in_the_last_moment_wins_over_the_result(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        async with context.scope.write() as scope:
            await scope.session.execute(update(JOBS).where(JOBS.c.id == context.job_id).values(cancel_requested=True))
        return JobOutcome(result=1)

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        assert (await system.finished(job.id)).status is JobStatus.CANCELED


async def test_what_a_job_told_is_written_once_when_a_request_comes_in_the_last_moment(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        [claim] = await claim_jobs(system)
        context = JobContext(claim, system.services, UserCode())
        context.log("nearly done")
        await system.jobs.cancel(job.id)
        recorder = Recorder(system.runtime)
        with pytest.raises(StaleAttemptError):
            await recorder.completed(context, JobOutcome(result=1))
        await recorder.stopped(context, canceled(claim))
        events = await system.jobs.list_events(job.id)
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert [event.data["message"] for event in events if event.kind == "log"] == [
            "The job was asked to stop",
            "nearly done",
        ]


async def test_deleting_stops_a_running_job_first(database: Database) -> None:
    held = Held()
    async with job_system(database, held) as system:
        job = await system.submit("test.held")
        await happens(held.begun)
        await system.jobs.delete(job.id)
        assert await system.jobs.find(job.id) is None
        with pytest.raises(JobNotFoundError):
            await system.jobs.delete(job.id)


async def test_a_job_that_does_not_stop_is_not_deleted(database: Database) -> None:
    threaded = Threaded()
    async with job_system(database, threaded) as system:
        job = await system.submit("test.threaded")
        await happens(threaded.begun)
        with pytest.raises(ConflictError) as refused:
            await system.jobs.delete(job.id, timeout=0.01)
        assert refused.value.code == "job-still-running"
        threaded.go.set()
        await system.finished(job.id)
        await system.jobs.delete(job.id)


async def test_waiting_and_finished_jobs_are_deleted(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        await system.jobs.delete(job.id)
        assert (await system.jobs.stats()).total == 0


async def test_who_waits_for_a_job_hears_that_it_was_deleted(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        waiting = asyncio.create_task(system.jobs.wait_until_final(job.id, 10))
        await asyncio.sleep(0)
        await system.jobs.delete(job.id)
        with pytest.raises(JobNotFoundError):
            await waiting
