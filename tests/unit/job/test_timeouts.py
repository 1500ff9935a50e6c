import asyncio
import threading
from datetime import timedelta
from pathlib import Path

import pytest

from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError
from chapkit.job.attempt_limit import AttemptLimit
from chapkit.job.context import JobContext
from chapkit.job.policies import Retry
from chapkit.job.ports import JobOutcome
from chapkit.job.runtime import JobLimits
from chapkit.job.schemas import JobSpec, JobStatus
from tests.unit.job.executors import work
from tests.unit.job.parts import (
    PATIENCE,
    Double,
    Failing,
    Held,
    Scripted,
    SteppedClock,
    Threaded,
    eventually,
    happens,
    job_system,
)

pytestmark = pytest.mark.anyio

_AT_ONCE = Retry(attempts=2, initial=0)
_IMPATIENT = JobLimits(desert_after=0.05, look_every=1000)


class Answering:
    """Works in a thread and looks now and then whether it should stop."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.ended = 0

    async def __call__(self, context: JobContext) -> JobOutcome:
        await context.run_user_function(self._work, context)
        return JobOutcome()

    def _work(self, context: JobContext) -> None:
        self.begun.set()
        tick = threading.Event()
        try:
            while not tick.wait(0.005):
                context.check_canceled()
        finally:
            self.ended += 1


async def test_an_attempt_that_takes_too_long_fails(database: Database) -> None:
    held = Held()
    async with job_system(database, held) as system:
        job = await system.submit("test.held", timeout=0.05)
        record = await system.finished(job.id)
        assert (record.status, record.error_code) == (JobStatus.FAILED, "job-timed-out")
        assert record.error == "JobTimeoutError: The attempt took longer than the 0.05 seconds that it may"
        assert await system.outcomes(job.id) == ["timed-out"]


async def test_an_attempt_that_is_quick_enough_is_not_held_up_by_its_limits(database: Database) -> None:
    async with job_system(database, Double()) as system:
        job = await system.submit("test.double", {"value": 1}, timeout=60, total_timeout=60, queue_timeout=60)
        assert (await system.completed(job.id)).error is None


async def test_an_attempt_that_took_too_long_is_tried_again(database: Database) -> None:
    held = Held()
    async with job_system(database, held) as system:
        job = await system.submit("test.held", timeout=0.05, retry=_AT_ONCE)
        record = await system.finished(job.id)
        assert (record.error_code, record.attempt, held.starts) == ("job-timed-out", 2, 2)
        assert await system.outcomes(job.id) == ["timed-out", "timed-out"]


async def test_a_policy_may_leave_out_what_took_too_long(database: Database) -> None:
    async with job_system(database, Held()) as system:
        job = await system.submit("test.held", timeout=0.05, retry=Retry(initial=0, never=(TimeoutError,)))
        assert (await system.finished(job.id)).attempt == 1


async def test_a_handler_says_how_long_an_attempt_may_take_unless_the_job_does(database: Database) -> None:
    go = asyncio.Event()

    async def body(context: JobContext) -> JobOutcome:
        await go.wait()
        return JobOutcome()

    async with job_system(database, Scripted(body, timeout=0.05)) as system:
        longer = await system.submit("test.scripted", timeout=60)
        job = await system.submit("test.scripted")
        assert (await system.finished(job.id)).error_code == "job-timed-out"
        go.set()
        await system.completed(longer.id)


async def test_a_thread_that_answers_ends_before_its_job_does(database: Database) -> None:
    answering = Answering()
    async with job_system(database, Scripted(answering)) as system:
        job = await system.submit("test.scripted", timeout=0.05, retry=_AT_ONCE)
        record = await system.finished(job.id)
        assert (record.error_code, record.attempt) == ("job-timed-out", 2)
        assert answering.ended == 2


async def test_a_thread_that_does_not_answer_is_left_to_itself_and_no_second_one_starts(database: Database) -> None:
    threaded = Threaded()
    async with job_system(database, threaded, limits=_IMPATIENT) as system:
        job = await system.submit("test.threaded", timeout=0.05, retry=_AT_ONCE)
        record = await system.finished(job.id)
        assert (record.status, record.error_code, record.attempt) == (JobStatus.FAILED, "job-timed-out", 1)
        assert "left to itself" in (record.error or "")
        assert await system.outcomes(job.id) == ["timed-out"]
        # Its slot is free again, and what it comes to is dropped.
        await eventually(lambda: system.engine.running == 0)
        threaded.go.set()
        await eventually(lambda: threaded.saw_cancel)
        assert (await system.jobs.get(job.id)).status is JobStatus.FAILED


async def test_a_thread_that_does_not_answer_is_never_said_to_be_canceled(database: Database) -> None:
    threaded = Threaded()
    async with job_system(database, threaded, limits=_IMPATIENT) as system:
        job = await system.submit("test.threaded", retry=_AT_ONCE)
        await happens(threaded.begun)
        await system.jobs.cancel(job.id)
        record = await system.finished(job.id)
        assert (record.status, record.error_code) == (JobStatus.FAILED, "job-deserted")
        assert "check_canceled" in (record.error or "")
        assert await system.outcomes(job.id) == ["failed"]
        threaded.go.set()


async def test_a_coroutine_that_blocks_its_loop_and_does_not_answer_holds_up_no_other_job(database: Database) -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    async def block() -> str:
        begun.set()
        go.wait(2 * PATIENCE)
        ended.set()
        return "late"

    async def greet() -> str:
        return "done"

    async def body(context: JobContext) -> JobOutcome:
        return JobOutcome(result=await context.run_user_function(block if context.payload["blocks"] else greet))

    async with job_system(database, Scripted(body), limits=_IMPATIENT) as system:
        blocking = await system.submit("test.scripted", {"blocks": True}, timeout=0.05)
        await happens(begun)
        # Comes to the blocked loop before it is left, or to a new one behind it.
        jobs = [await system.submit("test.scripted", {"blocks": False})]
        assert (await system.finished(blocking.id)).error_code == "job-timed-out"
        jobs.append(await system.submit("test.scripted", {"blocks": False}))
        for job in jobs:
            await system.completed(job.id)
            assert await system.jobs.get_result(job.id) == "done"
        assert not ended.is_set()
        go.set()


async def test_a_thread_that_answers_ends_canceled(database: Database) -> None:
    answering = Answering()
    async with job_system(database, Scripted(answering)) as system:
        job = await system.submit("test.scripted")
        await happens(answering.begun)
        await system.jobs.cancel(job.id)
        assert (await system.finished(job.id)).status is JobStatus.CANCELED
        assert answering.ended == 1
        assert await system.outcomes(job.id) == ["canceled"]


async def test_a_job_that_is_canceled_after_its_time_was_over_ends_canceled(database: Database) -> None:
    threaded = Threaded()
    async with job_system(database, threaded, clock=SteppedClock()) as system:
        job = await system.submit("test.threaded", timeout=0.05, total_timeout=0.1)
        await happens(threaded.begun)
        [run] = system.engine._runs.values()
        await eventually(lambda: run.context.cancel_requested)
        await system.jobs.cancel(job.id)
        threaded.go.set()
        record = await system.finished(job.id)
        assert (record.status, record.error) == (JobStatus.CANCELED, None)


async def test_a_job_that_does_not_stop_can_still_be_deleted_when_it_is_left_to_itself(database: Database) -> None:
    threaded = Threaded()
    async with job_system(database, threaded, limits=_IMPATIENT) as system:
        job = await system.submit("test.threaded")
        await happens(threaded.begun)
        await system.jobs.delete(job.id)
        assert await system.jobs.find(job.id) is None
        threaded.go.set()


async def test_the_whole_time_ends_a_running_job_for_good(database: Database) -> None:
    async with job_system(database, Held(), clock=SteppedClock()) as system:
        job = await system.submit("test.held", total_timeout=0.05, retry=_AT_ONCE)
        record = await system.finished(job.id)
        assert (record.status, record.error_code, record.attempt) == (JobStatus.FAILED, "job-deadline-passed", 1)
        assert await system.outcomes(job.id) == ["timed-out"]


async def test_the_first_limit_that_is_reached_counts(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            await asyncio.sleep(0.1)
        return JobOutcome()

    # The clock stands still, so that the times begin with the attempt.
    async with job_system(database, Scripted(body), clock=SteppedClock()) as system:
        job = await system.submit("test.scripted", timeout=0.02, total_timeout=0.05)
        assert (await system.finished(job.id)).error_code == "job-timed-out"


async def test_a_job_that_waits_too_long_in_the_queue_fails(database: Database) -> None:
    clock = SteppedClock()
    async with job_system(database, Double(), start=False, clock=clock) as system:
        job = await system.submit("test.double", queue_timeout=10, total_timeout=60)
    clock.move(11)
    async with job_system(database, Double(), clock=clock) as system:
        record = await system.finished(job.id)
        assert (record.status, record.error_code, record.attempt) == (JobStatus.FAILED, "job-queue-timeout", 0)
        assert record.started_at is None
        assert (await system.jobs.list_events(job.id))[-1].data["error_code"] == "job-queue-timeout"
        assert await system.jobs.list_attempts(job.id) == []


@pytest.mark.parametrize("slots", [0, 1])
async def test_it_is_told_in_time_also_where_all_slots_are_in_use(slots: int, database: Database) -> None:
    held = Held()
    async with job_system(database, held, max_concurrency=slots, limits=JobLimits(look_every=60)) as system:
        blocker = await system.submit("test.held")
        if slots:
            await happens(held.begun)
        job = await system.submit("test.held", queue_timeout=0.1)
        assert (await system.finished(job.id)).error_code == "job-queue-timeout"
        assert (await system.jobs.get(blocker.id)).status is (JobStatus.RUNNING if slots else JobStatus.PENDING)


async def test_the_time_in_the_queue_counts_from_the_moment_that_the_job_asked_for(database: Database) -> None:
    clock = SteppedClock()
    async with job_system(database, Double(), clock=clock, limits=JobLimits(look_every=0.05)) as system:
        later = clock.now() + timedelta(seconds=100)
        job = await system.submit("test.double", {"value": 1}, run_after=later, queue_timeout=10)
        clock.move(50)
        await system.completed((await system.submit("test.double", {"value": 1})).id)
        assert (await system.jobs.get(job.id)).status is JobStatus.PENDING
        await system.pass_time(clock, 50)
        await system.completed(job.id)


async def test_the_time_in_the_queue_is_no_limit_for_what_has_begun(database: Database) -> None:
    clock = SteppedClock()
    failing = Failing([OSError()], Retry(attempts=2, initial=60, jitter=False))
    async with job_system(database, failing, clock=clock) as system:
        job = await system.submit("test.failing", queue_timeout=10)
        await system.becomes(job.id, JobStatus.PENDING, 1)
        await system.pass_time(clock, 60)
        assert (await system.completed(job.id)).attempt == 2


async def test_what_swallows_its_end_at_the_limit_has_failed_all_the_same(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        try:
            await asyncio.sleep(PATIENCE)
        except asyncio.CancelledError:
            return JobOutcome(result="too late")
        return JobOutcome()

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted", timeout=0.05)
        record = await system.finished(job.id)
        assert (record.status, record.error_code) == (JobStatus.FAILED, "job-timed-out")


@pytest.mark.parametrize("name", ["timeout", "total_timeout", "queue_timeout"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf"), 400 * 86400])
def test_limits_that_make_no_sense_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=name) as refused:
        JobSpec(handler="test.double", **{name: value})
    assert refused.value.code == "job-spec-invalid"


def test_a_limit_of_no_job_at_once_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="concurrency_limit"):
        JobSpec(handler="test.double", concurrency_key="k", concurrency_limit=0)


async def test_what_an_attempt_waits_for_its_turn_takes_nothing_from_its_time(database: Database) -> None:
    later, over = asyncio.Event(), asyncio.Event()

    async def body(context: JobContext) -> JobOutcome:
        with context.waiting(), context.waiting():
            AttemptLimit(0.1, later.set)
            await happens(later)
        if context.payload["goes_on"]:
            await over.wait()
        return JobOutcome()

    async with job_system(database, Scripted(body)) as system:
        quick = await system.submit("test.scripted", {"goes_on": False}, timeout=0.05)
        assert (await system.finished(quick.id)).status is JobStatus.COMPLETED
        slow = await system.submit("test.scripted", {"goes_on": True}, timeout=0.05)
        assert (await system.finished(slow.id)).error_code == "job-timed-out"


async def test_the_wait_of_a_job_for_a_child_takes_nothing_from_its_time(database: Database, tmp_path: Path) -> None:
    async def body(context: JobContext) -> JobOutcome:
        context.executor = "process"
        return JobOutcome(result=await context.run_user_function(work.pid_when, str(tmp_path), 1))

    later = asyncio.Event()
    async with job_system(database, Scripted(body), processes=1) as system:
        blocker = asyncio.create_task(system.runtime.user_code.processes.run(work.pid_when, str(tmp_path), 3))
        await eventually(lambda: any(tmp_path.iterdir()))
        job = await system.submit("test.scripted", timeout=PATIENCE / 10)
        await system.becomes(job.id, JobStatus.RUNNING)
        AttemptLimit(PATIENCE / 10 + 0.5, later.set)
        await happens(later)
        for name in ("second", "third"):
            (tmp_path / name).touch()
        await blocker
        await system.completed(job.id)


async def test_threads_that_never_answer_keep_none_from_other_jobs(database: Database) -> None:
    go = threading.Event()

    async def body(context: JobContext) -> JobOutcome:
        await context.run_user_function(go.wait, None if context.payload["hangs"] else 0)
        return JobOutcome()

    async with job_system(database, Scripted(body), limits=_IMPATIENT, max_concurrency=8) as system:
        try:
            hanging = [await system.submit("test.scripted", {"hangs": True}, timeout=0.05) for _ in range(41)]
            for job in hanging:
                assert (await system.finished(job.id)).error_code == "job-timed-out"
            other = await system.submit("test.scripted", {"hangs": False}, timeout=PATIENCE / 3)
            await system.completed(other.id)
        finally:
            go.set()
