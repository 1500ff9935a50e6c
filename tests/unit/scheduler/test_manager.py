from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from chapkit.core.database import Database
from chapkit.core.errors import ChapkitError
from chapkit.core.ids import ULID
from chapkit.scheduler.manager import ScheduleManager
from chapkit.scheduler.schemas import ScheduleIn, ScheduleState, TickSource
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
        {"max_failures": 2**63},
        {"start_at": 1767225600},
        {"trigger": {"type": "once", "at": "1900000000"}},
        {"trigger": {"type": "interval", "every": "1m", "anchor": 1.5}},
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


async def test_a_tick_that_is_due_runs_although_the_schedule_was_changed(database: Database) -> None:
    new = {"arguments": {"handler": "note", "payload": {"new": 1}}}
    once = {"type": "once", "at": NOON + MINUTE}
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        cases = [(await system.create(), new), (await system.create(), {"end_at": NOON + 9 * MINUTE})]
        cases += [(await system.create(trigger=once), new)]
        system.clock.move(90)
        for schedule, changes in cases:
            assert (await system.change(schedule.id, **changes)).next_run_at == NOON + MINUTE
        await system.pass_time(timedelta(0))
        for schedule, _ in cases:
            assert [run.scheduled_for for run in await system.runs(schedule.id)] == moments(1)


async def test_a_tick_that_is_due_is_dropped_with_its_trigger_its_window_or_by_a_pause(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        for changes in (
            {"trigger": {"type": "interval", "every": "2m", "anchor": NOON}},
            {"start_at": NOON + 1.2 * MINUTE},
        ):
            schedule = await system.create()
            system.clock.move(90)
            assert (await system.change(schedule.id, **changes)).next_run_at == NOON + 2 * MINUTE
            system.clock.moment = NOON
        paused = await system.create()
        system.clock.move(90)
        assert (await system.change(paused.id, enabled=False, end_at=NOON + 9 * MINUTE)).next_run_at is None
        assert (await system.change(paused.id, end_at=NOON + 8 * MINUTE)).next_run_at is None
        assert (await system.change(paused.id, enabled=True)).next_run_at == NOON + 2 * MINUTE


@pytest.mark.parametrize(
    "trigger", [Once(NOON), Interval("15m", NOON), Cron("*/5 8-18 * * mon-fri", "Europe/Berlin")], ids=repr
)
def test_a_trigger_is_the_same_after_it_was_written(trigger: Trigger) -> None:
    assert build_trigger(spec_of(trigger).model_dump_json()) == trigger


def test_only_plain_triggers_are_written() -> None:
    with pytest.raises(TypeError):
        spec_of(Window(NOON).limit(Once(NOON)))
