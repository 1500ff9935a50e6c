"""Jobs tell on whose behalf, and in which trace, they were asked for."""

from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import select
from starlette.authentication import AuthCredentials, AuthenticationBackend, BaseUser, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection

from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.rows import JOBS
from chapkit.task import Registry, TaskManager
from tests.service.task_calls import TaskCalls, service
from tests.serving import serving

pytestmark = pytest.mark.anyio
TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
registry = Registry()


@registry.register("inner")
def inner() -> None:
    pass


@registry.register("outer")
async def outer(tasks: TaskManager, task_id: ULID) -> str:
    return str(await tasks.execute_task(task_id))


class ByHeader(AuthenticationBackend):
    async def authenticate(self, conn: HTTPConnection) -> tuple[AuthCredentials, BaseUser]:
        return AuthCredentials(), SimpleUser(conn.headers["x-user"])


async def labels_of(app: FastAPI, job_id: str) -> dict[str, Any]:
    services: Services = app.state.services
    async with services.scope.read() as scope:
        labels: dict[str, Any] | None = await scope.session.scalar(select(JOBS.c.labels).where(JOBS.c.id == job_id))
    assert labels is not None
    return labels


async def test_a_job_and_what_it_submits_name_the_requester_and_the_trace(database_url: str) -> None:
    app = service(registry, database_url)
    app.add_middleware(AuthenticationMiddleware, backend=ByHeader())
    async with serving(app) as client:
        client.headers["x-user"] = "amina"
        calls = TaskCalls(client)
        task = await calls.create("outer", parameters={"task_id": (await calls.create("inner"))["id"]})
        answer = await calls.execute(task["id"], traceparent=TRACE)
        job = await calls.finished(answer.json()["job_id"])
        inside = await calls.finished((await calls.artifact(job))["content"]["result"])
        for found in (job, inside):
            labels = await labels_of(app, found["id"])
            assert (labels["requester"], labels["traceparent"]) == ("amina", TRACE)
        plain = await labels_of(app, (await calls.run(task["id"]))["id"])
        assert plain["requester"] == "amina"
        assert "traceparent" not in plain
