import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from pydantic_core import from_json

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.job.context import JobContext
from chapkit.job.errors import JobNotFoundError
from chapkit.job.ports import JobOutcome
from chapkit.job.repository import JobRepository
from chapkit.job.stream import DELETED, JobStream
from chapkit.web.sse import HEARTBEAT
from tests.unit.job.parts import Double, Failing, Held, JobSystem, Scripted, happens, job_system

pytestmark = pytest.mark.anyio


def _stream(system: JobSystem, **settings: float) -> JobStream:
    return JobStream(system.services.scope, system.runtime.hub, **settings)


def _parse(message: bytes) -> tuple[int, str, object]:
    fields = dict(line.split(": ", 1) for line in message.decode().strip().split("\n"))
    data = from_json(fields["data"])
    return int(fields["id"]), fields.get("event", "message"), data.get("status", data.get("message"))


async def _next(messages: AsyncIterator[bytes]) -> bytes:
    return await asyncio.wait_for(anext(messages), 10)


async def test_the_record_comes_at_once_and_at_every_change(database: Database) -> None:
    held = Held()
    async with job_system(database, held, max_concurrency=1) as system:
        blocker, job = await system.submit("test.held"), await system.submit("test.held")
        await happens(held.begun)
        messages = _stream(system).messages(job.id)
        assert _parse(await _next(messages)) == (1, "message", "pending")
        held.go.set()
        assert [_parse(message) async for message in messages] == [
            (2, "message", "running"),
            (3, "message", "completed"),
        ]
        await system.completed(blocker.id)
        assert system.runtime.hub.watched == 0


async def test_a_stream_goes_on_without_a_gap_or_a_repeat(database: Database) -> None:
    async def body(context: JobContext) -> JobOutcome:
        context.log("begun")
        context.report_progress(0.5)
        return JobOutcome()

    async with job_system(database, Scripted(body)) as system:
        job = await system.submit("test.scripted")
        await system.completed(job.id)
        whole = [_parse(message) async for message in _stream(system).messages(job.id, 0)]
        assert whole == [
            (1, "message", "pending"),
            (2, "message", "running"),
            (3, "log", "begun"),
            (4, "message", "running"),
            (5, "message", "completed"),
        ]
        for seen in range(5):
            assert [_parse(message) async for message in _stream(system).messages(job.id, seen)] == whole[seen:]
        assert [_parse(message) async for message in _stream(system).messages(job.id)] == whole[-1:]


async def test_a_client_that_has_seen_the_end_needs_no_stream(database: Database) -> None:
    async with job_system(database, Double()) as system:
        job = await system.submit("test.double", {"value": 1})
        await system.completed(job.id)
        assert await _stream(system).start(job.id, 3) is None
        assert await _stream(system).start(job.id, 2) is not None
        with pytest.raises(JobNotFoundError):
            await _stream(system).start(ULID(), None)


async def test_a_job_that_vanishes_ends_the_stream(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        messages = _stream(system).messages(job.id)
        await _next(messages)
        await system.jobs.delete(job.id)
        assert [message async for message in messages] == [DELETED]
        assert DELETED == b'data: {"status": "deleted"}\n\n'
        assert [message async for message in _stream(system).messages(job.id)] == [DELETED]


async def test_a_stream_ends_with_the_service_and_its_client_comes_back(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        messages = _stream(system).messages(job.id)
        await _next(messages)
        rest = asyncio.create_task(anext(messages, None))
        await asyncio.sleep(0)
        system.jobs.close()
        assert await rest is None


async def test_a_silent_stream_beats(database: Database) -> None:
    async with job_system(database, Double(), start=False) as system:
        job = await system.submit("test.double")
        messages = _stream(system, look_every=0.0, heartbeat_every=0.0).messages(job.id)
        await _next(messages)
        assert await _next(messages) == HEARTBEAT
        await messages.aclose()


async def test_a_job_that_ends_while_a_stream_begins_is_told_with_its_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held()
    async with job_system(database, held) as system:
        job = await system.submit("test.held")
        await happens(held.begun)

        def ending(read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
            async def answer(self: JobRepository, job_id: ULID) -> Any:
                found = await read(self, job_id)
                monkeypatch.undo()
                held.go.set()
                await system.completed(job_id)
                return found

            return answer

        for name in ("find", "find_with_last"):
            monkeypatch.setattr(JobRepository, name, ending(getattr(JobRepository, name)))
        told = [_parse(message) async for message in _stream(system).messages(job.id)]
        assert told == [(2, "message", "running"), (3, "message", "completed")]


async def test_an_end_is_not_the_end_of_the_stream_where_the_job_was_let_run_again(database: Database) -> None:
    async with job_system(database, Failing([ValueError("no")])) as system:
        job = await system.submit("test.failing")
        await system.finished(job.id)
        await system.jobs.retry(job.id)
        await system.completed(job.id)
        told = [_parse(message)[2] async for message in _stream(system).messages(job.id, 1)]
        assert told == ["running", "failed", "pending", "running", "completed"]
