import asyncio
from datetime import timedelta

import pytest

from chapkit.core.database import Database
from chapkit.core.services import Scope
from chapkit.job.context import JobContext
from chapkit.job.policies import Retry
from chapkit.job.ports import JobOutcome
from chapkit.job.schemas import JobStatus
from tests.unit.job.parts import Double, Failing, Scripted, SteppedClock, compute, eventually, job_system

pytestmark = pytest.mark.anyio

_AT_ONCE = Retry(attempts=3, initial=0, jitter=False)


async def test_a_job_that_fails_is_tried_again_as_its_handler_says(database: Database) -> None:
    failing = Failing([ValueError("one"), OSError("two")], retry=_AT_ONCE)
    async with job_system(database, failing) as system:
        job = await system.submit("test.failing", {"value": 1})
        record = await system.completed(job.id)
        assert (record.attempt, record.error, record.error_code) == (3, None, None)
        assert await system.jobs.get_result(job.id) == {"value": 1}
        first, second, third = await system.jobs.list_attempts(job.id)
        assert (first.number, first.outcome, first.error, first.error_code) == (
            1,
            "failed",
            "ValueError: one",
            "job-failed",
        )
        assert (second.number, second.outcome, second.error) == (2, "failed", "OSError: two")
        assert (third.number, third.outcome, third.error) == (3, "completed", None)
        assert failing.diagnoses == 0
        for attempt in (first, second, third):
            assert attempt.finished_at is not None
            assert attempt.started_at <= attempt.finished_at
        events = [event.data for event in await system.jobs.list_events(job.id)]
        assert [event["status"] for event in events] == ["pending", *("running", "pending") * 2, "running", "completed"]
        assert [event.get("reason") for event in events] == [None, None, "retry", None, "retry", None, None]
        assert (events[2]["error"], events[3]["error"]) == ("ValueError: one", None)


async def test_without_a_policy_a_failure_is_final(database: Database) -> None:
    failing = Failing([ValueError("one")])
    async with job_system(database, failing) as system:
        job = await system.submit("test.failing")
        assert (await system.finished(job.id)).status is JobStatus.FAILED
        assert await system.outcomes(job.id) == ["failed"]
        assert failing.diagnoses == 1


async def test_what_a_job_says_of_retries_goes_before_what_its_handler_says(database: Database) -> None:
    failing = Failing([ValueError(str(number)) for number in range(9)], retry=_AT_ONCE)
    async with job_system(database, failing) as system:
        job = await system.submit("test.failing", retry=Retry(attempts=2, initial=0))
        record = await system.finished(job.id)
        assert (record.status, record.attempt, record.error) == (JobStatus.FAILED, 2, "ValueError: 1")
        assert await system.outcomes(job.id) == ["failed", "failed"]
        # Only the last failure is one of the job.
        assert failing.diagnoses == 1
        assert await system.counters(job.id) == (2, 0, 0)


@pytest.mark.parametrize(
    ("retry", "outcomes"),
    [
        (Retry(initial=0, on=(OSError,)), ["failed", "failed"]),
        (Retry(initial=0, never=(ValueError,)), ["failed", "failed"]),
        (Retry(initial=0, on=("LookupError",)), ["failed"]),
        (Retry(initial=0, on=(Exception,), never=("OSError",)), ["failed"]),
    ],
)
async def test_only_errors_that_may_pass_are_worth_another_attempt(
    retry: Retry, outcomes: list[str], database: Database
) -> None:
    async with job_system(database, Failing([FileNotFoundError("gone"), ValueError("wrong")], retry)) as system:
        job = await system.submit("test.failing")
        assert (await system.finished(job.id)).status is JobStatus.FAILED
        assert await system.outcomes(job.id) == outcomes


async def test_a_wait_holds_no_slot_and_survives_a_restart(database: Database) -> None:
    clock = SteppedClock()
    retry = Retry(attempts=2, initial=60, jitter=False)
    async with job_system(
        database, Failing([OSError("away")], retry), Double(), max_concurrency=1, clock=clock
    ) as system:
        job = await system.submit("test.failing")
        await system.becomes(job.id, JobStatus.PENDING, 1)
        event = (await system.jobs.list_events(job.id))[-1]
        assert event.data["reason"] == "retry"
        assert event.data["run_after"] == (clock.now() + timedelta(seconds=60)).isoformat().replace("+00:00", "Z")
        await system.completed((await system.submit("test.double", {"value": 1})).id)
        assert (await system.jobs.get(job.id)).status is JobStatus.PENDING
    async with job_system(database, Failing(), Double(), max_concurrency=1, clock=clock) as system:
        await system.pass_time(clock, 59)
        await system.completed((await system.submit("test.double", {"value": 1})).id)
        assert (await system.jobs.get(job.id)).status is JobStatus.PENDING
        await system.pass_time(clock, 1)
        assert (await system.completed(job.id)).attempt == 2


async def test_the_pauses_grow(database: Database) -> None:
    clock = SteppedClock()
    retry = Retry(attempts=4, initial=10, factor=3, maximum=50, jitter=False)
    async with job_system(database, Failing([OSError()] * 3, retry), Double(), clock=clock) as system:
        job = await system.submit("test.failing")
        for attempt, pause in ((1, 10), (2, 30), (3, 50)):
            await system.becomes(job.id, JobStatus.PENDING, attempt)
            await system.pass_time(clock, pause - 1)
            await system.completed((await system.submit("test.double", {"value": 1})).id)
            assert (await system.jobs.get(job.id)).attempt == attempt
            await system.pass_time(clock, 1)
        assert (await system.completed(job.id)).attempt == 4


async def test_a_job_that_comes_back_at_once_is_run_as_often_as_it_was_claimed(database: Database) -> None:
    async with job_system(database, Failing([OSError()] * 14, Retry(attempts=15, initial=0))) as system:
        job = await system.submit("test.failing")
        while not (await system.jobs.get(job.id)).status.is_final:
            # The engine may claim it before it has quite done with the attempt before.
            system.runtime.dispatcher.wake()
            await asyncio.sleep(0)
        assert await system.outcomes(job.id) == ["failed"] * 14 + ["completed"]
        await eventually(lambda: system.engine.running == 0)


async def test_a_job_whose_time_would_be_over_is_not_tried_again(database: Database) -> None:
    retry = Retry(initial=60, jitter=False)
    failing = Failing([OSError("away")], retry)
    async with job_system(database, failing, clock=SteppedClock()) as system:
        job = await system.submit("test.failing", total_timeout=60)
        record = await system.finished(job.id)
        assert (record.status, record.error, record.error_code) == (JobStatus.FAILED, "OSError: away", "job-failed")
        assert failing.diagnoses == 1


async def test_a_job_whose_time_ends_between_two_attempts_fails(database: Database) -> None:
    clock = SteppedClock()
    async with job_system(database, Failing([OSError("away")], Retry(initial=60, jitter=False)), clock=clock) as system:
        job = await system.submit("test.failing", total_timeout=100)
        await system.becomes(job.id, JobStatus.PENDING, 1)
    clock.move(200)
    async with job_system(database, Failing(), clock=clock) as system:
        record = await system.finished(job.id)
        assert (record.status, record.error_code, record.attempt) == (JobStatus.FAILED, "job-deadline-passed", 1)
        assert record.finished_at == clock.now()


async def test_a_job_that_waits_for_another_attempt_is_canceled_at_once(database: Database) -> None:
    async with job_system(database, Failing([OSError()], Retry(initial=60)), clock=SteppedClock()) as system:
        job = await system.submit("test.failing")
        await system.becomes(job.id, JobStatus.PENDING, 1)
        record = await system.jobs.cancel(job.id)
        assert (record.status, record.attempt) == (JobStatus.CANCELED, 1)
        assert await system.outcomes(job.id) == ["failed"]


async def test_a_result_that_cannot_be_recorded_is_tried_again_too(database: Database) -> None:
    tries: list[int] = []

    async def record(scope: Scope) -> str:
        tries.append(1)
        if len(tries) < 2:
            raise OSError("no room")
        return "there"

    async def body(context: JobContext) -> JobOutcome:
        return JobOutcome(record=record)

    async with job_system(database, Scripted(body, retry=_AT_ONCE)) as system:
        job = await system.submit("test.scripted")
        await system.completed(job.id)
        assert await system.outcomes(job.id) == ["failed", "completed"]
        assert await system.jobs.get_result(job.id) == "there"


async def test_what_a_failed_attempt_told_stays(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        context.log(f"attempt {context.attempt}")
        context.progress(0.5, "half")
        if context.attempt == 1:
            raise OSError
        return JobOutcome()

    async with job_system(database, Scripted(body, retry=_AT_ONCE)) as system:
        job = await system.submit("test.scripted")
        await system.completed(job.id)
        events = await system.jobs.list_events(job.id)
        assert [event.number for event in events] == list(range(1, len(events) + 1))
        assert [event.data["message"] for event in events if event.kind == "log"] == ["attempt 1", "attempt 2"]
        # A new attempt begins at nothing.
        second = next(event for event in events if event.data.get("attempt") == 2)
        assert second.data["progress"] is None


async def test_an_attempt_knows_what_it_has_used(database: Database) -> None:
    go = asyncio.Event()

    async def body(context: JobContext) -> JobOutcome:
        await context.run_user_function(compute, 0.02)
        await context.run_user_function(compute, 0.02)
        if context.attempt == 1:
            raise OSError
        await go.wait()
        return JobOutcome()

    async with job_system(database, Scripted(body, retry=_AT_ONCE)) as system:
        job = await system.submit("test.scripted")
        await system.becomes(job.id, JobStatus.RUNNING, 2)
        first, second = await system.jobs.list_attempts(job.id)
        assert first.cpu_seconds is not None
        assert first.cpu_seconds >= 0.04
        assert (first.peak_memory or 0) > 10_000_000
        assert (second.number, second.finished_at, second.outcome) == (2, None, None)
        go.set()
        await system.completed(job.id)
        assert await system.outcomes(job.id) == ["failed", "completed"]
