import asyncio

import pytest

from chapkit.core.ids import ULID
from chapkit.job.hub import JobHub

pytestmark = pytest.mark.anyio


async def test_a_change_wakes_those_who_watch_the_job() -> None:
    hub, job = JobHub(), ULID()
    with hub.watching(job) as watcher:
        waiting = asyncio.create_task(watcher.wait(10))
        hub.changed(job)
        assert await waiting is True


async def test_a_change_before_the_wait_is_not_missed() -> None:
    hub, job = JobHub(), ULID()
    with hub.watching(job) as watcher:
        hub.changed(job)
        assert await watcher.wait(10) is True
        assert await watcher.wait(0) is False


async def test_a_change_of_another_job_wakes_nobody() -> None:
    hub = JobHub()
    with hub.watching(ULID()) as watcher:
        hub.changed(ULID())
        assert await watcher.wait(0) is False


async def test_nothing_is_kept_of_those_who_have_gone() -> None:
    hub, job = JobHub(), ULID()
    with hub.watching(job), hub.watching(job):
        assert hub.watched == 1
    assert hub.watched == 0
