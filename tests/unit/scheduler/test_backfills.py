import asyncio
from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from chapkit.core.database import Database
from chapkit.core.errors import ChapkitError
from chapkit.job.schemas import JobStatus
from chapkit.scheduler import repository
from chapkit.scheduler.manager import ScheduleManager
from chapkit.scheduler.schemas import BackfillIn, TickOutcome
from chapkit.scheduler.statements import TICKS as _TICKS
from tests.unit.scheduler.schedule_parts import MINUTE, NOON, Note, moments, schedule_system

pytestmark = pytest.mark.anyio


async def test_a_backfill_makes_up_for_ticks_without_a_job(database: Database) -> None:
    note = Note()
    async with schedule_system(database, note) as system:
        schedule = await system.create(missed="skip", grace=1, overlap="queue")
        await system.pass_time(MINUTE)
        await system.pass_time(3 * MINUTE + timedelta(seconds=2))
        wanted = BackfillIn(start=NOON - 3 * MINUTE, end=NOON + 4 * MINUTE)
        result = await system.backfills.submit(schedule.id, wanted)
        # An interval begins with its anchor.
        assert [record.scheduled_for for record in result.created] == moments(0, 2, 3)
        assert [record.scheduled_for for record in result.skipped] == moments(1)
        assert (result.failed, result.continue_from) == ([], None)
        again = await system.backfills.submit(schedule.id, wanted)
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
        await system.backfills.submit(schedule.id, BackfillIn(start=NOON, end=NOON + MINUTE))
        wanted = BackfillIn(start=NOON, end=NOON + 4 * MINUTE)
        answers = await asyncio.gather(*(system.backfills.submit(schedule.id, wanted, "once") for _ in range(5)))
        answers.append(await system.backfills.submit(schedule.id, wanted, "once"))
        for answer in answers:
            assert [record.scheduled_for for record in answer.created] == moments(1, 2, 3)
            assert [record.scheduled_for for record in answer.skipped] == moments(0)
            assert answer == answers[0]
        elsewhere = wanted.model_copy(update={"start": NOON.astimezone(ZoneInfo("Africa/Kigali"))})
        assert await system.backfills.submit(schedule.id, elsewhere, "once") == answers[0]
        assert (await system.backfills.submit(schedule.id, wanted, "another")).created == []
        assert await system.count_jobs() == 4


async def test_another_backfill_under_the_same_key_is_refused(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap="allow", enabled=False)
        system.clock.move(600)
        await system.backfills.submit(schedule.id, BackfillIn(start=NOON, end=NOON + MINUTE), "schlüssel")
        for change in ({"end": NOON + 2 * MINUTE}, {"limit": 5}, {"start": NOON - MINUTE}):
            wanted = BackfillIn.model_validate({"start": NOON, "end": NOON + MINUTE, **change})
            with pytest.raises(ChapkitError) as raised:
                await system.backfills.submit(schedule.id, wanted, "schlüssel")
            assert raised.value.code == "idempotency-key-reused"
        assert await system.count_jobs() == 1
        other = await system.create(overlap="allow", enabled=False, name="other")
        system.clock.move(60)
        wanted = BackfillIn(start=NOON + 10 * MINUTE, end=NOON + 11 * MINUTE)
        assert len((await system.backfills.submit(other.id, wanted, "schlüssel")).created) == 1


async def test_a_backfill_goes_on_behind_its_limit(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap="allow", enabled=False)
        system.clock.move(3600 * 2)
        first = await system.backfills.submit(schedule.id, BackfillIn(start=NOON, end=NOON + 90 * MINUTE, limit=60))
        assert (len(first.created), first.continue_from) == (60, NOON + 60 * MINUTE)
        assert first.continue_from is not None
        second = await system.backfills.submit(
            schedule.id, BackfillIn(start=first.continue_from, end=NOON + 90 * MINUTE)
        )
        assert (len(second.created), second.continue_from) == (30, None)
        assert await system.count_jobs() == 90


async def test_a_backfill_keeps_to_the_past(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        for start, end in ((NOON, NOON + MINUTE), (NOON, NOON), (NOON, NOON - MINUTE)):
            with pytest.raises(ChapkitError) as raised:
                await system.backfills.submit(schedule.id, BackfillIn(start=start, end=end))
            assert raised.value.code == "backfill-range-invalid"


async def test_a_backfill_tells_of_what_cannot_be_submitted(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        await system.write(schedule.id, job={"queue": "nowhere"})
        system.clock.move(120)
        result = await system.backfills.submit(schedule.id, BackfillIn(start=NOON, end=NOON + MINUTE))
        (failed,) = result.failed
        assert (failed.outcome, failed.job_id) == (TickOutcome.FAILED, None)
        await system.change(schedule.id, job=None)
        result = await system.backfills.submit(schedule.id, BackfillIn(start=NOON, end=NOON + MINUTE))
        assert len(result.created) == 1


async def test_a_backfill_finds_the_job_of_a_tick_that_is_no_longer_kept(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        system.clock.move(120)
        wanted = BackfillIn(start=NOON, end=NOON + MINUTE)
        (created,) = (await system.backfills.submit(schedule.id, wanted)).created
        async with system.services.scope.write() as scope:
            manager = scope.get(ScheduleManager)
            await manager.session.execute(_TICKS.delete())
        again = await system.backfills.submit(schedule.id, wanted)
        assert (again.created, again.skipped) == ([], [created])
        assert await system.count_jobs() == 1


async def test_the_same_key_is_about_the_same_ticks_whatever_the_schedule_has_become(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(enabled=False, start_at=NOON)
        system.clock.move(3600)
        wanted = BackfillIn(start=NOON, end=NOON + 10 * MINUTE)
        first = await system.backfills.submit(schedule.id, wanted, "once")
        assert len(first.created) == 10
        seconds = {"type": "interval", "every": "10s", "anchor": NOON}
        for changes in ({"start_at": NOON + 5 * MINUTE}, {"trigger": seconds}):
            await system.change(schedule.id, **changes)
            assert await system.backfills.submit(schedule.id, wanted, "once") == first
        assert await system.count_jobs() == 10
        assert len((await system.backfills.submit(schedule.id, wanted, "another")).created) == 25


async def test_what_failed_under_a_key_is_tried_again(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create()
        await system.write(schedule.id, job={"queue": "nowhere"})
        system.clock.move(120)
        wanted = BackfillIn(start=NOON, end=NOON + MINUTE)
        assert len((await system.backfills.submit(schedule.id, wanted, "k")).failed) == 1
        await system.change(schedule.id, job=None)
        assert len((await system.backfills.submit(schedule.id, wanted, "k")).created) == 1


async def test_who_asked_for_a_job_is_known_also_when_its_tick_is_no_longer_kept(database: Database) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(enabled=False)
        system.clock.move(600)
        wanted = BackfillIn(start=NOON, end=NOON + 3 * MINUTE)
        first = await system.backfills.submit(schedule.id, wanted, "first")
        for _ in range(2):
            async with system.services.scope.write() as scope:
                await scope.session.execute(_TICKS.delete())
            assert await system.backfills.submit(schedule.id, wanted, "first") == first
            other = await system.backfills.submit(schedule.id, wanted, "other")
            assert (other.created, other.skipped) == ([], first.created)


@pytest.mark.parametrize("overlap", ["skip", "replace"])
async def test_a_backfill_and_the_ticks_do_not_get_in_each_others_way(database: Database, overlap: str) -> None:
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(overlap=overlap)
        system.clock.move(30)
        made = await system.backfills.submit(schedule.id, BackfillIn(start=NOON, end=NOON + MINUTE / 2))
        assert len(made.created) == 1
        await system.pass_time(MINUTE / 2)
        assert [run.outcome for run in await system.runs(schedule.id)] == ["submitted", "submitted"]
        assert await system.count_jobs(JobStatus.PENDING) == 2


async def test_ticks_of_backfills_and_of_demands_count_among_those_that_are_kept(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repository, "KEPT_TICKS", 5)
    monkeypatch.setattr(repository, "_PRUNE_EVERY", 10)
    async with schedule_system(database, Note(), runs_jobs=False) as system:
        schedule = await system.create(enabled=False)
        system.clock.move(3600)
        for minute in range(30):
            past = BackfillIn(start=NOON + minute * MINUTE, end=NOON + (minute + 1) * MINUTE)
            await system.backfills.submit(schedule.id, past)
            system.clock.move(1)
        assert len(await system.runs(schedule.id)) == 5
        for _ in range(10):
            await system.on_demand.run_now(schedule.id)
            system.clock.move(1)
        assert [run.source for run in await system.runs(schedule.id)] == ["manual"] * 5


@pytest.mark.parametrize("wrong", [{"start": 1767225600}, {"end": "1767225600"}, {"limit": True}, {"start": 1.5}])
def test_a_range_has_moments_with_their_offset_and_a_number(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        BackfillIn.model_validate({"start": NOON - timedelta(days=1), "end": NOON, **wrong})
