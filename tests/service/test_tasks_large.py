"""Parameters that are too large for the row of a job."""

from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select

from chapkit.core.services import Services
from chapkit.job.rows import JOBS
from chapkit.task import Cache, Registry
from tests.service.task_calls import calling, service

pytestmark = pytest.mark.anyio
registry = Registry()
LARGE = "é" * 100_000


@registry.register("length")
def length(text: str, fails: bool = False) -> int:
    if fails:
        raise ValueError("asked for")
    return len(text)


@registry.register("kept", cache=Cache(ttl="1h"))
def kept(text: str) -> int:
    return len(text)


async def stored(app: FastAPI, job_id: str) -> tuple[str, str | None]:
    services: Services = app.state.services
    async with services.scope.read() as scope:
        statement = select(JOBS.c.payload, JOBS.c.payload_blob).where(JOBS.c.id == job_id)
        payload, blob = (await scope.session.execute(statement)).one()
    return payload, blob


@pytest.mark.parametrize("name", ["length", "kept"])
async def test_large_parameters_are_a_content_of_their_own(database_url: str, name: str) -> None:
    app = service(registry, database_url)
    async with calling(app) as calls:
        task = await calls.create(name, parameters={"text": "x"})
        for _ in range(2):
            job = await calls.run(task["id"], {"parameters": {"text": LARGE}})
            payload, blob = await stored(app, job["id"])
            assert (len(payload) < 100, blob is not None) == (True, True)
            assert (await calls.artifact(job))["content"]["result"] == len(LARGE)
        payload, blob = await stored(app, (await calls.run(task["id"], {"parameters": {"text": "small"}}))["id"])
        assert ("small" in payload, blob) == (True, None)


async def test_a_failure_with_large_parameters_tells_them_and_runs_again_with_others(database_url: str) -> None:
    app = service(registry, database_url)
    async with calling(app) as calls:
        task = await calls.create("length", parameters={"text": "x"})
        job = await calls.run(task["id"], {"parameters": {"text": LARGE, "fails": True}})
        assert job["status"] == "failed"
        content: dict[str, Any] = (await calls.artifact(job))["content"]
        assert content["task"]["parameters"]["text"] == LARGE
        path = f"/api/v1/jobs/{job['id']}/$retry"
        for text in (LARGE + "!", "small"):
            answer = await calls.client.post(
                path, json={"payload": {"parameters": {"text": text, "fails": text != "small"}}}
            )
            assert answer.status_code == 202, answer.text
            job = await calls.finished(job["id"])
            assert ((await stored(app, job["id"]))[1] is None) is (text == "small")
        assert (await calls.artifact(job))["content"]["result"] == 5
