import asyncio
import contextvars
import gc

import pytest

from chapkit.core.database import Database
from chapkit.core.errors import UnavailableError
from chapkit.core.ids import ULID
from chapkit.job import adhoc
from chapkit.job.errors import JobFailedError, JobNotFoundError, JobResultError
from chapkit.job.ledger import JobLedger
from chapkit.job.policies import Retry
from chapkit.job.queue import JobQueue
from chapkit.job.repository import JobRepository
from chapkit.job.rows import render
from chapkit.job.schemas import JobRecord, JobSpec, JobStatus
from tests.unit.job.parts import Double, Failing, Held, SteppedClock, happens, job_system

pytestmark = pytest.mark.anyio

_place: contextvars.ContextVar[str] = contextvars.ContextVar("_place")


async def _add(first: int, second: int = 0) -> int:
    return first + second


async def test_functions_coroutine_functions_and_coroutines_run_as_jobs(database: Database) -> None:
    async with job_system(database) as system:
        jobs = system.jobs
        for job in (
            await jobs.add_job(lambda first, second: first + second, 1, second=2),
            await jobs.add_job(_add, 1, second=2),
            await jobs.add_job(_add(1, 2)),
            await jobs.add_job(asyncio.ensure_future(_add(1, 2))),
        ):
            await jobs.wait(job, 10)
            assert await jobs.get_result(job) == 3
            assert await jobs.get_status(job) is JobStatus.COMPLETED


async def test_a_result_that_is_an_identifier_is_the_artifact_of_the_job(database: Database) -> None:
    artifact = ULID()
    async with job_system(database) as system:
        job = await system.jobs.add_job(lambda: artifact)
        assert (await system.completed(job)).artifact_id == artifact
        text = await system.jobs.add_job(lambda: str(artifact))
        assert (await system.completed(text)).artifact_id is None


async def test_waiting_raises_what_the_function_raised(database: Database) -> None:
    def fail() -> None:
        raise LookupError("nothing there")

    async with job_system(database) as system:
        job = await system.jobs.add_job(fail)
        with pytest.raises(LookupError, match="nothing there"):
            await system.jobs.wait(job, 10)
        record = await system.jobs.get_record(job)
        assert (record.status, record.error) == (JobStatus.FAILED, "LookupError: nothing there")
        assert "Traceback" in (record.error_traceback or "")
        with pytest.raises(JobFailedError, match="nothing there"):
            await system.jobs.get_result(job)


async def test_arguments_for_an_awaitable_are_refused_by_the_job(database: Database) -> None:
    async with job_system(database) as system:
        job = await system.jobs.add_job(_add(1), 2)
        with pytest.raises(TypeError, match="Args/kwargs not supported"):
            await system.jobs.wait(job, 10)


async def test_waiting_has_an_end(database: Database) -> None:
    held = Held()
    async with job_system(database, held) as system:
        job = await system.submit("test.held")
        await happens(held.begun)
        with pytest.raises(TimeoutError):
            await system.jobs.wait(job.id, 0.01)
        with pytest.raises(JobResultError, match="not finished"):
            await system.jobs.get_result(job.id)
        await system.jobs.cancel(job.id)
        with pytest.raises(asyncio.CancelledError):
            await system.jobs.wait(job.id, 10)


async def test_the_context_of_the_caller_is_seen(database: Database) -> None:
    async with job_system(database) as system:
        _place.set("here")
        job = await system.jobs.add_job(_place.get)
        await system.jobs.wait(job, 10)
        assert await system.jobs.get_result(job) == "here"


async def test_every_accessor_says_that_a_job_is_unknown(database: Database) -> None:
    async with job_system(database, start=False) as system:
        jobs = system.jobs
        for accessor in (jobs.get_status, jobs.get_record, jobs.get_result, jobs.wait, jobs.cancel, jobs.delete):
            with pytest.raises(JobNotFoundError, match="Job not found"):
                await accessor(ULID())
            with pytest.raises(KeyError):
                await accessor(ULID())


async def test_records_come_newest_first(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        ids = [(await system.submit("test.double")).id for _ in range(3)]
        assert [record.id for record in await system.jobs.get_all_records()] == ids[::-1]
        assert [record.id for record in await system.jobs.list(limit=1, offset=1)] == [ids[1]]


async def test_a_coroutine_that_never_starts_is_closed(database: Database) -> None:
    async with job_system(database, start=False) as system:
        canceled = await system.jobs.add_job(_add(1))
        await system.jobs.add_job(_add(2))
        await system.jobs.cancel(canceled)
    # A coroutine that nobody awaited warns when it is collected, and warnings are errors.
    gc.collect()


async def test_ad_hoc_work_ends_with_its_process(database: Database) -> None:
    async with job_system(database, start=False) as system:
        job = await system.jobs.add_job(print)
    async with job_system(database, start=False) as system:
        record = await system.jobs.get(job)
        assert (record.status, record.error_code) == (JobStatus.FAILED, "job-not-durable")
        with pytest.raises(JobFailedError):
            await system.jobs.wait(job)
        with pytest.raises(JobFailedError):
            await system.jobs.get_result(job)


async def test_a_result_that_is_no_longer_in_memory_is_said_so(database: Database) -> None:
    async with job_system(database) as system:
        job = await system.jobs.add_job(lambda: 1)
        await system.completed(job)
    async with job_system(database, start=False) as system:
        with pytest.raises(JobResultError, match="no longer in memory"):
            await system.jobs.get_result(job)


async def test_the_names_of_the_first_release_stand_for_the_service() -> None:
    from chapkit import scheduler
    from chapkit.job import JobService

    assert scheduler.JobScheduler is scheduler.AIOJobScheduler is JobService
    assert scheduler.JobStatus is JobStatus
    with pytest.raises(AttributeError):
        _ = scheduler.nothing


async def test_a_coroutine_that_is_refused_is_closed(database: Database) -> None:
    async with job_system(database, start=False) as system:
        system.jobs.close()
        with pytest.raises(UnavailableError):
            await system.jobs.add_job(_add(1))
    gc.collect()


async def test_only_the_last_results_and_errors_stay_in_memory(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(adhoc, "_KEPT", 2)
    async with job_system(database) as system:
        jobs = [await system.jobs.add_job(_add, 1, number) for number in range(3)]
        for job in jobs:
            await system.jobs.wait(job, 10)
        gone = [job for job in jobs if not system.jobs._adhoc.has_result(job)]
        assert len(gone) == 1
        with pytest.raises(JobResultError, match="no longer in memory"):
            await system.jobs.get_result(gone[0])


async def test_jobs_are_listed_counted_and_rendered_by_status_and_kind(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        sums = [(await system.submit("test.double", labels={"kind": "sum"})).id for _ in range(3)]
        await system.submit("test.double")
        await system.jobs.cancel(sums[0])
        assert [job.id for job in await system.jobs.list(status=JobStatus.PENDING, kind="sum")] == sums[:0:-1]
        async with system.services.scope.read() as scope:
            repository = JobRepository(scope.session)
            assert await repository.count() == 4
            assert await repository.count(status="pending", kind="sum") == 2
            found = await repository.find_with_last(sums[0])
            assert found is not None
            assert (found[0]["status"], found[1]) == ("canceled", 2)
            assert await repository.find_with_last(ULID()) is None
            [text] = render(await repository.list(kind="test.double"))
        assert JobRecord.model_validate_json(text).kind == "test.double"


async def test_a_key_whose_job_goes_in_the_same_moment_may_be_tried_again(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system, system.services.scope.write() as scope:
        with pytest.raises(UnavailableError) as refused:
            await system.jobs._find_first({"key": "gone"}, scope)
        assert refused.value.code == "job-key-busy"


async def test_a_queue_needs_neither_names_nor_a_limit(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        queue = JobQueue(system.runtime)
        async with system.services.scope.write() as scope:
            job = await queue.submit(JobSpec(handler="test.double", queue="any"), scope)
        assert (await queue.get(job.id)).status is JobStatus.PENDING


async def test_an_attempt_that_ends_while_it_is_read_is_listed_once(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    async with job_system(database, held) as system:
        job = await system.submit("test.held")
        await happens(held.begun)
        async with system.services.scope.read() as scope:
            before = await JobRepository(scope.session).find_attempt(job.id)

        async def find_attempt(self: JobRepository, job_id: ULID) -> object:
            return before

        held.go.set()
        await system.completed(job.id)
        # As PostgreSQL shows it to one transaction that looks twice.
        monkeypatch.setattr(JobRepository, "find_attempt", find_attempt)
        assert [(each.number, each.outcome) for each in await system.jobs.list_attempts(job.id)] == [(1, "completed")]


async def test_a_job_that_ends_between_two_attempts_keeps_no_traceback_of_the_last_one(database: Database) -> None:
    failing = Failing([ValueError("no"), ValueError("no")], retry=Retry(attempts=2, initial=3600))
    clock = SteppedClock()
    async with job_system(database, failing, clock=clock) as system:
        canceled = await system.submit("test.failing")
        expired = await system.submit("test.failing", total_timeout=7200)
        for job in (canceled, expired):
            await system.becomes(job.id, JobStatus.PENDING, 1)
            assert (await system.jobs.get_record(job.id)).error_traceback
        await system.jobs.cancel(canceled.id)
        await system.engine.shutdown(0)
        clock.move(7200)
        async with system.services.scope.write() as scope:
            assert await JobLedger(scope.session, clock.now()).expire() == [expired.id]
        for job in (canceled, expired):
            assert (await system.jobs.get_record(job.id)).error_traceback is None
