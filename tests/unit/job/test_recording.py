"""How ends and reports reach the rows when the database refuses them, or cannot be reached."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest
from sqlalchemy import select, text

from chapkit.core.clock import SystemClock
from chapkit.core.database import Database
from chapkit.core.errors import ChapkitError, StorageFullError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.job import endings, engine
from chapkit.job.claims import Claim, Fence
from chapkit.job.context import JobContext
from chapkit.job.desk import Entry, JobDesk
from chapkit.job.errors import StaleAttemptError
from chapkit.job.executors.user_code import UserCode
from chapkit.job.log_budget import MAX_LINES
from chapkit.job.ports import JobOutcome
from chapkit.job.recording import Recorder
from chapkit.job.rows import JOBS
from chapkit.job.runtime import JobLimits
from chapkit.job.schemas import JobStatus
from tests.things import open_database
from tests.unit.job.parts import Double, Held, JobSystem, Scripted, claim_jobs, eventually, happens, job_system

pytestmark = pytest.mark.anyio


class _Unreliable(SystemClock):
    """Fails now and then, inside of transactions and in front of them."""

    def __init__(self) -> None:
        self.errors: list[Exception] = []

    def now(self) -> datetime:
        if self.errors:
            raise self.errors.pop(0)
        return super().now()


@asynccontextmanager
async def _refusing(database: Database, outcome: str) -> AsyncGenerator[None]:
    """Let the database refuse to write down attempts that ended so."""
    abort = "SELECT RAISE(ABORT, 'refused')"
    if database.dialect == "sqlite":
        statements = [
            f"CREATE TRIGGER refusal BEFORE INSERT ON job_attempts WHEN NEW.outcome = '{outcome}' BEGIN {abort}; END",
            "DROP TRIGGER refusal",
        ]
    else:
        statements = [
            f"ALTER TABLE job_attempts ADD CONSTRAINT refusal CHECK (outcome <> '{outcome}')",
            "ALTER TABLE job_attempts DROP CONSTRAINT refusal",
        ]
    for place, statement in enumerate(statements):
        async with database.engine.begin() as connection:
            await connection.execute(text(statement))
        if place == 0:
            yield


async def _claims(system: JobSystem, number: int) -> list[Claim]:
    for _ in range(number):
        await system.submit("test.double", {"value": 1})
    return await claim_jobs(system, number=number)


async def _write(system: JobSystem, *entries: Entry) -> list[object]:
    """Hand in all entries at once and return what became of each."""
    one = JobDesk(system.runtime)
    return list(await asyncio.gather(*(one.write(entry) for entry in entries), return_exceptions=True))


async def test_ends_that_come_together_are_written_together(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        claims = await _claims(system, 20)
        entries = [Entry(claim.fence, endings.completed(claim), result=b"1") for claim in claims]
        assert await _write(system, *entries) == [None] * 20
        for claim in claims:
            await system.completed(claim.fence.job_id)
            assert await system.jobs.get_result(claim.fence.job_id) == 1
            assert await system.outcomes(claim.fence.job_id) == ["completed"]


async def test_one_that_comes_too_late_does_not_disturb_the_others(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        first, second = await _claims(system, 2)
        late = Entry(Fence(first.fence.job_id, 7, first.fence.owner), endings.completed(first))
        answers = await _write(
            system,
            late,
            Entry(first.fence, endings.completed(first)),
            late,
            Entry(second.fence, endings.completed(second)),
        )
        assert [type(answer) for answer in answers] == [StaleAttemptError, type(None), StaleAttemptError, type(None)]
        assert await system.outcomes(first.fence.job_id) == ["completed"]


async def test_one_that_the_database_refuses_does_not_disturb_the_others(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        good, bad, late = await _claims(system, 3)
        entries = [
            Entry(good.fence, endings.completed(good)),
            Entry(bad.fence, endings.failed(bad, ValueError(), system.runtime.clock.now())),
            Entry(Fence(late.fence.job_id, 7, late.fence.owner), endings.completed(late)),
        ]
        async with _refusing(database, "failed"):
            answers = await _write(system, *entries)
            assert answers[0] is None
            assert isinstance(answers[1], ChapkitError)
            assert isinstance(answers[2], StaleAttemptError)
            [alone] = await _write(system, entries[1])
            assert isinstance(alone, ChapkitError)
        assert await system.outcomes(good.fence.job_id) == ["completed"]
        # What was refused left nothing behind.
        assert (await system.jobs.get(bad.fence.job_id)).status is JobStatus.RUNNING
        assert await _write(system, entries[1]) == [None]


async def test_all_hear_that_the_database_cannot_be_reached(database: Database) -> None:
    clock = _Unreliable()
    async with job_system(database, Double(), start=False, clock=clock) as system:
        claims = await _claims(system, 2)
        entries = [Entry(claim.fence, endings.completed(claim)) for claim in claims]
        clock.errors = [UnavailableError("away")]
        assert [type(answer) for answer in await _write(system, *entries)] == [UnavailableError] * 2
        assert await _write(system, *entries) == [None, None]


async def test_who_no_longer_waits_for_his_entry_is_not_told(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        first, second = await _claims(system, 2)
        one = JobDesk(system.runtime)
        waiting = [
            asyncio.create_task(one.write(Entry(claim.fence, endings.completed(claim)))) for claim in (first, second)
        ]
        await asyncio.sleep(0)
        waiting[0].cancel()
        await waiting[1]
        # It was written all the same.
        await system.completed(first.fence.job_id)
        assert waiting[0].cancelled()


async def test_an_end_is_written_when_the_database_answers_again(database: Database) -> None:
    clock = _Unreliable()
    async with job_system(database, Double(), start=False, clock=clock) as system:
        [claim] = await _claims(system, 1)
        context = JobContext(claim, system.services, UserCode())
        context.log("once")
        clock.errors = [UnavailableError("away"), ConnectionError("still"), StorageFullError("full")]
        await Recorder(system.runtime).completed(context, JobOutcome(result=2))
        await system.completed(claim.fence.job_id)
        events = await system.jobs.list_events(claim.fence.job_id)
        assert [event.kind for event in events] == ["status", "status", "log", "status"]


@pytest.mark.parametrize("error", [UnavailableError("away"), ConnectionError("away"), StorageFullError("full")])
async def test_what_belongs_to_a_result_is_kept_until_it_can_be_written(error: Exception, database: Database) -> None:
    errors, recorded = [error, error], list[ULID]()

    async def body(context: JobContext) -> JobOutcome:
        async def record(scope: Scope) -> None:
            if errors:
                raise errors.pop()
            recorded.append(context.job_id)

        return JobOutcome(record=record)

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        await system.completed(job.id)
        assert recorded == [job.id]
        assert await system.outcomes(job.id) == ["completed"]


@pytest.mark.parametrize("error", [UnavailableError("away"), ConnectionError("away"), StorageFullError("full")])
async def test_what_a_job_tells_waits_until_the_database_answers_again(error: Exception, database: Database) -> None:
    clock, go = _Unreliable(), asyncio.Event()

    async def body(context: JobContext) -> JobOutcome:
        clock.errors = [error]
        context.log("first")
        await eventually(lambda: not clock.errors)
        context.log("second")
        await go.wait()
        return JobOutcome()

    async with job_system(database, Scripted(body), clock=clock, max_concurrency=1) as system:
        job = await system.submit("test.scripted")
        with system.runtime.hub.watching(job.id) as watcher:
            while len(await system.jobs.list_events(job.id)) < 4:
                assert await watcher.wait(5)
        go.set()
        await system.completed(job.id)
        events = await system.jobs.list_events(job.id)
        assert [event.data["message"] for event in events if event.kind == "log"] == ["first", "second"]


async def test_a_job_that_cannot_be_said_to_have_completed_fails(database: Database) -> None:
    async with job_system(database, Double()) as system:
        async with _refusing(database, "completed"):
            job = await system.submit("test.double", {"value": 1})
            assert (await system.finished(job.id)).status is JobStatus.FAILED
        assert await system.outcomes(job.id) == ["failed"]


async def test_a_job_whose_end_is_refused_in_every_form_runs_again(database: Database) -> None:
    go = asyncio.Event()

    async def body(context: JobContext) -> JobOutcome:
        if context.attempt == 1:
            raise ValueError("wrong")
        await go.wait()
        return JobOutcome()

    async with job_system(database, Scripted(body), max_concurrency=1) as system:
        async with _refusing(database, "failed"):
            job = await system.submit("test.scripted")
            await system.becomes(job.id, JobStatus.RUNNING, 2)
        go.set()
        await system.completed(job.id)
        assert await system.outcomes(job.id) == ["released", "completed"]


async def test_an_engine_goes_on_when_the_database_answers_again(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "_PAUSE_AFTER_ERROR", 0.01)
    clock = _Unreliable()
    async with job_system(database, Double(), start=True, clock=clock) as system:
        await eventually(lambda: system.engine.is_working)
        job = await system.submit("test.double", {"value": 1})
        clock.errors = [UnavailableError("away"), ConnectionError("still")]
        system.runtime.dispatcher.wake()
        await system.completed(job.id)


async def test_a_service_ends_also_where_its_jobs_cannot_be_put_back(table_url: str, database: Database) -> None:
    held = Held()
    async with _refusing(database, "released"):
        other = open_database(table_url)
        async with job_system(other, held) as system:
            job = await system.submit("test.held")
            await happens(held.begun)
        await other.dispose()
    async with job_system(database, held) as system:
        # The next one finds that nobody holds it.
        held.go.set()
        assert (await system.completed(job.id)).attempt == 2


async def test_an_end_that_waits_for_the_database_is_not_taken_for_a_deserted_thread(database: Database) -> None:
    held = Held()
    async with job_system(database, held, limits=JobLimits(desert_after=0.05, look_every=1000)) as system:
        job = await system.submit("test.held")
        await happens(held.begun)
        await system.jobs.cancel(job.id)
        async with system.services.scope.write() as scope:
            # Nobody else can write this job now.
            await scope.session.execute(select(JOBS.c.id).where(JOBS.c.id == job.id).with_for_update())
            [run] = system.engine._runs.values()
            await eventually(lambda: run._body.done())
            await asyncio.sleep(0.1)
        assert (await system.finished(job.id)).status is JobStatus.CANCELED


async def test_a_job_that_was_taken_away_is_stopped_when_it_tells_something(database: Database) -> None:
    stopped = asyncio.Event()

    async def body(context: JobContext) -> JobOutcome:
        async with context.scope.write() as scope:
            taken = JOBS.c.id == context.job_id
            await scope.session.execute(JOBS.update().where(taken).values(attempt=JOBS.c.attempt + 1, owner="Z" * 26))
        context.log("nobody hears it")
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()
        return JobOutcome()

    async with job_system(database, Scripted(body), limits=JobLimits(look_every=600)) as system:
        job = await system.submit("test.scripted")
        await happens(stopped)
        await eventually(lambda: system.engine.running == 0)
        assert (await system.jobs.get(job.id)).status is JobStatus.RUNNING
        assert [event.kind for event in await system.jobs.list_events(job.id)] == ["status", "status"]


async def test_the_result_of_a_job_that_was_taken_away_is_dropped(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        async with context.scope.write() as scope:
            taken = JOBS.c.id == context.job_id
            await scope.session.execute(JOBS.update().where(taken).values(attempt=JOBS.c.attempt + 1, owner="Z" * 26))
        return JobOutcome(result=1)

    async with job_system(database, Scripted(body), limits=JobLimits(look_every=600)) as system:
        job = await system.submit("test.scripted")
        await system.becomes(job.id, JobStatus.RUNNING, 2)
        await eventually(lambda: system.engine.running == 0)
        assert (await system.jobs.get(job.id)).status is JobStatus.RUNNING
        assert await system.outcomes(job.id) == [None]


async def test_a_job_that_has_told_something_is_left_in_peace(database: Database) -> None:
    go = asyncio.Event()

    async def body(context: JobContext) -> JobOutcome:
        context.log("all that there is")
        await go.wait()
        return JobOutcome()

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        with system.runtime.hub.watching(job.id) as watcher:
            while len(await system.jobs.list_events(job.id)) < 3:
                assert await watcher.wait(5)
        [run] = system.engine._runs.values()
        await eventually(lambda: run._reporter._task is None)
        go.set()
        await system.completed(job.id)


async def test_what_is_told_after_the_end_is_dropped(database: Database) -> None:
    contexts: list[JobContext] = []

    async def body(context: JobContext) -> JobOutcome:
        contexts.append(context)
        return JobOutcome()

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        await system.completed(job.id)
        await eventually(lambda: system.engine.running == 0)
        contexts[0].log("late")
        await asyncio.sleep(0)
        assert len(await system.jobs.list_events(job.id)) == 3


def test_what_is_told_when_the_loop_has_ended_is_dropped(tmp_path: Path) -> None:
    contexts: list[JobContext] = []

    async def body(context: JobContext) -> JobOutcome:
        contexts.append(context)
        return JobOutcome()

    async def run() -> None:
        database = open_database(f"sqlite+aiosqlite:///{tmp_path}/service.db")
        await database.init()
        async with job_system(database, Scripted(body)) as system:
            await system.completed((await system.submit("test.scripted")).id)
        await database.dispose()

    asyncio.run(run())
    contexts[0].log("from a thread that goes on")


def test_a_context_says_what_its_claim_holds() -> None:
    fence = Fence(ULID("1" * 26), 3, "2" * 26)
    claim = Claim(fence, "test.double", '{"value": 1}', "a" * 64, {"kind": "sum"})
    told: list[None] = []
    context = JobContext(claim, Services(), UserCode(), lambda: told.append(None))
    assert (context.job_id, context.attempt, context.artifact_id) == ("1" * 26, 3, None)
    assert (context.payload_blob, context.labels, context.payload) == ("a" * 64, {"kind": "sum"}, {"value": 1})
    context.progress(7.0, "x" * 2000)
    [first] = context.take_reports()
    context.progress(-1)
    [second] = context.take_reports()
    assert len(told) == 2
    assert (first.data["progress"], len(first.data["message"]), second.data) == (1.0, 1000, {"progress": 0.0})
    assert not context.has_reports


def test_a_context_says_how_many_lines_it_has_left_out() -> None:
    fence = Fence(ULID(), 1, "2" * 26)
    context = JobContext(Claim(fence, "test.double", "{}"), Services(), UserCode())
    for number in range(MAX_LINES + 1):
        context.log(str(number), level="error")
    context.close_log()
    context.close_log()
    *lines, last = context.take_reports()
    assert len(lines) == MAX_LINES
    assert last.data["left_out"] == 1


async def test_a_handler_may_let_its_functions_run_in_child_processes(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        return JobOutcome(result=await context.run_user_function(os.getpid))

    scripted = Scripted(body)
    scripted.executor = "process"
    async with job_system(database, scripted) as system:
        job = await system.submit("test.scripted")
        await system.becomes(job.id, JobStatus.COMPLETED)
        assert await system.jobs.get_result(job.id) != os.getpid()
        [attempt] = await system.jobs.list_attempts(job.id)
        assert attempt.peak_memory is not None
