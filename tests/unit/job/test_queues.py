import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import delete, update

from chapkit.core.clock import SystemClock
from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError, TooManyRequestsError, UnprocessableError
from chapkit.core.ids import ULID
from chapkit.job.context import JobContext
from chapkit.job.endings import Outcome
from chapkit.job.errors import JobNotFoundError
from chapkit.job.feature import JobFeature
from chapkit.job.ledger import JobLedger
from chapkit.job.notices import News
from chapkit.job.ports import JobHandler, JobOutcome
from chapkit.job.repository import JobRepository
from chapkit.job.rows import JOBS, OWNERS
from chapkit.job.runtime import JobLimits
from chapkit.job.schemas import JobEventRecord, JobStatus
from tests.unit.job.parts import (
    PATIENCE,
    Crowd,
    Double,
    Held,
    JobSystem,
    Scripted,
    SteppedClock,
    Threaded,
    another_job_system,
    claim_jobs,
    compute,
    eventually,
    happens,
    job_system,
)

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _two_systems(url: str, *handlers: JobHandler, **settings: Any) -> AsyncGenerator[list[JobSystem]]:
    async with AsyncExitStack() as stack:
        yield [await stack.enter_async_context(another_job_system(url, *handlers, **settings)) for _ in range(2)]


async def _all_completed(system: JobSystem, jobs: Sequence[ULID]) -> None:
    for job in jobs:
        await system.completed(job)


async def test_a_queue_runs_no_more_jobs_than_its_limit_in_all_processes_together(
    database: Database, table_url: str
) -> None:
    crowd, held = Crowd(), Held()
    async with _two_systems(table_url, crowd, held, queues={"slow": 2}, max_concurrency=5) as (first, second):
        jobs = [(await first.submit("test.crowd", queue="slow")).id for _ in range(6)]
        other = await second.submit("test.held")
        await eventually(lambda: len(crowd.runs) == 2 and held.starts == 1)
        assert sum(system.engine.running for system in (first, second)) == 3
        held.go.set()
        crowd.go.set()
        await _all_completed(second, [*jobs, other.id])
        assert crowd.most == 2


@pytest.mark.parametrize("limit", [1, 2])
async def test_jobs_with_one_key_keep_to_its_limit_in_all_processes_together(
    limit: int, database: Database, table_url: str
) -> None:
    crowd = Crowd()
    async with _two_systems(table_url, crowd, max_concurrency=5) as (first, second):
        jobs = [(await first.submit("test.crowd", concurrency_key="k", concurrency_limit=limit)).id for _ in range(5)]
        await eventually(lambda: len(crowd.runs) == limit)
        crowd.go.set()
        await _all_completed(second, jobs)
        assert crowd.most == limit


async def test_a_job_whose_key_is_in_use_is_passed_by_the_others(database: Database) -> None:
    held = Held()
    async with job_system(database, held, Double(), max_concurrency=2) as system:
        first = await system.submit("test.held", concurrency_key="k")
        await happens(held.begun)
        second = await system.submit("test.held", concurrency_key="k")
        other_key = await system.submit("test.double", {"value": 1}, concurrency_key="l")
        no_key = await system.submit("test.double", {"value": 1})
        await system.completed(other_key.id)
        await system.completed(no_key.id)
        assert (await system.jobs.get(second.id)).status is JobStatus.PENDING
        held.go.set()
        await _all_completed(system, [first.id, second.id])


async def test_one_claim_keeps_to_the_limit_of_a_key(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        one = [(await system.submit("test.double", concurrency_key="k")).id for _ in range(3)]
        two = [(await system.submit("test.double", concurrency_key="l", concurrency_limit=2)).id for _ in range(3)]
        claims = await claim_jobs(system, "A" * 26, 10)
        assert [claim.fence.job_id for claim in claims] == [one[0], *two[:2]]
        assert await claim_jobs(system, "B" * 26, 10) == []


async def test_an_empty_key_is_a_key(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        first, *_ = [(await system.submit("test.double", concurrency_key="")).id for _ in range(3)]
        assert [claim.fence.job_id for claim in await claim_jobs(system, "A" * 26, 10)] == [first]


async def test_no_queue_starvesanother_job_system(database: Database) -> None:
    order: list[str] = []

    async def body(context: JobContext) -> JobOutcome:
        order.append(context.labels["queue"])
        return JobOutcome()

    queues = ["a", "b", "c"]
    settings: dict[str, Any] = {"queues": dict.fromkeys(queues), "max_concurrency": 1}
    async with job_system(database, Scripted(body), start=False, **settings) as system:
        jobs: list[ULID] = []
        for queue, number in (("a", 12), ("b", 3), ("c", 3)):
            # Priority is one within a queue.
            options: dict[str, Any] = {"queue": queue, "labels": {"queue": queue}, "priority": number}
            jobs += [(await system.submit("test.scripted", **options)).id for _ in range(number)]
    async with job_system(database, Scripted(body), **settings) as system:
        await _all_completed(system, jobs)
        assert sorted(order[:9]) == ["a"] * 3 + ["b"] * 3 + ["c"] * 3
        assert all(sorted(order[start : start + 3]) == queues for start in (0, 3, 6))


async def test_jobs_of_a_queue_begin_by_priority_then_by_age(database: Database) -> None:
    crowd = Crowd()
    crowd.go.set()
    async with job_system(database, crowd, start=False) as system:
        priorities = [0, 5, -1, 5, 0]
        jobs = [(await system.submit("test.crowd", priority=priority)).id for priority in priorities]
    async with job_system(database, crowd, max_concurrency=1) as system:
        await _all_completed(system, jobs)
        assert crowd.order == [jobs[place] for place in (1, 3, 0, 4, 2)]


async def test_a_queue_that_the_service_does_not_have_is_refused(database: Database) -> None:
    async with job_system(database, Double(), start=False, queues={"slow": None}) as system:
        await system.submit("test.double", queue="slow")
        with pytest.raises(UnprocessableError, match="with_jobs") as refused:
            await system.submit("test.double", queue="sloww")
        assert refused.value.code == "job-queue-unknown"
        assert (await system.jobs.stats()).total == 1


@pytest.mark.parametrize(
    ("settings", "option"),
    [
        ({"queues": {"slow": 0}}, "queues"),
        ({"queues": {"slow": 1.5}}, "queues"),
        ({"queues": {"": 1}}, "queues"),
        ({"queues": {"a,b": 1}}, "queues"),
        ({"queues": {"a b": None}}, "queues"),
        ({"queues": {3: 1}}, "queues"),
        ({"max_concurrency": -1}, "workers"),
        ({"max_concurrency": 1.5}, "workers"),
        ({"max_concurrency": "4"}, "workers"),
        ({"max_concurrency": True}, "workers"),
        ({"max_waiting": 0}, "max_waiting"),
        ({"shutdown_timeout": -1}, "shutdown_timeout"),
        ({"shutdown_timeout": float("nan")}, "shutdown_timeout"),
        ({"shutdown_timeout": "1"}, "shutdown_timeout"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_the_name_of_the_option(
    settings: dict[str, Any], option: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"with_jobs.{option}=") as refused:
        JobFeature(**settings)
    assert (refused.value.code, refused.value.extensions["field"]) == ("job-settings-invalid", option)


class _CountingClock(SystemClock):
    def __init__(self) -> None:
        self.looks = 0

    def now(self) -> datetime:
        self.looks += 1
        return super().now()


async def test_a_job_starts_when_its_time_has_come_and_nobody_polls_until_then(database: Database) -> None:
    clock = _CountingClock()
    async with job_system(database, Double(), clock=clock) as system:
        moment = clock.now() + timedelta(seconds=0.4)
        job = await system.submit("test.double", {"value": 1}, run_after=moment)
        clock.looks = 0
        record = await system.completed(job.id)
        assert record.started_at is not None
        assert record.started_at >= moment
        # A few for the claim, the end, and the events.
        assert clock.looks < 40


class _MovingClock:
    """Moves a little each time that it is looked at, and never otherwise."""

    def __init__(self) -> None:
        self.moment = datetime(2030, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        self.moment += timedelta(milliseconds=10)
        return self.moment


async def test_a_job_whose_time_comes_while_the_engine_looks_is_not_missed(database: Database) -> None:
    clock = _MovingClock()
    async with job_system(database, Double(), clock=clock) as system:
        for looks in range(1, 13):
            moment = clock.moment + timedelta(milliseconds=10 * looks + 5)
            job = await system.submit("test.double", {"value": 1}, run_after=moment)
            await system.completed(job.id)


async def test_a_job_of_another_process_starts_at_once(database: Database, table_url: str) -> None:
    async with (
        another_job_system(table_url, Double()) as worker,
        another_job_system(table_url, Double(), max_concurrency=0) as other,
    ):
        await eventually(lambda: worker.engine.is_working)
        job = await other.submit("test.double", {"value": 3})
        # Both sides hear of it: the worker of the job, the other one of its end.
        await other.completed(job.id)
        assert await other.jobs.get_result(job.id) == 6
        assert other.engine.running == 0


async def test_a_job_of_another_process_is_canceled_at_once(database: Database, table_url: str) -> None:
    held = Held()
    async with (
        another_job_system(table_url, held) as worker,
        another_job_system(table_url, Held(), max_concurrency=0) as other,
    ):
        job = await other.submit("test.held")
        await happens(held.begun)
        assert (await other.jobs.cancel(job.id)).status is JobStatus.RUNNING
        assert (await worker.finished(job.id)).status is JobStatus.CANCELED
        assert (await other.finished(job.id)).status is JobStatus.CANCELED


async def test_a_process_without_workers_claims_nothing(database: Database) -> None:
    async with job_system(database, Double(), max_concurrency=0, limits=JobLimits(look_every=0.02)) as system:
        job = await system.submit("test.double", {"value": 1})
        assert (await system.jobs.wait_until_final(job.id, 0.2)).status is JobStatus.PENDING
        assert system.runtime.presence.queues == []
        system.engine.configure(1)
        await system.completed(job.id)
        assert system.runtime.presence.queues == ["default"]


async def _follow(system: JobSystem, job_id: ULID) -> list[JobEventRecord]:
    """Read the events of a job by long polls, two at a time, until it has ended."""
    events: list[JobEventRecord] = []
    while not events or events[-1].data.get("status") not in ("completed", "failed", "canceled"):
        after = events[-1].number if events else 0
        events += await system.jobs.wait_for_events(job_id, after, timeout=5, limit=2)
    return events


async def test_events_are_waited_for_in_every_process_without_a_gap(database: Database, table_url: str) -> None:
    go = asyncio.Event()

    async def body(context: JobContext) -> JobOutcome:
        context.log("begun")
        context.progress(0.5)
        await go.wait()
        context.log("nearly done")
        return JobOutcome()

    async with (
        another_job_system(table_url, Scripted(body)) as worker,
        another_job_system(table_url, Double(), max_concurrency=0) as other,
    ):
        job = await worker.submit("test.scripted")
        following = [asyncio.create_task(_follow(system, job.id)) for system in (worker, other)]
        with worker.runtime.hub.watching(job.id) as watcher:
            while (await worker.jobs.get(job.id)).progress != 0.5:
                assert await watcher.wait(5)
        go.set()
        for events in await asyncio.gather(*following):
            assert [event.number for event in events] == list(range(1, 7))
            assert [event.kind for event in events] == ["status", "status", "log", "progress", "log", "status"]


async def test_an_event_that_comes_between_two_questions_is_not_waited_for(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    none_yet = [True]
    whole = JobRepository.list_events

    async def list_events(self: JobRepository, *question: Any) -> Any:
        return [] if none_yet and none_yet.pop() else await whole(self, *question)

    monkeypatch.setattr(JobRepository, "list_events", list_events)
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        (event,) = await asyncio.wait_for(system.jobs.wait_for_events(job.id, timeout=60), PATIENCE)
        assert event.number == 1


async def test_a_wait_for_events_has_an_end(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        assert await system.jobs.wait_for_events(job.id, after=1, timeout=0.01) == []
        assert len(await system.jobs.wait_for_events(job.id)) == 1
        waiting = asyncio.create_task(system.jobs.wait_for_events(job.id, after=1, timeout=60))
        await eventually(lambda: system.runtime.hub.watched == 1)
        system.jobs.close()
        assert await waiting == []
        with pytest.raises(JobNotFoundError):
            await system.jobs.wait_for_events(ULID(), timeout=1)
        with pytest.raises(JobNotFoundError):
            await system.jobs.list_attempts(ULID())


async def test_an_engine_may_be_told_what_to_do_while_it_works(database: Database) -> None:
    crowd = Crowd()
    async with job_system(database, crowd, max_concurrency=1, queues={"slow": 1, "fast": None}) as system:
        system.engine.configure(queues=["fast"])
        assert [queue.name for queue in system.engine.queues] == ["fast"]
        default = await system.submit("test.crowd")
        fast = [(await system.submit("test.crowd", queue="fast")).id for _ in range(2)]
        await eventually(lambda: len(crowd.runs) == 1)
        system.engine.configure(concurrency=3)
        await eventually(lambda: len(crowd.runs) == 2)
        assert (await system.jobs.get(default.id)).status is JobStatus.PENDING
        slow = [(await system.submit("test.crowd", queue="slow")).id for _ in range(2)]
        # A known queue keeps its limit; one that only this engine knows has none.
        system.engine.configure(concurrency=9, queues=["slow", "default", "new"])
        await eventually(lambda: len(crowd.runs) == 4)
        assert {queue.name: queue.limit for queue in system.engine.queues} == {"slow": 1, "default": None, "new": None}
        assert (await system.jobs.get(slow[1])).status is JobStatus.PENDING
        crowd.go.set()
        await _all_completed(system, [default.id, *fast, *slow])


async def test_a_process_that_was_taken_for_dead_starts_again_and_changes_nothing_of_what_it_lost(
    database: Database,
) -> None:
    clock, threaded, held = SteppedClock(), Threaded(), Held()
    async with job_system(database, threaded, held, clock=clock, max_concurrency=2) as system:
        lost, freed = await system.submit("test.threaded"), await system.submit("test.held")
        await happens(threaded.begun)
        await happens(held.begun)
        before = system.runtime.presence.id
        async with system.services.scope.write() as scope:
            # Both jobs could not be taken by anybody else, and one of them is held by another process by now.
            await JobLedger(scope.session, clock.now()).give_back(JOBS.c.owner == before, Outcome.TAKEN_OVER)
            await scope.session.execute(update(JOBS).where(JOBS.c.id == lost.id).values(queue="elsewhere"))
            await scope.session.execute(delete(OWNERS).where(OWNERS.c.id == before))
        clock.move(5)
        await system.runtime.presence.beat()
        assert system.runtime.presence.id not in (None, before)
        system.runtime.dispatcher.look()
        # The coroutine is stopped and starts again for the new owner, beside the thread that goes on.
        await eventually(lambda: held.starts == 2)
        held.go.set()
        assert (await system.completed(freed.id)).attempt == 2
        threaded.go.set()
        await eventually(lambda: system.engine.running == 0)
        assert threaded.saw_cancel
        record = await system.jobs.get(lost.id)
        assert (record.status, record.attempt) == (JobStatus.PENDING, 1)
        assert await system.outcomes(freed.id) == ["taken-over", "completed"]


async def test_a_full_queue_takes_no_more_but_knows_what_it_took(database: Database) -> None:
    async with job_system(database, Double(), start=False, max_waiting=1) as system:
        first = await system.submit("test.double", key="k")
        # Who submits again after a lost answer gets it, however full the queue is.
        assert (await system.submit("test.double", key="k")).id == first.id
        for key in ("l", None):
            with pytest.raises(TooManyRequestsError) as refused:
                await system.submit("test.double", key=key)
            assert refused.value.code == "queue-full"


async def test_an_engine_that_stops_takes_nothing_more_and_lets_go_on_what_runs(database: Database) -> None:
    held = Held()
    async with job_system(database, held, max_concurrency=2) as system:
        first = await system.submit("test.held")
        await happens(held.begun)
        system.engine.stop()
        second = await system.submit("test.held")
        held.go.set()
        await system.completed(first.id)
        await eventually(lambda: not system.engine.is_working)
        assert (await system.jobs.get(second.id)).status is JobStatus.PENDING


async def test_news_of_single_jobs_wake_those_who_care(database: Database) -> None:
    held = Held()
    async with job_system(database, held) as system:
        job = await system.submit("test.held")
        await happens(held.begun)
        async with system.services.scope.write() as scope:
            await scope.session.execute(update(JOBS).where(JOBS.c.id == job.id).values(cancel_requested=True))
        with system.runtime.hub.watching(job.id) as watcher:
            system.runtime._hear(News(changed=frozenset({job.id})))
            assert await watcher.wait(5)
        system.runtime._hear(News(canceled=frozenset({job.id, ULID()})))
        assert (await system.finished(job.id)).status is JobStatus.CANCELED
        system.runtime._hear(News())


async def test_news_of_other_things_are_heard_by_those_who_asked_for_them(database: Database) -> None:
    async with job_system(database) as system:
        heard: list[str] = []
        system.runtime.listeners["here"] = lambda: heard.append("here")
        system.runtime.listeners["there"] = lambda: heard.append("there")
        system.runtime._hear(News(waiting=True))
        assert heard == []
        system.runtime._hear(News(topics=frozenset({"there", "elsewhere"})))
        assert heard == ["there"]
        system.runtime._hear(News(anything=True))
        assert heard == ["there", "here", "there"]


async def test_functions_of_a_job_may_be_coroutines(database: Database) -> None:
    async def add(first: int, second: int) -> int:
        compute(0.02)
        await asyncio.sleep(0)
        compute(0.02)
        return first + second

    async def body(context: JobContext) -> JobOutcome:
        return JobOutcome(result=await context.run_user_function(add, 1, second=2))

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        await system.completed(job.id)
        assert await system.jobs.get_result(job.id) == 3
        [attempt] = await system.jobs.list_attempts(job.id)
        assert attempt.cpu_seconds is not None
        assert attempt.cpu_seconds >= 0.04
        assert (attempt.peak_memory or 0) > 10_000_000
