import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

from chapkit.core.clock import utc_now
from chapkit.core.database import Database
from chapkit.core.errors import UnavailableError
from chapkit.job.targets import JobTargets
from chapkit.scheduler.alarm import Alarm
from chapkit.scheduler.schemas import TickOutcome
from tests.things import open_database
from tests.unit.job.parts import PATIENCE, SteppedClock
from tests.unit.scheduler.schedule_parts import MINUTE, NOON, Moody, Note, ScheduleSystem, schedule_system

pytestmark = pytest.mark.anyio
LONG = 3600.0


class RunningClock(SteppedClock):
    """The time of the machine, moved by what a test says."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> Any:
        return utc_now() + self.ahead


async def _is_seen_to(system: ScheduleSystem, schedule_id: Any, count: int = 1) -> None:
    async with asyncio.timeout(PATIENCE):
        while len(await system.runs(schedule_id)) < count:
            await asyncio.sleep(0.01)


async def test_the_worker_wakes_when_a_schedule_is_due_that_was_made_just_now(database: Database) -> None:
    clock = RunningClock()
    async with schedule_system(database, Note(), work=True, clock=clock, look_every=LONG) as system:
        soon = clock.now() + timedelta(milliseconds=100)
        schedule = await system.create(trigger={"type": "once", "at": soon})
        await _is_seen_to(system, schedule.id)
        (run,) = await system.runs(schedule.id)
        assert run.scheduled_for == soon
        assert run.created_at >= soon
        assert system.worker.is_working
    assert not system.worker.is_working


async def test_the_worker_wakes_for_each_tick(database: Database) -> None:
    async with schedule_system(database, Note(), work=True, clock=RunningClock(), look_every=LONG) as system:
        trigger = {"type": "interval", "every": 1, "anchor": NOON.replace(year=2020)}
        schedule = await system.create(trigger=trigger, overlap="allow")
        await _is_seen_to(system, schedule.id, 2)
        first, second = (await system.runs(schedule.id))[:2]
        assert second.scheduled_for - first.scheduled_for == timedelta(seconds=1)


async def test_the_worker_notices_that_the_clock_was_put_ahead(database: Database) -> None:
    clock = RunningClock()
    async with schedule_system(database, Note(), work=True, clock=clock, look_every=0.05) as system:
        schedule = await system.create(trigger={"type": "once", "at": clock.now() + timedelta(hours=1)})
        clock.ahead = timedelta(hours=1)
        await _is_seen_to(system, schedule.id)


async def test_the_worker_hears_of_schedules_that_another_process_has_made(database: Database, table_url: str) -> None:
    clock, other = RunningClock(), open_database(table_url)
    try:
        async with (
            schedule_system(database, Note(), work=True, clock=clock, look_every=LONG) as working,
            schedule_system(other, Note(), runs_jobs=False, clock=clock) as asking,
        ):
            for system in (working, asking):
                soon = clock.now() + timedelta(milliseconds=100)
                schedule = await system.create(trigger={"type": "once", "at": soon})
                await _is_seen_to(working, schedule.id)
    finally:
        await other.dispose()


async def test_news_of_others_are_gathered_before_it_looks(database: Database) -> None:
    async with schedule_system(database, Note(), look_every=LONG) as system:
        system.worker.alarm.open()
        system.worker.hear()
        gathering = system.worker._gathering
        system.worker.hear()
        assert gathering is not None
        assert system.worker._gathering is gathering
        assert await system.worker.alarm.wait(PATIENCE)
        assert system.worker._gathering is None


async def test_it_sleeps_until_the_next_tick_but_not_for_longer_than_it_may(database: Database) -> None:
    async with schedule_system(database, Note(), look_every=20.0) as system:
        assert await system.worker.work() == 20.0
        await system.create()
        assert await system.worker.work() == 20.0
        system.clock.move(50)
        assert await system.worker.work() == 10.0


async def test_one_schedule_with_an_error_does_not_keep_others_waiting(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        moody = Moody()
        system.services.get(JobTargets).add(moody)
        troubled = await system.create(target="moody")
        others = [await system.create() for _ in range(5)]
        moody.error = UnavailableError("The weather service is away")
        system.clock.moment += MINUTE
        assert await system.worker.work() == 1.0
        for schedule in others:
            assert len(await system.runs(schedule.id)) == 1
        assert await system.runs(troubled.id) == []
        moody.error = None
        await system.worker.work()
        (run,) = await system.runs(troubled.id)
        assert run.outcome is TickOutcome.SUBMITTED


async def test_after_some_errors_in_a_row_it_waits(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        moody = Moody()
        system.services.get(JobTargets).add(moody)
        for _ in range(6):
            await system.create(target="moody")
        moody.error = UnavailableError("The database is away")
        system.clock.moment += MINUTE
        assert await system.worker.work() == 1.0
        moody.error = None
        await system.worker.work()
        assert await system.count_jobs() == 6


async def test_it_looks_again_soon_where_others_are_at_work(database: Database, monkeypatch: Any) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        await system.create()

        async def fire(*_: object) -> bool:
            return False

        monkeypatch.setattr(system.worker._firing, "fire", fire)
        system.clock.moment += MINUTE
        assert await system.worker.work() == 0.05


async def test_it_goes_on_after_an_error_of_the_database(database: Database, monkeypatch: Any) -> None:
    clock = RunningClock()
    async with schedule_system(database, Note(), clock=clock, look_every=LONG) as system:
        failures = [UnavailableError("away")]

        async def list_due() -> Any:
            if failures:
                raise failures.pop()
            return await whole()

        whole = system.worker._list_due
        monkeypatch.setattr(system.worker, "_list_due", list_due)
        monkeypatch.setattr("chapkit.scheduler.worker._PAUSE_AFTER_ERROR", 0.01)
        schedule = await system.create(trigger={"type": "once", "at": clock.now() + timedelta(milliseconds=20)})
        task = asyncio.create_task(system.worker.run())
        await _is_seen_to(system, schedule.id)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert failures == []


async def test_an_alarm_is_heard_from_another_thread() -> None:
    alarm = Alarm()
    alarm.ring()
    alarm.open()
    assert await alarm.wait(0.0) is False
    thread = threading.Thread(target=alarm.ring)
    thread.start()
    assert await alarm.wait(PATIENCE) is True
    assert await alarm.wait(0.0) is False
    thread.join()
