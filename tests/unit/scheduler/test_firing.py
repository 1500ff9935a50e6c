import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.exc import DataError

from chapkit.core.database import Database
from chapkit.core.errors import NotFoundError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.job.rows import JOBS
from chapkit.job.schemas import JobStatus
from chapkit.job.targets import JobTargets
from chapkit.scheduler import repository
from chapkit.scheduler.firing import _Outdated
from chapkit.scheduler.schemas import ScheduleState, TickOutcome
from tests.unit.job.parts import Crowd, Held, happens
from tests.unit.scheduler.schedule_parts import MINUTE, NOON, Moody, Note, moments, schedule_system

pytestmark = pytest.mark.anyio
HELD = {"handler": "test.held"}


async def test_a_tick_becomes_one_job_that_knows_its_tick(database: Database) -> None:
    note = Note()
    async with schedule_system(database, note) as system:
        schedule = await system.create(arguments={"handler": "note", "payload": {"place": "Bokeo"}})
        assert schedule.next_run_at == NOON + MINUTE
        await system.pass_time(MINUTE / 2)
        assert await system.runs(schedule.id) == []
        await system.pass_time(MINUTE / 2)
        (run,) = await system.runs(schedule.id)
        (job,) = await system.finished(run.job_id)
        assert (run.scheduled_for, run.outcome, run.created_at) == (NOON + MINUTE, TickOutcome.SUBMITTED, NOON + MINUTE)
        assert (note.ticks, note.payloads) == (["2030-01-01T12:01:00.000000Z"], [{"place": "Bokeo"}])
        after = await system.get(schedule.id)
        assert after.next_run_at == NOON + 2 * MINUTE
        assert after.last_tick is not None
        assert after.last_tick.job_id == job.id
        assert after.last_job is not None
        assert after.last_job.status is JobStatus.COMPLETED
        assert after.updated_at == schedule.updated_at


async def test_a_tick_is_seen_to_once_whoever_comes(database: Database) -> None:
    async with schedule_system(database, Note()) as system:
        schedule = await system.create()
        now = NOON + MINUTE
        fired = await asyncio.gather(*(system.firing.fire(schedule.id, now) for _ in range(5)))
        assert sorted(fired) == [False, False, False, False, True]
        assert len(await system.runs(schedule.id)) == 1
        assert await system.count_jobs() == 1


async def test_a_change_in_the_last_moment_is_heeded(database: Database) -> None:
    note = Note()
    async with schedule_system(database, note) as system:
        schedule = await system.create()
        now = NOON + MINUTE
        intent = await system.firing._prepare(schedule.id, now)
        assert intent is not None
        await system.change(schedule.id, arguments={"handler": "note", "payload": {"new": True}})
        system.clock.moment = now
        with pytest.raises(_Outdated):
            await system.firing._commit(intent)
        assert await system.runs(schedule.id) == []
        await system.worker.work()
        (run,) = await system.runs(schedule.id)
        await system.finished(run.job_id)
        assert note.payloads == [{"new": True}]


@pytest.mark.parametrize(
    ("missed", "expected"),
    [
        ("skip", []),
        ("latest", [9]),
        ({"all": 3}, [7, 8, 9]),
        ({"all": 100}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
    ],
)
async def test_missed_ticks_run_as_the_policy_says(database: Database, missed: Any, expected: list[float]) -> None:
    note = Note()
    async with schedule_system(database, note, runs_jobs=False) as system:
        schedule = await system.create(missed=missed, overlap="allow", grace=10)
        await system.pass_time(9 * MINUTE + timedelta(seconds=30))
        runs = await system.runs(schedule.id)
        assert [run.scheduled_for for run in runs] == moments(*range(1, 10))
        assert [run.scheduled_for for run in runs if run.job_id is not None] == moments(*expected)
        skipped = {run.reason for run in runs if run.outcome is TickOutcome.SKIPPED}
        assert skipped <= {"Missed: nobody was there in time"}
        assert (await system.get(schedule.id)).next_run_at == NOON + 10 * MINUTE


async def test_a_tick_within_the_grace_runs_in_any_case(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(missed="skip", grace=60)
        await system.pass_time(MINUTE + timedelta(seconds=59))
        (run,) = await system.runs(schedule.id)
        assert run.outcome is TickOutcome.SUBMITTED


async def test_the_shortest_grace_is_enough_for_a_schedule_of_seconds_that_makes_up_for_nothing(
    database: Database,
) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        trigger = {"type": "interval", "every": 1, "anchor": NOON}
        schedule = await system.create(trigger=trigger, missed="skip", overlap="allow", grace=1)
        await system.pass_time(timedelta(seconds=1, milliseconds=20))
        await system.pass_time(timedelta(seconds=1))
        assert [run.outcome for run in await system.runs(schedule.id)] == ["submitted", "submitted"]


async def test_a_schedule_of_seconds_that_slept_for_a_year_is_seen_to_in_bounded_steps(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        trigger = {"type": "interval", "every": 1, "anchor": NOON}
        schedule = await system.create(trigger=trigger, missed={"all": 120}, overlap="allow", grace=1)
        await system.pass_time(timedelta(days=365))
        runs = await system.runs(schedule.id)
        end = system.clock.moment
        assert [run.scheduled_for for run in runs] == [end - timedelta(seconds=number) for number in range(121, -1, -1)]
        assert await system.count_jobs() == 122
        assert (await system.get(schedule.id)).next_run_at == end + timedelta(seconds=1)


async def test_only_the_last_of_very_many_missed_ticks_are_written_down(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        trigger = {"type": "cron", "expression": "* * * * * *", "timezone": "Africa/Kigali"}
        schedule = await system.create(trigger=trigger, missed="latest", grace=1)
        await system.pass_time(timedelta(days=30, milliseconds=500))
        runs = await system.runs(schedule.id)
        assert len(runs) < 30
        assert await system.count_jobs() == 1
        assert runs[-1].job_id is not None


async def test_a_clock_that_is_put_back_repeats_nothing(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap="allow")
        for _ in range(3):
            await system.pass_time(MINUTE)
        await system.pass_time(-timedelta(hours=1))
        # Whoever resumes it now has it reckoned anew, from a moment that was there before.
        await system.change(schedule.id, enabled=False)
        resumed = await system.change(schedule.id, enabled=True)
        assert resumed.next_run_at == NOON
        system.clock.moment = NOON + MINUTE / 2
        await system.change(schedule.id, enabled=False)
        resumed = await system.change(schedule.id, enabled=True)
        assert resumed.next_run_at == NOON + MINUTE
        for _ in range(4):
            await system.pass_time(MINUTE)
        assert [run.scheduled_for for run in await system.runs(schedule.id)] == moments(1, 2, 3, 4)
        assert await system.count_jobs() == 4


async def test_a_clock_that_jumps_ahead_loses_nothing_that_shall_not_be_lost(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap="allow", missed={"all": 1000})
        await system.pass_time(MINUTE)
        await system.pass_time(timedelta(hours=1))
        await system.pass_time(-timedelta(hours=1))
        await system.pass_time(timedelta(hours=1, minutes=1))
        runs = await system.runs(schedule.id)
        assert [run.scheduled_for for run in runs] == moments(*range(1, 63))
        assert all(run.job_id for run in runs)


async def test_overlap_skip_leaves_out_a_tick_while_the_job_goes_on(database: Database) -> None:
    held = Held()
    async with schedule_system(database, held) as system:
        schedule = await system.create(arguments=HELD, overlap="skip")
        await system.pass_time(MINUTE)
        await happens(held.begun)
        await system.pass_time(MINUTE)
        first, second = await system.runs(schedule.id)
        assert (second.outcome, second.reason) == (
            TickOutcome.SKIPPED,
            f"The job {first.job_id} of an earlier tick has not ended",
        )
        held.go.set()
        await system.finished(first.job_id)
        await system.pass_time(MINUTE)
        assert (await system.runs(schedule.id))[-1].outcome is TickOutcome.SUBMITTED


@pytest.mark.parametrize(
    ("overlap", "expected"),
    [("skip", [TickOutcome.SUBMITTED, TickOutcome.SKIPPED]), ("replace", [TickOutcome.SUBMITTED] * 2)],
)
async def test_a_job_that_somebody_let_run_again_has_not_ended(
    database: Database, overlap: str, expected: list[TickOutcome]
) -> None:
    note = Note()
    async with schedule_system(database, note) as system:
        schedule = await system.create(arguments={"handler": "note", "payload": {"fails": True}}, overlap=overlap)
        await system.pass_time(MINUTE)
        (run,) = await system.runs(schedule.id)
        await system.finished(run.job_id)
        # Seen to have failed, so that nobody looks at it any more.
        await system.change(schedule.id, arguments={"handler": "note", "payload": {}})
        await system.finished(await system.on_demand.run_now(schedule.id))
        await system.jobs.retry(ULID(run.job_id), {"waits": True})
        await system.pass_time(MINUTE)
        first, _, second = await system.runs(schedule.id)
        assert [first.outcome, second.outcome] == expected
        note.go.set()
        (ended,) = await system.finished(first.job_id)
        assert ended.status == (JobStatus.CANCELED if overlap == "replace" else JobStatus.COMPLETED)


@pytest.mark.parametrize("overlap", ["skip", "replace"])
@pytest.mark.parametrize(("missed_minutes", "grace"), [(4, 1), (4, 600), (51, 1)])
async def test_missed_ticks_that_are_all_wanted_wait_for_one_another_instead_of_being_left_out(
    database: Database, missed_minutes: int, grace: int, overlap: str
) -> None:
    crowd = Crowd()
    crowd.go.set()
    async with schedule_system(database, crowd) as system:
        schedule = await system.create(
            arguments={"handler": "test.crowd"}, missed={"all": 100}, overlap=overlap, grace=grace
        )
        await system.pass_time(missed_minutes * MINUTE)
        runs = await system.runs(schedule.id)
        assert [run.outcome for run in runs] == [TickOutcome.SUBMITTED] * missed_minutes
        await system.finished(*(run.job_id for run in runs))
        assert (crowd.most, crowd.order) == (1, [run.job_id for run in runs])


async def test_a_tick_on_time_is_skipped_while_missed_ones_are_made_up_for(database: Database) -> None:
    held = Held()
    async with schedule_system(database, held) as system:
        schedule = await system.create(arguments=HELD, missed={"all": 100}, overlap="skip", grace=1)
        await system.pass_time(2 * MINUTE)
        await happens(held.begun)
        await system.pass_time(MINUTE)
        runs = await system.runs(schedule.id)
        assert [run.outcome for run in runs] == [TickOutcome.SUBMITTED] * 2 + [TickOutcome.SKIPPED]
        held.go.set()
        await system.finished(*(run.job_id for run in runs[:2]))


async def test_missed_ticks_wait_under_the_key_that_their_jobs_have_anyway(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        await system.create(missed={"all": 100}, overlap="skip", job={"concurrency_key": "mine"})
        await system.pass_time(2 * MINUTE)
        async with system.services.scope.read() as scope:
            assert set(await scope.session.scalars(select(JOBS.c.concurrency_key))) == {"mine"}


async def test_overlap_allow_starts_beside(database: Database) -> None:
    held = Held()
    async with schedule_system(database, held) as system:
        schedule = await system.create(arguments=HELD, overlap="allow")
        await system.pass_time(MINUTE)
        await system.pass_time(MINUTE)
        held.go.set()
        runs = await system.runs(schedule.id)
        assert [job.status for job in await system.finished(*(run.job_id for run in runs))] == [JobStatus.COMPLETED] * 2
        assert held.starts == 2


async def test_many_jobs_that_have_not_ended_are_kept_in_sight(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap="allow")
        for _ in range(8):
            await system.pass_time(MINUTE)
        runs = await system.runs(schedule.id)
        assert (await system.row(schedule.id)).active == [run.job_id for run in runs]
        await system.jobs.cancel(ULID(runs[0].job_id))
        await system.jobs.delete(ULID(runs[1].job_id))
        await system.pass_time(MINUTE)
        assert (await system.row(schedule.id)).active[:-1] == [run.job_id for run in runs[2:]]


async def test_overlap_queue_runs_one_after_the_other(database: Database) -> None:
    held = Held()
    async with schedule_system(database, held) as system:
        schedule = await system.create(arguments=HELD, overlap="queue")
        await system.pass_time(MINUTE)
        await happens(held.begun)
        await system.pass_time(MINUTE)
        first, second = await system.runs(schedule.id)
        assert (first.job_status, second.job_status) == (JobStatus.RUNNING, JobStatus.PENDING)
        held.go.set()
        await system.finished(first.job_id, second.job_id)
        assert held.starts == 2


async def test_overlap_replace_cancels_what_has_not_ended(database: Database) -> None:
    held = Held()
    async with schedule_system(database, held) as system:
        schedule = await system.create(arguments=HELD, overlap="replace")
        await system.pass_time(MINUTE)
        await happens(held.begun)
        await system.pass_time(MINUTE)
        held.begun.clear()
        first, second = await system.runs(schedule.id)
        (ended,) = await system.finished(first.job_id)
        assert ended.status is JobStatus.CANCELED
        await happens(held.begun)
        held.go.set()
        (ended,) = await system.finished(second.job_id)
        assert ended.status is JobStatus.COMPLETED


async def test_overlap_replace_lets_waiting_jobs_go(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap="replace")
        for _ in range(3):
            await system.pass_time(MINUTE)
        runs = await system.runs(schedule.id)
        assert [run.job_status for run in runs] == [JobStatus.CANCELED, JobStatus.CANCELED, JobStatus.PENDING]


async def test_a_job_that_ended_by_itself_is_not_canceled(database: Database) -> None:
    async with schedule_system(database, Note()) as system:
        schedule = await system.create(overlap="replace")
        await system.pass_time(MINUTE)
        (run,) = await system.runs(schedule.id)
        await system.finished(run.job_id)
        async with system.services.scope.write() as scope:
            await system.firing._jobs.request_cancel(scope, ULID(run.job_id))
        await system.pass_time(MINUTE)
        assert (await system.runs(schedule.id))[0].job_status is JobStatus.COMPLETED


async def test_failures_in_a_row_pause_a_schedule_and_say_why(database: Database) -> None:
    async with schedule_system(database, Note()) as system:
        failing = {"handler": "note", "payload": {"fails": True}}
        schedule = await system.create(arguments=failing, max_failures=2)
        for _ in range(2):
            await system.pass_time(MINUTE)
            await system.finished((await system.runs(schedule.id))[-1].job_id)
        assert (await system.get(schedule.id)).state is ScheduleState.ACTIVE
        await system.pass_time(MINUTE)
        paused = await system.get(schedule.id)
        assert (paused.state, paused.enabled, paused.next_run_at) == (ScheduleState.PAUSED, False, None)
        assert paused.paused_reason == "2 failures in a row; the last one: ValueError: it was told to fail"
        run = (await system.runs(schedule.id))[-1]
        assert (run.outcome, run.reason) == (TickOutcome.SKIPPED, f"Paused: {paused.paused_reason}")
        resumed = await system.change(schedule.id, enabled=True, arguments={"handler": "note"})
        assert (resumed.failures, resumed.paused_reason, resumed.state) == (0, None, ScheduleState.ACTIVE)
        await system.pass_time(MINUTE)
        assert (await system.runs(schedule.id))[-1].outcome is TickOutcome.SUBMITTED


async def test_a_success_between_two_failures_is_a_new_begin(database: Database) -> None:
    async with schedule_system(database, Note()) as system:
        schedule = await system.create(max_failures=2)
        for fails in (True, False, True):
            await system.change(schedule.id, arguments={"handler": "note", "payload": {"fails": fails}})
            await system.pass_time(MINUTE)
            await system.finished((await system.runs(schedule.id))[-1].job_id)
        await system.pass_time(MINUTE)
        after = await system.get(schedule.id)
        assert (after.failures, after.state) == (1, ScheduleState.ACTIVE)


async def test_a_canceled_or_deleted_job_is_neither_failure_nor_success(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(max_failures=1)
        await system.pass_time(MINUTE)
        await system.jobs.cancel(ULID((await system.runs(schedule.id))[-1].job_id))
        await system.pass_time(MINUTE)
        await system.jobs.delete(ULID((await system.runs(schedule.id))[-1].job_id))
        await system.pass_time(MINUTE)
        after = await system.get(schedule.id)
        assert (after.failures, after.state) == (0, ScheduleState.ACTIVE)
        assert [run.job_status for run in await system.runs(schedule.id)] == ["canceled", None, "pending"]


async def test_a_limit_below_the_failures_so_far_pauses_at_the_next_tick(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        await system.write(schedule.id, failures=2)
        await system.change(schedule.id, max_failures=1)
        await system.pass_time(MINUTE)
        assert (await system.get(schedule.id)).paused_reason == "2 failures in a row"
        assert await system.count_jobs() == 0


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotFoundError("The model is gone", code="model-unknown"), "The model is gone (model-unknown)"),
        (KeyError("weather"), "KeyError: 'weather'"),
        (DataError("", None, ValueError()), "A value does not fit into its column (value-not-storable)"),
    ],
)
async def test_a_target_that_cannot_fails_its_tick_and_goes_on_with_the_next(
    database: Database, error: Exception, reason: str
) -> None:
    async with schedule_system(database, Note()) as system:
        moody = Moody()
        system.services.get(JobTargets).add(moody)
        schedule = await system.create(target="moody", arguments={})
        moody.error = error
        await system.pass_time(MINUTE)
        failed = await system.get(schedule.id)
        assert failed.last_tick is not None
        assert (failed.last_tick.outcome, failed.last_tick.reason) == (TickOutcome.FAILED, reason)
        assert (failed.failures, failed.next_run_at) == (1, NOON + 2 * MINUTE)
        moody.error = None
        await system.pass_time(MINUTE)
        assert [run.outcome for run in await system.runs(schedule.id)] == ["failed", "submitted"]


async def test_ticks_that_fail_count_as_failures(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        moody = Moody()
        system.services.get(JobTargets).add(moody)
        schedule = await system.create(target="moody", max_failures=2, missed={"all": 10}, grace=1)
        moody.error = NotFoundError("Gone")
        await system.pass_time(5 * MINUTE)
        runs = await system.runs(schedule.id)
        assert [run.outcome for run in runs] == ["failed", "failed", "skipped", "skipped", "skipped"]
        assert (await system.get(schedule.id)).paused_reason == "2 failures in a row; the last one: Gone (not-found)"


async def test_a_refused_submission_leaves_nothing_but_its_reason(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        await system.write(schedule.id, job={"queue": "nowhere"})
        await system.pass_time(MINUTE)
        (run,) = await system.runs(schedule.id)
        assert run.outcome is TickOutcome.FAILED
        assert run.reason is not None
        assert run.reason.endswith("(job-queue-unknown)")
        assert await system.count_jobs() == 0


async def test_a_tick_waits_while_the_service_takes_no_jobs(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        system.jobs.accepts = False
        with pytest.raises(UnavailableError):
            await system.firing.fire(schedule.id, NOON + MINUTE)
        system.clock.moment += MINUTE
        await system.worker.work()
        assert await system.runs(schedule.id) == []
        assert await system.due() == [schedule.id]
        system.jobs.accepts = True
        await system.worker.work()
        assert len(await system.runs(schedule.id)) == 1


async def test_jitter_delays_the_job_and_not_the_tick(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(jitter=30)
        await system.pass_time(MINUTE)
        (run,) = await system.runs(schedule.id)
        async with system.services.scope.read() as scope:
            columns = JOBS.select().with_only_columns(JOBS.c.run_after).where(JOBS.c.id == run.job_id)
            run_after = await scope.session.scalar(columns)
        assert run_after is not None
        assert timedelta() <= run_after - run.scheduled_for < timedelta(seconds=30)
        assert (await system.get(schedule.id)).next_run_at == NOON + 2 * MINUTE


async def test_a_missed_tick_with_jitter_has_as_long_to_start_as_any_other(database: Database) -> None:
    async with schedule_system(database, Note()) as system:
        schedule = await system.create(jitter=10, grace=1, job={"queue_timeout": 5})
        await system.pass_time(10 * MINUTE + timedelta(seconds=30))
        run = (await system.runs(schedule.id))[-1]
        (job,) = await system.finished(run.job_id)
        assert (job.status, job.error_code) == (JobStatus.COMPLETED, None)


async def test_options_of_a_job_are_heeded(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        await system.create(job={"priority": 7, "timeout": 5})
        await system.pass_time(MINUTE)
        async with system.services.scope.read() as scope:
            (row,) = (await scope.session.execute(JOBS.select())).mappings().all()
        assert (row["priority"], row["timeout"]) == (7, 5.0)


async def test_a_schedule_ends_with_its_last_tick(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        once = await system.create(trigger={"type": "once", "at": NOON + MINUTE})
        limited = await system.create(end_at=NOON + 2 * MINUTE)
        await system.pass_time(MINUTE)
        await system.pass_time(timedelta(days=1))
        for schedule in (once, limited):
            after = await system.get(schedule.id)
            assert (after.state, after.enabled, after.next_run_at) == (ScheduleState.FINISHED, True, None)
            assert len(await system.runs(schedule.id)) == 1


async def test_a_moment_that_passed_while_nothing_ran_is_made_up_for(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(trigger={"type": "once", "at": NOON + MINUTE})
        await system.pass_time(timedelta(days=3))
        (run,) = await system.runs(schedule.id)
        assert (run.scheduled_for, run.outcome) == (NOON + MINUTE, TickOutcome.SUBMITTED)


async def test_old_ticks_are_taken_away(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repository, "KEPT_TICKS", 5)
    monkeypatch.setattr(repository, "_PRUNE_EVERY", 10)
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap="replace")
        for _ in range(21):
            await system.pass_time(MINUTE)
        runs = await system.runs(schedule.id)
        assert [run.scheduled_for for run in runs] == moments(*range(16, 22))
        assert (await system.row(schedule.id)).ticks == 21


@pytest.mark.parametrize("seconds_late", [0, 30, 3600])
async def test_a_time_that_the_clock_skips_has_its_job_when_the_clock_jumps(
    database: Database, seconds_late: int
) -> None:
    jump = datetime(2030, 3, 31, 1, tzinfo=UTC)
    async with schedule_system(database, Note()) as system:
        trigger = {"type": "cron", "expression": "30 2 * * *", "timezone": "Europe/Berlin"}
        system.clock.moment = jump - timedelta(hours=12)
        schedule = await system.create(trigger=trigger)
        assert schedule.next_run_at == jump
        await system.pass_time(timedelta(hours=12, seconds=seconds_late))
        (run,) = await system.runs(schedule.id)
        assert (run.scheduled_for, run.outcome) == (jump, TickOutcome.SUBMITTED)


async def test_a_tick_that_its_zone_no_longer_has_is_left_out(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        await system.write(schedule.id, next_run_at=NOON + MINUTE + timedelta(seconds=10))
        await system.pass_time(MINUTE + timedelta(seconds=20))
        assert await system.runs(schedule.id) == []
        assert (await system.get(schedule.id)).next_run_at == NOON + 2 * MINUTE


async def test_a_schedule_whose_zone_nobody_knows_pauses_and_can_be_looked_at(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        gone = '{"type":"cron","expression":"0 6 * * *","timezone":"Atlantis/Capital"}'
        await system.write(schedule.id, trigger=gone)
        await system.pass_time(MINUTE)
        after = await system.get(schedule.id)
        assert after.state is ScheduleState.PAUSED
        assert after.paused_reason is not None
        assert "Atlantis/Capital" in after.paused_reason
        assert after.explanation == after.paused_reason
        assert await system.due() == []


async def test_a_job_that_ends_between_two_looks_does_not_cost_a_tick(database: Database) -> None:
    held = Held()
    async with schedule_system(database, held) as system:
        schedule = await system.create(arguments=HELD)
        await system.pass_time(MINUTE)
        await happens(held.begun)
        system.clock.move(60)
        intent = await system.firing._prepare(schedule.id, system.clock.now())
        assert intent is not None
        held.go.set()
        await system.finished(*(run.job_id for run in await system.runs(schedule.id)))
        with pytest.raises(_Outdated):
            await system.firing._commit(intent)
        await system.worker.work()
        assert [run.outcome for run in await system.runs(schedule.id)] == ["submitted", "submitted"]
