import asyncio
from dataclasses import dataclass

import httpx
import pytest

from chapkit.job.feature import JobFeature
from tests.serving import application, serving
from tests.unit.job.parts import Double, HandlersFeature, Held, JobSystem, happens

pytestmark = pytest.mark.anyio


@dataclass
class Message:
    id: str | None
    status: str


def _messages(answer: httpx.Response) -> list[Message]:
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    found = []
    for block in answer.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        assert set(fields) <= {"id", "data"}
        found.append(Message(fields.get("id"), httpx.Response(200, text=fields["data"]).json()["status"]))
    return found


async def test_a_stream_tells_every_change_and_ends(database_url: str) -> None:
    held = Held()
    app = application(JobFeature(max_concurrency=1, shutdown_timeout=0.0), HandlersFeature((held,)), url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        await system.submit("test.held")
        job = await system.submit("test.held")
        await happens(held.begun)
        streaming = asyncio.create_task(client.get(f"/api/v1/jobs/{job.id}/$stream"))
        while not system.runtime.hub.watched:
            await asyncio.sleep(0)
        held.go.set()
        messages = _messages(await asyncio.wait_for(streaming, 10))
        # The first message is the state at the time of the request.
        assert messages[-1] == Message("3", "completed")
        assert [message.id for message in messages] == [str(n) for n in range(4 - len(messages), 4)]


async def test_a_stream_goes_on_where_it_was_broken_off(database_url: str) -> None:
    app = application(JobFeature(), HandlersFeature((Double(),)), url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        job = await system.submit("test.double", {"value": 1})
        await system.completed(job.id)
        path = f"/api/v1/jobs/{job.id}/$stream"
        assert _messages(await client.get(path)) == [Message("3", "completed")]
        rest = [Message("2", "running"), Message("3", "completed")]
        assert _messages(await client.get(path, headers={"Last-Event-ID": "1"})) == rest
        assert (await client.get(path, headers={"Last-Event-ID": "3"})).status_code == 204
        assert _messages(await client.get(path, headers={"Last-Event-ID": "?"})) == [Message("3", "completed")]


async def test_the_interval_of_older_clients_is_checked(database_url: str) -> None:
    app = application(JobFeature(), HandlersFeature((Double(),)), url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        job = await system.submit("test.double", {"value": 1})
        await system.completed(job.id)
        for interval, status in ((0.5, 200), (60, 200), (0, 422), (-1, 422), (61, 422), ("x", 422)):
            answer = await client.get(f"/api/v1/jobs/{job.id}/$stream", params={"poll_interval": interval})
            assert answer.status_code == status


async def test_a_stream_of_a_deleted_job_says_so(database_url: str) -> None:
    held = Held()
    app = application(JobFeature(max_concurrency=0), HandlersFeature((held,)), url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        job = await system.submit("test.held")
        streaming = asyncio.create_task(client.get(f"/api/v1/jobs/{job.id}/$stream"))
        while not system.runtime.hub.watched:
            await asyncio.sleep(0)
        assert (await client.delete(f"/api/v1/jobs/{job.id}")).status_code == 204
        messages = _messages(await asyncio.wait_for(streaming, 10))
        assert messages[-1] == Message(None, "deleted")


async def test_events_are_listed_behind_a_number(database_url: str) -> None:
    app = application(JobFeature(), HandlersFeature((Double(),)), url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        job = await system.submit("test.double", {"value": 1})
        await system.completed(job.id)
        events = (await client.get(f"/api/v1/jobs/{job.id}/$events")).json()
        assert [event["number"] for event in events] == [1, 2, 3]
        assert events[2]["data"]["status"] == "completed"
        assert (await client.get(f"/api/v1/jobs/{job.id}/$events", params={"after": 2})).json() == events[2:]
        assert (await client.get(f"/api/v1/jobs/{job.id}/$events", params={"after": 3})).json() == []
