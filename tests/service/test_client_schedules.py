"""The schedules of a service through both clients."""

from datetime import timedelta
from typing import Any

import pytest

from chapkit.client import AsyncClient, Client, Conflict, Invalid
from chapkit.job import JobOptions
from chapkit.scheduler import Cron, Interval, Missed, Once, Overlap
from tests.service.test_schedules import Service
from tests.unit.scheduler.schedule_parts import MINUTE, NOON

NOTE = {"handler": "note"}


def service(**settings: Any) -> Service:
    return Service("sqlite+aiosqlite:///:memory:", **settings)


def test_a_client_creates_changes_and_asks() -> None:
    subject = service()
    with Client(app=subject.app) as client:
        schedules = client.schedules
        made = schedules.create(
            "notes",
            Interval("1m", NOON),
            target="handler",
            arguments=NOTE,
            tags=["weather"],
            overlap=Overlap.QUEUE,
            missed=Missed.all(5),
            job=JobOptions(timeout=9),
            end_at=NOON + timedelta(days=1),
        )
        assert (made.overlap, made.missed, made.job and made.job.timeout) == ("queue", {"all": 5}, 9)
        assert made.trigger.build() == Interval("1m", NOON)
        replaced = schedules.replace(
            made.id, "other", Cron("0 6 * * *", "Africa/Kigali"), target="handler", arguments=NOTE, grace=5
        )
        assert (replaced.name, replaced.grace, replaced.overlap) == ("other", 5.0, "queue")
        assert [tick.local for tick in schedules.next(made.id, 1).next] == ["2030-01-02T06:00:00+02:00"]
        assert schedules.patch(made.id, {"jitter": 3}).jitter == 3.0
        assert (schedules.pause(made.id).state, schedules.resume(made.id).state) == ("paused", "active")
        assert schedules.pause(made.id, "harvest").paused_reason == "harvest"
        assert schedules.resume(made.id).paused_reason is None
        assert schedules.preview(Once(NOON + MINUTE)).explanation == "Once, on 1 January 2030 at 12:01 UTC"
        job_id = schedules.run_now(made.id, key="k")
        assert schedules.run_now(made.id, key="k") == job_id
        client.jobs.wait(job_id, timeout=10)
        (run,) = schedules.runs(made.id)
        assert (run.job_id, run.job_status) == (job_id, "completed")
        assert schedules.runs_page(made.id).total == 1
        subject.clock.moment += timedelta(days=3)
        first, again = (schedules.backfill(made.id, NOON, NOON + timedelta(days=2), key="more") for _ in range(2))
        assert (len(first.created), again) == (1, first)
        schedules.delete(made.id)
        assert list(schedules.iterate()) == []


def test_what_a_service_refuses_is_an_error_of_its_own() -> None:
    with Client(app=service().app) as client:
        with pytest.raises(Invalid) as invalid:
            client.schedules.create("late", Once(NOON), target="handler", arguments=NOTE)
        assert invalid.value.code == "schedule-in-the-past"
        id = "0" * 26
        client.schedules.create("x", {"type": "interval", "every": 60}, target="handler", arguments=NOTE, id=id)
        with pytest.raises(Conflict):
            client.schedules.create("x", Interval(60), target="handler", arguments=NOTE, id=id)


@pytest.mark.anyio
async def test_the_same_awaited() -> None:
    async with AsyncClient(app=service().app) as client:
        schedules = client.schedules
        made = await schedules.create("notes", Interval("1m", NOON), target="handler", arguments=NOTE)
        await schedules.replace(made.id, "other", Interval("2m", NOON), target="handler", arguments=NOTE)
        assert len((await schedules.next(made.id)).next) == 5
        await schedules.pause(made.id)
        assert (await schedules.resume(made.id)).name == "other"
        await client.jobs.wait(await schedules.run_now(made.id), timeout=10)
        assert len(await schedules.runs(made.id)) == 1
        assert (await schedules.runs_page(made.id)).total == 1
        assert (await schedules.backfill(made.id, NOON - MINUTE, NOON, limit=5)).created == []
        assert len((await schedules.preview(Interval(60), start_at=NOON, count=2)).next) == 2
