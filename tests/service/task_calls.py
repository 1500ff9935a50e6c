"""Requests of tasks, as a client without a library sends them."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import httpx
from fastapi import FastAPI

from chapkit.api import ServiceBuilder, ServiceInfo
from chapkit.artifact import ArtifactHierarchy
from chapkit.task import Registry
from tests.serving import MEMORY, serving

TASKS = "/api/v1/tasks"
HIERARCHY = ArtifactHierarchy(name="results", level_labels={0: "result"})


def builder(registry: Registry | None = None, url: str = MEMORY, **options: Any) -> ServiceBuilder:
    jobs = options.pop("jobs", {})
    return (
        ServiceBuilder(info=ServiceInfo(display_name="Tasks"), database_url=url)
        .with_system()
        .with_artifacts(hierarchy=HIERARCHY)
        .with_jobs(**jobs)
        .with_tasks(registry=registry or Registry(), **options)
    )


def service(registry: Registry | None = None, url: str = MEMORY, **options: Any) -> FastAPI:
    """Return a service with these functions as tasks."""
    return builder(registry, url, **options).build()


class TaskCalls:
    """Sends the requests of one client."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def create(self, command: str, task_type: str = "python", **members: Any) -> dict[str, Any]:
        answer = await self.client.post(TASKS, json={"command": command, "task_type": task_type, **members})
        assert answer.status_code == 201, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def get(self, id: str) -> dict[str, Any]:
        body: dict[str, Any] = (await self.client.get(f"{TASKS}/{id}")).json()
        return body

    async def patch(self, id: str, **changes: Any) -> dict[str, Any]:
        answer = await self.client.patch(f"{TASKS}/{id}", json=changes)
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def execute(self, id: str, body: Any = None, **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(f"{TASKS}/{id}/$execute", json=body, headers=names)

    async def finished(self, job_id: str) -> dict[str, Any]:
        """Return the job when it has ended."""
        job = await self.client.get(f"/api/v1/jobs/{job_id}", params={"wait": 30})
        body: dict[str, Any] = job.json()
        assert body["status"] in {"completed", "failed", "canceled"}, body
        return body

    async def run(self, id: str, body: Any = None) -> dict[str, Any]:
        """Execute the task and return its job when it has ended."""
        answer = await self.execute(id, body)
        assert answer.status_code == 202, answer.text
        return await self.finished(answer.json()["job_id"])

    async def artifact(self, job: dict[str, Any]) -> dict[str, Any]:
        """Return the `data` of a job's artifact."""
        answer = await self.client.get(f"/api/v1/artifacts/{job['artifact_id']}")
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json()["data"]
        return data

    async def content(self, id: str, body: Any = None) -> dict[str, Any]:
        """Execute the task and return the content of its artifact."""
        content: dict[str, Any] = (await self.artifact(await self.run(id, body)))["content"]
        return content

    async def result(self, command: str, parameters: Any = None, **members: Any) -> Any:
        """Create a task that calls a function, run it, and return what came of it."""
        task = await self.create(command, parameters=parameters, **members)
        content = await self.content(task["id"])
        assert content["error"] is None, content
        return content["result"]


@asynccontextmanager
async def calling(app: FastAPI) -> AsyncGenerator[TaskCalls]:
    async with serving(app) as client:
        yield TaskCalls(client)
