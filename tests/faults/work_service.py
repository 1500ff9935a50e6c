"""A service whose jobs each store one row, and which is asked over HTTP while its database suffers."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import httpx
from fastapi import APIRouter, FastAPI
from sqlalchemy import select

from chapkit.api.assembly import Plan, assemble
from chapkit.api.info import InfoFeature
from chapkit.core.ids import ULID
from chapkit.core.services import Scope
from chapkit.job.context import JobContext
from chapkit.job.feature import JobFeature
from chapkit.job.ports import JobHandler, JobOutcome
from chapkit.job.schemas import JobSpec
from chapkit.job.service import JobService
from chapkit.ops.database import DatabaseFeature
from chapkit.ops.health import HealthFeature
from chapkit.ops.system import SystemFeature
from chapkit.web.dependencies import RequestScope, RequestServices
from tests.serving import INFO, serving
from tests.things import Thing
from tests.unit.job.parts import HandlersFeature

PATIENCE = 60.0
PAYLOAD = "x" * 3000
_NOT_YET = ("pending", "running", 503)
"""Of a job, or of the service that cannot tell at the moment."""


class Work(JobHandler):
    """Stores one row as its result."""

    name: ClassVar[str] = "test.work"

    async def execute(self, context: JobContext) -> JobOutcome:
        async def record(scope: Scope) -> None:
            scope.session.add(Thing(name=f"{context.job_id}:{context.attempt}", extra={"text": PAYLOAD}))
            await scope.session.flush()

        return JobOutcome(record=record)


async def _submit(services: RequestServices, scope: RequestScope) -> dict[str, str]:
    job = await services.get(JobService).submit(JobSpec(handler=Work.name, payload={"text": PAYLOAD}), scope)
    return {"id": job.id}


async def _results(scope: RequestScope) -> list[str]:
    names = await scope.session.scalars(select(Thing.name))
    return [name.partition(":")[0] for name in names]


def work_application(url: str, **options: Any) -> FastAPI:
    router = APIRouter()
    router.add_api_route("/work", _submit, methods=["POST"], status_code=202)
    router.add_api_route("/results", _results, methods=["GET"])
    features = (
        InfoFeature(INFO),
        DatabaseFeature(url=url, options=options, entities=(Thing,)),
        JobFeature(shutdown_timeout=0.0),
        HandlersFeature((Work(),)),
        HealthFeature(),
        SystemFeature(),
    )
    return assemble(Plan(info=INFO, features=features, routers=(router,)))


class Caller:
    """Submits jobs, and keeps which of them were accepted and how the others were refused."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client
        self.accepted: list[str] = []
        self.refusals: list[dict[str, Any]] = []

    async def submit(self) -> bool:
        answer = await self.client.post("/work")
        if answer.status_code == 202:
            self.accepted.append(answer.json()["id"])
            return True
        self.refusals.append({**answer.json(), "retry-after": answer.headers.get("retry-after")})
        return False

    @property
    def reasons(self) -> set[tuple[int, str]]:
        return {(problem["status"], problem["code"]) for problem in self.refusals}

    async def until_accepted(self) -> None:
        """Submit until the service takes a job again."""
        async with asyncio.timeout(PATIENCE):
            while not await self.submit():
                await asyncio.sleep(0.05)

    async def until_all_have_one_result(self) -> None:
        """Wait until each accepted job is completed, and see that each has one result and no other job has any."""
        async with asyncio.timeout(PATIENCE):
            for job in self.accepted:
                while (found := (await self.client.get(f"/api/v1/jobs/{ULID(job)}")).json())["status"] != "completed":
                    assert found["status"] in _NOT_YET, found
                    await asyncio.sleep(0.05)
        results = Counter((await self.client.get("/results")).json())
        assert {job: results[job] for job in self.accepted} == dict.fromkeys(self.accepted, 1)
        assert max(results.values()) == 1


@asynccontextmanager
async def calling(url: str, **options: Any) -> AsyncGenerator[Caller]:
    async with serving(work_application(url, **options)) as client:
        yield Caller(client)
