import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from chapkit.core.database import Database
from chapkit.core.errors import ChapkitError
from chapkit.core.ids import ULID
from chapkit.scheduler.manager import ScheduleManager
from chapkit.scheduler.schemas import BackfillIn, ScheduleIn, ScheduleState, TickOutcome, TickSource
from chapkit.scheduler.statements import TICKS as _TICKS
from chapkit.scheduler.trigger_schemas import (
    CronTriggerOut,
    IntervalTriggerOut,
    OnceTriggerOut,
    build_trigger,
    spec_of,
)
from chapkit.scheduler.triggers import Cron, Interval, Once, Trigger, Window
from tests.unit.scheduler.schedule_parts import MINUTE, NOON, Note, every_minute, moments, schedule_system

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"trigger": {"type": "once", "at": "2029-12-31T12:00:00Z"}}, "schedule-in-the-past"),
        ({"end_at": NOON - MINUTE}, "schedule-in-the-past"),
        ({"trigger": {"type": "once", "at": "2031-01-01T12:00:00"}}, "schedule-time-naive"),
        ({"trigger": {"type": "cron", "expression": "0 25 * * *"}}, "cron-invalid"),
        ({"trigger": {"type": "cron", "expression": "0 6 * * *", "timezone": "Kigali"}}, "timezone-unknown"),
        ({"trigger": {"type": "interval", "every": 0.5}}, "interval-invalid"),
        ({"start_at": NOON + MINUTE, "end_at": NOON}, "schedule-window-invalid"),
        ({"missed": "all"}, "missed-policy-invalid"),
        ({"missed": {"all": 0}}, "missed-policy-invalid"),
        ({"jitter": -1}, "jitter-invalid"),
        ({"target": "rocket"}, "job-target-unknown"),
        ({"job": {"queue": "nowhere"}}, "job-queue-unknown"),
        ({"arguments": {"handler": "nobody"}}, "schedule-handler-unknown"),
        ({"arguments": {"handler": "chapkit.ad-hoc"}}, "schedule-handler-unknown"),
        ({"arguments": {"handler": "note", "more": 1}}, "target-arguments-invalid"),
    ],
)
async def test_what_could_never_run_is_refused(database: Database, members: dict[str, Any], code: str) -> None:
    async with schedule_system(database, Note()) as system:
        with pytest.raises(ChapkitError) as raised:
            await system.create(**members)
        assert raised.value.code == code


@pytest.mark.parametrize(
    "members",
    [
        {"trigger": {"type": "sometimes"}},
        {"trigger": {"type": "interval", "every": "1m", "timezone": "UTC"}},
        {"grace": -1},
        {"grace": 0},
        {"grace": 0.9},
        {"grace": True},
        {"jitter": True},
        {"max_failures": True},
        {"overlap": "perhaps"},
        {"max_failures": 0},
        {"job": {"run_after": NOON}},
        {"job": {"concurrency_key": "mine"}, "overlap": "queue"},
        {"name": ""},
        {"every": "1m"},
    ],
)
def test_a_schedule_that_makes_no_sense_is_no_schedule(members: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ScheduleIn.model_validate(every_minute(**members))


async def test_an_interval_counts_from_its_creation_and_keeps_its_anchor(database: Database) -> None:
    async with schedule_system(database, Note()) as system:
        system.clock.move(0.25)
        schedule = await system.create(trigger={"type": "interval", "every": 90})
        assert schedule.trigger == IntervalTriggerOut(every="1m30s", anchor=NOON)
        assert schedule.next_run_at == NOON + 1.5 * MINUTE
        system.clock.move(40)
        async with system.services.scope.write() as scope:
            manager = scope.get(ScheduleManager)
            same = await manager.replace(
                schedule.id, ScheduleIn.model_validate(every_minute(trigger={"type": "interval", "every": "90s"}))
            )
            assert same.trigger == schedule.trigger
            other = await manager.patch(schedule.id, {"trigger": {"every": "2m"}}, ScheduleIn)
            assert other.next_run_at == NOON + 2 * MINUTE
            anew = await manager.patch(schedule.id, {"trigger": {"every": "3m", "anchor": None}}, ScheduleIn)
            assert anew.trigger == IntervalTriggerOut(every="3m", anchor=NOON + timedelta(seconds=40))
        start = NOON + timedelta(days=1)
        later = await system.create(trigger={"type": "interval", "every": "1h"}, start_at=start)
        assert later.next_run_at == start


async def test_a_trigger_of_another_kind_takes_the_place_of_the_old_one(database: Database) -> None:
    async with schedule_system(database, Note()) as system:
        schedule = await system.create()
        changed = await system.change(schedule.id, trigger={"type": "cron", "expression": "0  6 * * *"})
        assert changed.trigger == CronTriggerOut(expression="0 6 * * *", timezone="UTC")
        assert changed.next_run_at == datetime(2030, 1, 2, 6, tzinfo=UTC)
        changed = await system.change(schedule.id, trigger={"timezone": "Africa/Kigali"})
        assert changed.next_run_at == datetime(2030, 1, 2, 4, tzinfo=UTC)
        assert changed.explanation == "At 06:00 every day, Africa/Kigali"
        changed = await system.change(schedule.id, trigger={"type": "once", "at": NOON + MINUTE})
        assert changed.trigger == OnceTriggerOut(at=NOON + MINUTE)
        with pytest.raises(ValidationError):
            await system.change(schedule.id, trigger={"type": "never"})
        with pytest.raises(ChapkitError, match="Nothing would ever run"):
            await system.change(schedule.id, end_at=NOON.isoformat())


async def test_a_change_of_something_else_does_not_put_off_what_is_due(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        system.clock.moment += MINUTE
        changed = await system.change(schedule.id, name="other", enabled=True)
        assert (changed.name, changed.next_run_at) == ("other", NOON + MINUTE)
        await system.worker.work()
        assert len(await system.runs(schedule.id)) == 1


async def test_what_was_due_while_it_was_paused_never_runs(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(missed={"all": 10})
        async with system.services.scope.write() as scope:
            await scope.get(ScheduleManager).pause(schedule.id)
        paused = await system.get(schedule.id)
        assert (paused.state, paused.paused_reason) == (ScheduleState.PAUSED, "Paused by a request")
        await system.pass_time(5 * MINUTE)
        async with system.services.scope.write() as scope:
            await scope.get(ScheduleManager).resume(schedule.id)
        assert (await system.get(schedule.id)).next_run_at == NOON + 6 * MINUTE
        await system.pass_time(MINUTE)
        assert [run.scheduled_for for run in await system.runs(schedule.id)] == moments(6)


async def test_one_that_is_created_paused_waits(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(enabled=False)
        assert (schedule.state, schedule.next_run_at) == (ScheduleState.PAUSED, None)
        await system.pass_time(5 * MINUTE)
        assert await system.runs(schedule.id) == []


async def test_a_schedule_can_be_run_beside_its_ticks(database: Database) -> None:
    note = Note()
    async with schedule_system(database, note) as system:
        schedule = await system.create(enabled=False, overlap="queue")
        first = await system.on_demand.run_now(schedule.id, "click")
        assert await system.on_demand.run_now(schedule.id, "click") == first
        second, third = [await system.on_demand.run_now(schedule.id) for _ in range(2)]
        assert len({first, second, third}) == 3
        await system.finished(first, second, third)
        runs = await system.runs(schedule.id)
        assert [run.job_id for run in runs] == [first, second, third]
        assert {run.source for run in runs} == {TickSource.MANUAL}
        assert (await system.get(schedule.id)).next_run_at is None
        with pytest.raises(ChapkitError) as raised:
            await system.on_demand.run_now(ULID())
        assert raised.value.code == "schedule-not-found"


async def test_a_job_that_somebody_asked_for_is_in_the_way_of_a_tick(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap="skip")
        await system.on_demand.run_now(schedule.id)
        await system.pass_time(MINUTE)
        assert [run.outcome for run in await system.runs(schedule.id)] == ["submitted", "skipped"]


async def test_a_backfill_makes_up_for_ticks_without_a_job(database: Database) -> None:
    note = Note()
    async with schedule_system(database, note) as system:
        schedule = await system.create(missed="skip", grace=1, overlap="queue")
        await system.pass_time(MINUTE)
        await system.pass_time(3 * MINUTE + timedelta(seconds=2))
        wanted = BackfillIn(start=NOON - 3 * MINUTE, end=NOON + 4 * MINUTE)
        result = await system.on_demand.backfill(schedule.id, wanted)
        # An interval begins with its anchor.
        assert [record.scheduled_for for record in result.created] == moments(0, 2, 3)
        assert [record.scheduled_for for record in result.skipped] == moments(1)
        assert (result.failed, result.continue_from) == ([], None)
        again = await system.on_demand.backfill(schedule.id, wanted)
        assert again.created == []
        assert [record.job_id for record in again.skipped[:1]] == [result.created[0].job_id]
        runs = await system.runs(schedule.id)
        await system.finished(*(run.job_id for run in runs if run.job_id))
        assert sorted(note.ticks) == [f"2030-01-01T12:0{minute}:00.000000Z" for minute in (0, 1, 2, 3)]
        assert [run.source for run in runs] == ["backfill", "trigger", "backfill", "backfill", "trigger"]


async def test_a_backfill_with_the_same_key_answers_as_it_did(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap="allow", enabled=False)
        system.clock.move(600)
        await system.on_demand.backfill(schedule.id, BackfillIn(start=NOON, end=NOON + MINUTE))
        wanted = BackfillIn(start=NOON, end=NOON + 4 * MINUTE)
        answers = await asyncio.gather(*(system.on_demand.backfill(schedule.id, wanted, "once") for _ in range(5)))
        answers.append(await system.on_demand.backfill(schedule.id, wanted, "once"))
        for answer in answers:
            assert [record.scheduled_for for record in answer.created] == moments(1, 2, 3)
            assert [record.scheduled_for for record in answer.skipped] == moments(0)
            assert answer == answers[0]
        elsewhere = wanted.model_copy(update={"start": NOON.astimezone(ZoneInfo("Africa/Kigali"))})
        assert await system.on_demand.backfill(schedule.id, elsewhere, "once") == answers[0]
        assert (await system.on_demand.backfill(schedule.id, wanted, "another")).created == []
        assert await system.count_jobs() == 4


async def test_another_backfill_under_the_same_key_is_refused(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap="allow", enabled=False)
        system.clock.move(600)
        await system.on_demand.backfill(schedule.id, BackfillIn(start=NOON, end=NOON + MINUTE), "schlüssel")
        for change in ({"end": NOON + 2 * MINUTE}, {"limit": 5}, {"start": NOON - MINUTE}):
            wanted = BackfillIn.model_validate({"start": NOON, "end": NOON + MINUTE, **change})
            with pytest.raises(ChapkitError) as raised:
                await system.on_demand.backfill(schedule.id, wanted, "schlüssel")
            assert raised.value.code == "idempotency-key-reused"
        assert await system.count_jobs() == 1
        other = await system.create(overlap="allow", enabled=False, name="other")
        system.clock.move(60)
        wanted = BackfillIn(start=NOON + 10 * MINUTE, end=NOON + 11 * MINUTE)
        assert len((await system.on_demand.backfill(other.id, wanted, "schlüssel")).created) == 1


async def test_a_backfill_goes_on_behind_its_limit(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap="allow", enabled=False)
        system.clock.move(3600 * 2)
        first = await system.on_demand.backfill(schedule.id, BackfillIn(start=NOON, end=NOON + 90 * MINUTE, limit=60))
        assert (len(first.created), first.continue_from) == (60, NOON + 60 * MINUTE)
        assert first.continue_from is not None
        second = await system.on_demand.backfill(
            schedule.id, BackfillIn(start=first.continue_from, end=NOON + 90 * MINUTE)
        )
        assert (len(second.created), second.continue_from) == (30, None)
        assert await system.count_jobs() == 90


async def test_a_backfill_keeps_to_the_past(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        for start, end in ((NOON, NOON + MINUTE), (NOON, NOON), (NOON, NOON - MINUTE)):
            with pytest.raises(ChapkitError) as raised:
                await system.on_demand.backfill(schedule.id, BackfillIn(start=start, end=end))
            assert raised.value.code == "backfill-range-invalid"


async def test_a_backfill_tells_of_what_cannot_be_submitted(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        await system.write(schedule.id, job={"queue": "nowhere"})
        system.clock.move(120)
        result = await system.on_demand.backfill(schedule.id, BackfillIn(start=NOON, end=NOON + MINUTE))
        (failed,) = result.failed
        assert (failed.outcome, failed.job_id) == (TickOutcome.FAILED, None)
        await system.change(schedule.id, job=None)
        result = await system.on_demand.backfill(schedule.id, BackfillIn(start=NOON, end=NOON + MINUTE))
        assert len(result.created) == 1


async def test_a_backfill_finds_the_job_of_a_tick_that_is_no_longer_kept(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        system.clock.move(120)
        wanted = BackfillIn(start=NOON, end=NOON + MINUTE)
        (created,) = (await system.on_demand.backfill(schedule.id, wanted)).created
        async with system.services.scope.write() as scope:
            manager = scope.get(ScheduleManager)
            await manager.session.execute(_TICKS.delete())
        again = await system.on_demand.backfill(schedule.id, wanted)
        assert (again.created, again.skipped) == ([], [created])
        assert await system.count_jobs() == 1


@pytest.mark.parametrize(
    "trigger", [Once(NOON), Interval("15m", NOON), Cron("*/5 8-18 * * mon-fri", "Europe/Berlin")], ids=repr
)
def test_a_trigger_is_the_same_after_it_was_written(trigger: Trigger) -> None:
    assert build_trigger(spec_of(trigger).model_dump_json()) == trigger


def test_only_plain_triggers_are_written() -> None:
    with pytest.raises(TypeError):
        spec_of(Window(NOON).limit(Once(NOON)))
