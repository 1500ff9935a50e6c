import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import select, update

from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError, ConflictError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.services import Scope
from chapkit.job.claiming import JobClaims, Queue, Wanted
from chapkit.job.claims import Claim
from chapkit.job.context import JobContext
from chapkit.job.endings import Outcome, canceled
from chapkit.job.errors import StaleAttemptError
from chapkit.job.executors.user_code import UserCode
from chapkit.job.ledger import JobLedger
from chapkit.job.ports import JobOutcome
from chapkit.job.recording import Recorder
from chapkit.job.rows import ATTEMPTS, JOBS
from chapkit.job.runtime import JobLimits
from chapkit.job.schemas import JobSpec, JobStatus
from tests.things import Thing
from tests.unit.job.parts import (
    Double,
    Held,
    JobSystem,
    Scripted,
    SteppedClock,
    Threaded,
    claim_jobs,
    happens,
    job_system,
)

pytestmark = pytest.mark.anyio


async def _claim(system: JobSystem, owner: str = "A" * 26) -> Claim | None:
    claims = await claim_jobs(system, owner)
    return claims[0] if claims else None


async def _must_claim(system: JobSystem) -> Claim:
    claim = await _claim(system)
    assert claim is not None
    return claim


def _context(system: JobSystem, claim: Claim) -> JobContext:
    return JobContext(claim, system.services, UserCode())


async def _note(scope: Scope) -> str:
    # Any other row that belongs to the result.
    scope.session.add(Thing(name=str(ULID())))
    await scope.session.flush()
    return "noted"


async def _notes(system: JobSystem) -> int:
    async with system.services.scope.read() as scope:
        return len((await scope.session.scalars(select(Thing.id))).all())


async def test_a_job_runs_and_keeps_its_result(database: Database) -> None:
    async with job_system(database, Double()) as system:
        job = await system.submit("test.double", {"value": 21}, labels={"kind": "sum", "name": "twice"})
        record = await system.completed(job.id)
        assert (record.kind, record.name, record.attempt, record.progress) == ("sum", "twice", 1, 1.0)
        assert record.started_at is not None
        assert record.finished_at is not None
        assert record.submitted_at is not None
        assert record.submitted_at <= record.started_at <= record.finished_at
        assert await system.jobs.get_result(job.id) == 42


async def test_jobs_are_claimed_by_priority_then_by_age(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        first = await system.submit("test.double")
        second = await system.submit("test.double")
        urgent = await system.submit("test.double", priority=5)
        order = [(await _must_claim(system)).fence.job_id for _ in range(3)]
        assert order == [urgent.id, first.id, second.id]
        assert await _claim(system) is None


async def test_a_job_is_claimed_when_its_time_has_come(database: Database) -> None:
    clock = SteppedClock()
    async with job_system(database, Double(), start=False, clock=clock) as system:
        moment = clock.now()
        clock.move(-60)
        await system.submit("test.double", run_after=moment)
        assert await _claim(system) is None
        clock.move(60)
        assert await _claim(system) is not None


async def test_a_job_without_a_handler_here_is_left_to_others(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        async with system.services.scope.write() as scope:
            await scope.session.execute(update(JOBS).where(JOBS.c.id == job.id).values(handler="elsewhere"))
        assert await _claim(system) is None


async def test_an_unknown_handler_is_refused(database: Database) -> None:
    async with job_system(database, start=False) as system:
        with pytest.raises(ConfigurationError, match="brings the job handler"):
            await system.submit("no.such")


async def test_a_job_of_a_transaction_that_fails_does_not_exist(database: Database) -> None:
    async with job_system(database, Double()) as system:

        async def submit_and_fail() -> None:
            async with system.services.scope.write() as scope:
                await system.jobs.submit(_spec(), scope)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await submit_and_fail()
        assert (await system.jobs.stats()).total == 0


async def test_a_late_worker_changes_nothing(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        late = await _must_claim(system)
        async with system.services.scope.write() as scope:
            await JobLedger(scope.session, system.runtime.clock.now()).give_back(JOBS.c.id == job.id, Outcome.RECOVERED)
        second = await _must_claim(system)
        assert second.fence.attempt == late.fence.attempt + 1
        recorder = Recorder(system.runtime)
        for step in (
            recorder.completed(_context(system, late), JobOutcome(record=_note)),
            recorder.failed(_context(system, late), None, ValueError("late")),
            recorder.stopped(_context(system, late), canceled(late)),
        ):
            with pytest.raises(StaleAttemptError):
                await step
        assert await _notes(system) == 0
        assert (await system.jobs.get(job.id)).status is JobStatus.RUNNING
        await recorder.completed(_context(system, second), JobOutcome(record=_note))
        assert await _notes(system) == 1
        assert await system.jobs.get_result(job.id) == "noted"


async def test_a_recording_that_fails_leaves_nothing_and_fails_the_job(database: Database) -> None:
    async def record(scope: Scope) -> None:
        await _note(scope)
        raise ValueError("no room")

    async def body(context: JobContext) -> JobOutcome:
        return JobOutcome(record=record)

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        record_of = await system.finished(job.id)
        assert record_of.status is JobStatus.FAILED
        assert record_of.error == "ValueError: no room"
        assert await _notes(system) == 0


async def test_a_failure_is_stored_with_its_diagnosis(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        raise ValueError("first line\nsecond line")

    async def diagnose(scope: Scope, error: BaseException) -> None:
        await _note(scope)

    artifact = ULID()
    async with job_system(database, Scripted(body, diagnose)) as system:
        job = await system.submit("test.scripted", artifact_id=artifact)
        assert job.artifact_id == artifact
        record = await system.finished(job.id)
        assert (record.status, record.error_code) == (JobStatus.FAILED, "job-failed")
        assert record.error == "ValueError: first line\nsecond line"
        assert record.error_traceback is None
        assert record.artifact_id == artifact
        assert "second line" in ((await system.jobs.get_record(job.id)).error_traceback or "")
        assert await _notes(system) == 1


async def test_a_diagnosis_that_fails_does_not_keep_the_job_from_ending(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        raise ConflictError("taken", code="name-taken")

    async def diagnose(scope: Scope, error: BaseException) -> None:
        await _note(scope)
        raise RuntimeError("worse")

    async with job_system(database, Scripted(body, diagnose)) as system:
        job = await system.submit("test.scripted")
        record = await system.finished(job.id)
        assert (record.status, record.error_code) == (JobStatus.FAILED, "name-taken")
        assert await _notes(system) == 0


async def test_the_events_of_a_job_are_numbered_without_a_gap(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        context.log("begun", rows=3)
        context.report_progress(0.5)
        return JobOutcome()

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        await system.completed(job.id)
        events = await system.jobs.list_events(job.id)
        assert [event.number for event in events] == [1, 2, 3, 4, 5]
        assert [event.kind for event in events] == ["status", "status", "log", "progress", "status"]
        assert [event.data.get("status") for event in events if event.kind == "status"] == [
            "pending",
            "running",
            "completed",
        ]
        assert events[2].data == {"level": "info", "message": "begun", "rows": 3}
        assert events[3].data["progress"] == 0.5
        assert [event.number for event in await system.jobs.list_events(job.id, after=3)] == [4, 5]


async def test_what_a_running_job_tells_is_seen_before_it_ends(database: Database) -> None:
    go = asyncio.Event()

    async def body(context: JobContext) -> JobOutcome:
        await context.run_user_function(context.report_progress, 0.25)
        await go.wait()
        return JobOutcome()

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        with system.runtime.hub.watching(job.id) as watcher:
            while (await system.jobs.get(job.id)).progress != 0.25:
                assert await watcher.wait(5)
        go.set()
        assert (await system.completed(job.id)).progress == 1.0


async def test_no_more_jobs_run_at_once_than_there_are_slots(database: Database) -> None:
    held = Held()
    async with job_system(database, held, max_concurrency=2) as system:
        jobs = [await system.submit("test.held") for _ in range(3)]
        await happens(held.begun)
        while held.starts < 2:
            await asyncio.sleep(0)
        assert system.engine.running == 2
        assert (await system.jobs.get(jobs[2].id)).status is JobStatus.PENDING
        held.go.set()
        for job in jobs:
            await system.completed(job.id)
        assert held.starts == 3


async def test_a_limit_can_be_changed_while_jobs_run(database: Database) -> None:
    held = Held()
    async with job_system(database, held, max_concurrency=1) as system:
        first, second = await system.submit("test.held"), await system.submit("test.held")
        await happens(held.begun)
        held.begun.clear()
        await system.jobs.set_max_concurrency(2)
        await happens(held.begun)
        held.go.set()
        await system.completed(first.id)
        await system.completed(second.id)


async def test_without_a_limit_four_jobs_run_at_once(database: Database) -> None:
    async with job_system(database, start=False) as system:
        assert system.engine.slots == 4


async def test_the_same_key_returns_the_first_job(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        first = await system.submit("test.double", {"value": 1}, key="k")
        again = await system.submit("test.double", {"value": 1}, key="k")
        assert again.id == first.id
        with pytest.raises(ConflictError) as refused:
            await system.submit("test.double", {"value": 2}, key="k")
        assert refused.value.code == "idempotency-key-reused"
        assert (await system.jobs.stats()).total == 1


async def test_the_same_key_at_the_same_time_is_one_job(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        jobs = await asyncio.gather(*(system.submit("test.double", {"value": 1}, key="k") for _ in range(8)))
        assert len({job.id for job in jobs}) == 1


async def test_two_engines_never_claim_the_same_job(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        for _ in range(20):
            await system.submit("test.double")
        claims = await asyncio.gather(*(_claim(system, owner) for owner in ("A" * 26, "B" * 26) * 10))
        ids = [claim.fence.job_id for claim in claims if claim is not None]
        assert len(ids) == len(set(ids)) == 20


async def test_a_stopping_service_takes_no_more_jobs(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        system.jobs.close()
        with pytest.raises(UnavailableError) as refused:
            await system.submit("test.double")
        assert refused.value.code == "service-stopping"


async def test_running_jobs_get_time_to_end_at_shutdown(database: Database) -> None:
    held = Held()
    async with job_system(database, held, shutdown_timeout=10.0) as system:
        job = await system.submit("test.held")
        await happens(held.begun)
        asyncio.get_running_loop().call_soon(held.go.set)
    async with job_system(database, start=False) as system:
        assert (await system.jobs.get(job.id)).status is JobStatus.COMPLETED


@pytest.mark.parametrize("kind", [Held, Threaded])
async def test_what_does_not_end_at_shutdown_runs_again_later(
    kind: type[Held] | type[Threaded], database: Database
) -> None:
    first, second = kind(), kind()
    async with job_system(database, first) as system:
        job = await system.submit(first.name)
        await happens(first.begun)
    first.go.set()
    async with job_system(database, second, start=False) as system:
        record = await system.jobs.get(job.id)
        assert (record.status, record.attempt) == (JobStatus.PENDING, 1)
        async with system.services.scope.read() as scope:
            outcome = await scope.session.scalar(select(ATTEMPTS.c.outcome).where(ATTEMPTS.c.job_id == job.id))
        assert outcome == "released"
    second.go.set()
    async with job_system(database, second) as system:
        assert (await system.completed(job.id)).attempt == 2


async def test_a_claim_whose_answer_was_lost_is_given_back(database: Database) -> None:
    async with job_system(database, Double(), limits=JobLimits(look_every=0.1)) as system:
        owner = await system.runtime.presence.enter()
        async with system.services.scope.write() as scope:
            await system.jobs.submit(_spec(), scope)
            claims = JobClaims(scope.session, system.runtime.clock.now(), system.runtime.handlers.claim_statements)
            [claim] = await claims.claim(Queue(), Wanted(owner, 1))
        assert (await system.completed(claim.fence.job_id)).attempt == 2


async def test_two_handlers_with_one_name_are_refused(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        with pytest.raises(ConfigurationError, match="unique"):
            system.runtime.handlers.add(Double())


def _spec() -> JobSpec:
    return JobSpec(handler="test.double", payload={"value": 1})


async def test_text_that_no_database_takes_does_not_keep_a_job_from_ending(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        context.log("a\x00b\udc80", place="\udc80", rows=2, what=object)
        raise ValueError("c\x00d\udc80")

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        record = await system.finished(job.id)
        assert (record.status, record.attempt) == (JobStatus.FAILED, 1)
        assert record.error == "ValueError: c\ufffdd?"
        log = next(event for event in await system.jobs.list_events(job.id) if event.kind == "log")
        assert log.data == {
            "level": "info",
            "message": "a\ufffdb?",
            "place": "?",
            "rows": 2,
            "what": "<class 'object'>",
        }


async def test_what_a_job_told_stays_when_its_recording_fails(database: Database) -> None:
    async def record(scope: Scope) -> None:
        raise ValueError("no room")

    async def body(context: JobContext) -> JobOutcome:
        context.log("nearly done")
        return JobOutcome(record=record)

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        assert (await system.finished(job.id)).status is JobStatus.FAILED
        events = await system.jobs.list_events(job.id)
        assert [event.kind for event in events] == ["status", "status", "log", "status"]


async def test_a_result_is_recorded_once_the_database_answers_again(database: Database) -> None:
    tries = 0

    async def record(scope: Scope) -> str:
        nonlocal tries
        tries += 1
        await _note(scope)
        if tries < 3:
            raise UnavailableError("away")
        return "recorded"

    async def body(context: JobContext) -> JobOutcome:
        return JobOutcome(record=record)

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        record_of = await system.completed(job.id)
        assert (tries, record_of.attempt) == (3, 1)
        assert await _notes(system) == 1


async def test_a_job_that_somebody_locked_and_left_is_taken_soon(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    tried = asyncio.Event()
    claim = JobClaims.claim

    async def claiming(claims: JobClaims, queue: Queue, wanted: Wanted) -> list[Claim]:
        taken = await claim(claims, queue, wanted)
        tried.set()
        return taken

    monkeypatch.setattr(JobClaims, "claim", claiming)
    clock = SteppedClock()
    async with job_system(database, Double(), clock=clock, limits=JobLimits(look_every=1000)) as system:
        job = await system.submit("test.double", {"value": 1}, run_after=clock.now() + timedelta(seconds=60))
        async with system.services.scope.write() as scope:
            await scope.session.execute(select(JOBS.c.id).where(JOBS.c.id == job.id).with_for_update())
            await system.pass_time(clock, 61)
            await happens(tried)
        await system.completed(job.id)
