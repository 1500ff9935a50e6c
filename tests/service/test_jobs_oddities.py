import asyncio
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from pydantic_core import from_json

from chapkit.core.ids import ULID
from chapkit.job.context import JobContext
from chapkit.job.feature import JobFeature
from chapkit.job.ports import JobOutcome
from chapkit.ops.health import HealthFeature
from chapkit.ops.system import SystemFeature
from tests.serving import application, serving
from tests.unit.job.parts import Double, Failing, HandlersFeature, Held, JobSystem, Scripted, happens

pytestmark = pytest.mark.anyio
HUGE = "9" * 20


def _data(answer: httpx.Response) -> list[dict[str, Any]]:
    lines = [line.removeprefix("data: ") for line in answer.text.split("\n") if line.startswith("data: ")]
    return [from_json(line) for line in lines]


async def test_numbers_that_no_database_takes_are_refused(database_url: str) -> None:
    app = application(JobFeature(), url=database_url)
    async with serving(app) as client:
        for path in (
            f"?page={HUGE}&size=1000",
            "?page=99999999999999999&size=1000",
            f"?limit={HUGE}",
            f"/{ULID()}/$events?after={HUGE}",
            f"/{ULID()}/$events?after=3000000000",
        ):
            answer = await client.get(f"/api/v1/jobs{path}")
            assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid"), path
        assert (await client.get("/api/v1/jobs?page=1000000000&size=1000")).json()["items"] == []


@pytest.mark.parametrize("last_seen", ["500", HUGE, "9" * 5000])
async def test_a_stream_behind_an_event_that_never_was_ends_with_the_job(database_url: str, last_seen: str) -> None:
    held = Held()
    app = application(JobFeature(shutdown_timeout=0.0), HandlersFeature((held,)), url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        job = await system.submit("test.held")
        await happens(held.begun)
        path, headers = f"/api/v1/jobs/{job.id}/$stream", {"Last-Event-ID": last_seen}
        streaming = asyncio.create_task(client.get(path, headers=headers))
        while not system.runtime.hub.watched:
            await asyncio.sleep(0)
        held.go.set()
        assert [record["status"] for record in _data(await asyncio.wait_for(streaming, 10))] in ([], ["completed"])
        await system.completed(job.id)
        assert (await client.get(path, headers=headers)).status_code == 204


async def test_a_wait_behind_an_event_that_never_was_ends_with_the_job(database_url: str) -> None:
    held = Held()
    app = application(JobFeature(shutdown_timeout=0.0), HandlersFeature((held,)), url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        job = await system.submit("test.held")
        await happens(held.begun)
        query = {"after": 500, "wait": 60}
        waiting = asyncio.create_task(client.get(f"/api/v1/jobs/{job.id}/$events", params=query))
        while not system.runtime.hub.watched:
            await asyncio.sleep(0)
        held.go.set()
        answer = await asyncio.wait_for(waiting, 10)
        assert answer.json() == []


async def test_nobody_waits_for_events_of_a_job_that_has_ended(database_url: str) -> None:
    app = application(JobFeature(), HandlersFeature((Double(),)), url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        job = await system.submit("test.double", {"value": 1})
        await system.completed(job.id)
        for after, numbers in ((3, []), (500, []), (2, [3])):
            query = {"after": after, "wait": 60}
            answer = await asyncio.wait_for(client.get(f"/api/v1/jobs/{job.id}/$events", params=query), 10)
            assert [event["number"] for event in answer.json()] == numbers


async def test_a_message_of_progress_is_streamed_with_it(database_url: str) -> None:
    async def body(context: JobContext) -> JobOutcome:
        context.progress(0.4, "fold 5 of 12")
        return JobOutcome()

    app = application(JobFeature(), HandlersFeature((Scripted(body),)), url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        job = await system.submit("test.scripted")
        await system.completed(job.id)
        answer = await client.get(f"/api/v1/jobs/{job.id}/$stream", headers={"Last-Event-ID": "0"})
        told = [(record["progress"], record.get("message", "none")) for record in _data(answer)]
        assert told == [(None, "none"), (None, "none"), (0.4, "fold 5 of 12"), (1.0, "none")]


async def test_a_handler_that_returns_no_outcome_fails_its_job_by_name(database_url: str) -> None:
    async def body(context: JobContext) -> Any:
        return {"rows": 3}

    app = application(JobFeature(), HandlersFeature((Scripted(body),)), url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        job = await system.submit("test.scripted")
        await system.finished(job.id)
        record = (await client.get(f"/api/v1/jobs/{job.id}")).json()
        assert (record["status"], record["error_code"]) == ("failed", "job-outcome-invalid")
        assert "'test.scripted'" in record["error"]
        assert "JobOutcome" in record["error"]
        assert "dict" in record["error"]


async def test_a_job_that_has_to_start_behind_the_end_of_the_calendar_waits(database_url: str) -> None:
    features = (JobFeature(), HealthFeature(), SystemFeature(), HandlersFeature((Double(),)))
    app = application(*features, url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        last = datetime.max.replace(tzinfo=UTC)
        waiting = await system.submit("test.double", {"value": 1}, run_after=last, queue_timeout=5.0)
        await system.submit("test.double", {"value": 1}, run_after=datetime.max, total_timeout=60.0)
        other = await system.submit("test.double", {"value": 1})
        await system.completed(other.id)
        assert (await client.get(f"/api/v1/jobs/{waiting.id}")).json()["status"] == "pending"
        assert (await client.get("/api/v1/system")).json()["jobs"]["queues"]["default"]["later"] == 2
        assert (await client.get("/health")).json()["checks"]["jobs"]["state"] == "healthy"


async def test_a_payload_that_no_handler_could_read_is_refused(database_url: str) -> None:
    failing = Failing([ValueError("no")])
    app = application(JobFeature(), HandlersFeature((failing,)), url=database_url)
    async with serving(app) as client:
        system = JobSystem(app.state.services)
        job = await system.submit("test.failing")
        await system.finished(job.id)
        path, headers = f"/api/v1/jobs/{job.id}/$retry", {"Content-Type": "application/json"}
        for depth in (201, 300):
            nested = '{"a":' * depth + "1" + "}" * depth
            answer = await client.post(path, content=f'{{"payload":{nested}}}', headers=headers)
            assert answer.status_code == 422, answer.text
        nested = '{"a":' * 199 + "1" + "}" * 199
        assert (await client.post(path, content=f'{{"payload":{nested}}}', headers=headers)).status_code == 202
        await system.completed(job.id)


async def test_another_payload_for_a_job_whose_handler_is_gone_is_refused_with_a_way_out(database_url: str) -> None:
    app = application(JobFeature(), HandlersFeature((Failing([ValueError("no")]),)), url=database_url)
    async with serving(app):
        system = JobSystem(app.state.services)
        job = await system.submit("test.failing")
        await system.finished(job.id)
    async with serving(application(JobFeature(), url=database_url)) as client:
        path = f"/api/v1/jobs/{job.id}/$retry"
        answer = await client.post(path, json={"payload": {"a": 1}})
        assert (answer.status_code, answer.json()["code"]) == (409, "job-handler-unknown"), answer.text
        # Another process may have it.
        assert (await client.post(path)).json()["status"] == "pending"
