"""A worker without work hears of what it may take now, also when another process has given it free."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.job import recovery
from chapkit.job.context import JobContext
from chapkit.job.notices import News, NoNotices
from chapkit.job.policies import Retry
from chapkit.job.ports import JobHandler, JobOutcome
from chapkit.job.recovery import JobRecovery
from chapkit.job.schemas import JobStatus
from tests.unit.job.parts import (
    Double,
    Held,
    JobSystem,
    Scripted,
    another_job_system,
    claim_jobs,
    eventually,
    happens,
    job_system,
)

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _idle(url: str, *handlers: JobHandler, **settings: Any) -> AsyncGenerator[JobSystem]:
    """Run a worker that has done what there was to be done, and waits for news."""
    async with another_job_system(url, Double(), *handlers, **settings) as system:
        await system.completed((await system.submit("test.double", {"value": 1})).id)
        await eventually(lambda: system.engine.running == 0)
        yield system


async def test_a_job_that_a_stopping_process_gives_back_is_taken_at_once(database: Database, table_url: str) -> None:
    there, here = Held(), Held()
    here.go.set()
    async with AsyncExitStack() as service:
        busy = await service.enter_async_context(another_job_system(table_url, there))
        job = await busy.submit("test.held")
        await happens(there.begun)
        async with _idle(table_url, here) as idle:
            await service.aclose()
            assert (await idle.completed(job.id)).attempt == 2


async def test_a_job_that_another_process_recovers_is_taken_at_once(
    database: Database, table_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recovery, "INTERVAL", 1000.0)
    held = Held()
    held.go.set()
    async with another_job_system(table_url, Held(), start=False) as other, _idle(table_url, held) as idle:
        idle.engine.configure(0)
        job = await other.submit("test.held")
        await claim_jobs(other, ULID())
        idle.engine.configure(4)
        await idle.completed((await idle.submit("test.double", {"value": 1})).id)
        await eventually(lambda: idle.engine.running == 0)
        assert await JobRecovery(other.runtime).recover() == [job.id]
        await idle.completed(job.id)


@pytest.mark.parametrize("options", [{"concurrency_key": "k", "concurrency_limit": 1}, {"queue": "narrow"}])
async def test_the_end_of_a_job_lets_the_next_one_of_its_kind_start_elsewhere(
    options: dict[str, Any], database: Database, table_url: str
) -> None:
    there, here = Held(), Held()
    here.go.set()
    settings: dict[str, Any] = {"queues": {"narrow": 1}}
    async with another_job_system(table_url, there, **settings) as busy:
        first = await busy.submit("test.held", **options)
        await happens(there.begun)
        # It takes nothing more itself.
        busy.engine.stop()
        async with _idle(table_url, here, **settings) as idle:
            second = await busy.submit("test.held", **options)
            await idle.completed((await busy.submit("test.held")).id)
            assert (await idle.jobs.get(second.id)).status is JobStatus.PENDING
            there.go.set()
            await idle.completed(first.id)
            await idle.completed(second.id)
            assert here.starts == 2


async def test_the_next_attempt_is_made_by_whoever_has_time(database: Database, table_url: str) -> None:
    begun, go = asyncio.Event(), asyncio.Event()

    async def fail(context: JobContext) -> JobOutcome:
        begun.set()
        await go.wait()
        raise ValueError("once")

    async def succeed(context: JobContext) -> JobOutcome:
        return JobOutcome()

    async with another_job_system(table_url, Scripted(fail)) as busy:
        job = await busy.submit("test.scripted", retry=Retry(attempts=2, initial=0.0, jitter=False))
        await happens(begun)
        busy.engine.stop()
        async with _idle(table_url, Scripted(succeed)) as idle:
            go.set()
            assert (await idle.completed(job.id)).attempt == 2


async def test_the_end_of_an_ordinary_job_is_no_message_of_its_own(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[News] = []
    monkeypatch.setattr(NoNotices, "publish", lambda _, news: told.append(news))
    async with job_system(database, Double(), queues={"narrow": 1, "wide": None}) as system:
        system.runtime.dispatcher.notices = NoNotices()
        for options, messages in (({}, 1), ({"queue": "wide"}, 1), ({"queue": "narrow"}, 2)):
            del told[:]
            await system.completed((await system.submit("test.double", {"value": 1}, **options)).id)
            await eventually(lambda: system.engine.running == 0)
            assert [news.waiting for news in told] == [True] * messages
