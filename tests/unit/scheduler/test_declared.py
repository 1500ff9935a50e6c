import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from chapkit.core import lock_waits
from chapkit.core.database import Database
from chapkit.core.errors import ChapkitError, UnprocessableError
from chapkit.scheduler.declared import _LOCK_NUMBER, DeclaredSchedule, Reconciliation
from chapkit.scheduler.feature import ScheduleFeature
from chapkit.scheduler.manager import ScheduleManager
from chapkit.scheduler.refusals import ScheduleDuplicateError
from chapkit.scheduler.schemas import ScheduleIn, ScheduleOut, ScheduleState
from tests.things import open_database
from tests.unit.scheduler.schedule_parts import MINUTE, NOON, Note, ScheduleSystem, every_minute, schedule_system

pytestmark = pytest.mark.anyio
_EVERY_QUARTER = {"type": "interval", "every": "15m"}


def declared(name: str = "notes", **members: Any) -> DeclaredSchedule:
    return DeclaredSchedule(ScheduleIn.model_validate(every_minute(name=name, **members)))


async def every_schedule(system: ScheduleSystem) -> dict[str, ScheduleOut]:
    async with system.services.scope.read() as scope:
        return {schedule.name: schedule for schedule in await scope.get(ScheduleManager).find_all()}


async def test_rows_become_what_the_code_says(database: Database) -> None:
    first = (declared("kept"), declared("changed", jitter=5), declared("gone"))
    async with schedule_system(database, Note(), declared=first) as system:
        before = await every_schedule(system)
        assert {schedule.managed_by for schedule in before.values()} == {"code"}
        assert before["kept"].next_run_at == NOON + MINUTE
    second = (declared("kept"), declared("changed", tags=["weather"]), declared("new"))
    async with schedule_system(database, Note(), declared=second) as system:
        after = await every_schedule(system)
        assert sorted(after) == ["changed", "kept", "new"]
        assert after["kept"] == before["kept"]
        assert (after["changed"].id, after["changed"].jitter, after["changed"].tags) == (
            before["changed"].id,
            0.0,
            ["weather"],
        )
    async with schedule_system(database, Note()) as system:
        assert await every_schedule(system) == {}


async def test_schedules_of_people_are_left_alone(database: Database) -> None:
    async with schedule_system(database, Note(), declared=(declared("ours"),)) as system:
        await system.create(name="theirs")
    async with schedule_system(database, Note()) as system:
        assert list(await every_schedule(system)) == ["theirs"]


async def test_what_a_person_has_paused_stays_so(database: Database) -> None:
    ours = (declared(),)
    async with schedule_system(database, Note(), declared=ours) as system:
        (schedule,) = (await every_schedule(system)).values()
        await system.change(schedule.id, enabled=False)
    async with schedule_system(database, Note(), declared=ours) as system:
        assert (await system.get(schedule.id)).state is ScheduleState.PAUSED
        await system.change(schedule.id, enabled=True)
        assert (await system.get(schedule.id)).state is ScheduleState.ACTIVE


async def test_what_the_code_says_can_only_be_changed_there(database: Database) -> None:
    async with schedule_system(database, Note(), declared=(declared(),)) as system:
        (schedule,) = (await every_schedule(system)).values()
        for changes in ({"jitter": 9}, {"enabled": False, "name": "other"}, {"tags": ["mine"]}):
            with pytest.raises(ChapkitError) as raised:
                await system.change(schedule.id, **changes)
            assert raised.value.code == "schedule-managed-by-code"
            # By the name that the code knows, not the one that somebody wants.
            assert raised.value.extensions["found"] == schedule.name
        async with system.services.scope.read() as scope:
            manager = scope.get(ScheduleManager)
            with pytest.raises(ChapkitError):
                await manager.pre_delete(await manager.get_entity(schedule.id))
        assert await system.change(schedule.id, name="notes", jitter=0.0) == schedule.model_copy(
            update={"updated_at": (await system.get(schedule.id)).updated_at}
        )


async def test_an_interval_of_the_code_keeps_its_anchor(database: Database) -> None:
    async with schedule_system(database, Note(), declared=(declared(trigger=_EVERY_QUARTER),)) as system:
        (before,) = (await every_schedule(system)).values()
        system.clock.move(100)
        await Reconciliation(system.services, (declared(trigger=_EVERY_QUARTER),)).run()
        (after,) = (await every_schedule(system)).values()
        assert after == before


async def test_a_moment_of_the_code_that_has_passed_does_not_keep_the_service_from_starting(database: Database) -> None:
    past = {"type": "once", "at": datetime(2020, 1, 1, tzinfo=UTC)}
    async with schedule_system(database, Note(), declared=(declared(trigger=past),)) as system:
        (schedule,) = (await every_schedule(system)).values()
        assert schedule.state is ScheduleState.FINISHED


async def test_what_a_schedule_of_the_code_needs_may_come_later(database: Database) -> None:
    async with schedule_system(database, runs_jobs=False, declared=(declared(),)) as system:
        (schedule,) = (await every_schedule(system)).values()
        await system.pass_time(MINUTE)
        (run,) = await system.runs(schedule.id)
        assert run.reason is not None
        assert run.reason.endswith("(schedule-handler-unknown)")


async def test_a_target_that_the_service_does_not_have_keeps_it_from_starting(database: Database) -> None:
    with pytest.raises(UnprocessableError) as raised:
        async with schedule_system(database, Note(), declared=(declared(target="rocket"),)):
            pass
    assert raised.value.code == "job-target-unknown"


async def test_processes_that_start_at_once_make_one_row(database: Database) -> None:
    async with schedule_system(database, Note()) as system:
        wanted = (declared("a"), declared("b"))
        await asyncio.gather(*(Reconciliation(system.services, wanted).run() for _ in range(4)))
        assert sorted(await every_schedule(system)) == ["a", "b"]


async def test_who_starts_waits_for_the_changes_of_another_process_as_long_as_they_take(
    database: Database, table_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    monkeypatch.setattr(lock_waits, "LOCK_TIMEOUT", "20ms")
    own = open_database(table_url)
    async with schedule_system(own, Note()) as system, database.engine.connect() as other:
        await other.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
        starting = asyncio.create_task(Reconciliation(system.services, (declared("a"),)).run())
        done, _ = await asyncio.wait({starting}, timeout=0.2)
        assert not done
        await other.rollback()
        await starting
        assert list(await every_schedule(system)) == ["a"]
    await own.dispose()


def test_two_schedules_of_the_code_need_two_names() -> None:
    with pytest.raises(ScheduleDuplicateError, match="give each a name"):
        ScheduleFeature(declared=(declared("a"), declared("a"))).check({})


async def test_a_tick_that_came_while_the_service_was_changed_is_made_up_for(database: Database) -> None:
    new = {"handler": "note", "payload": {"new": 1}}
    once = {"type": "once", "at": NOON + MINUTE}
    before = (declared("often"), declared("once", trigger=once), declared("shorter"))
    async with schedule_system(database, Note(), declared=before) as system:
        clock = system.clock
    clock.move(90)
    after = (
        declared("often", arguments=new),
        declared("once", trigger=once, arguments=new),
        declared("shorter", end_at=NOON + 9 * MINUTE),
    )
    async with schedule_system(database, Note(), declared=after, clock=clock) as system:
        await system.pass_time(timedelta(0))
        for schedule in (await every_schedule(system)).values():
            assert [run.scheduled_for for run in await system.runs(schedule.id)] == [NOON + MINUTE], schedule.name
