"""A service whose jobs run elsewhere: `python -m tests.service.worker_service PORT` answers, `chapkit worker` works."""

import asyncio
import os
import sys
import time
from dataclasses import dataclass
from typing import Any, ClassVar

from fastapi import APIRouter, FastAPI

from chapkit.api import RequestScope, ServiceBuilder, ServiceInfo, run_app
from chapkit.core.errors import ConfigurationError
from chapkit.job import JobContext, JobHandler, JobHandlers, JobOutcome, JobRecord, JobService, JobSpec
from chapkit.web.feature import Feature

URL = "CHAPKIT_TEST_SERVICE_DATABASE"
GRACE = 0.5


class Report(JobHandler):
    """Tells which process does it and at which attempt, and stays for so many seconds at the first one."""

    name: ClassVar[str] = "test.report"

    async def execute(self, context: JobContext) -> JobOutcome:
        context.log(f"{os.getpid()} {context.attempt}")
        await context.run_user_function(time.sleep, context.payload["seconds"] if context.attempt == 1 else 0)
        return JobOutcome()


class Failing(JobHandler):
    """Fails."""

    name: ClassVar[str] = "test.failing"

    async def execute(self, context: JobContext) -> JobOutcome:
        raise ConfigurationError("No rain was measured", code="rain-missing")


@dataclass(frozen=True)
class Handlers(Feature):
    """Brings the handlers."""

    kind: ClassVar[str] = "test-handlers"

    def register(self, services: Any) -> None:
        services.get(JobHandlers).add(Report())
        services.get(JobHandlers).add(Failing())


router = APIRouter()


@router.post("/submit/{handler}", status_code=202)
async def submit(handler: str, scope: RequestScope, seconds: float = 0, queue: str = "default") -> JobRecord:
    spec = JobSpec(handler=f"test.{handler}", payload={"seconds": seconds}, queue=queue)
    return await scope.get(JobService).submit(spec, scope)


@router.get("/endless")
async def endless() -> None:
    await asyncio.Event().wait()


def service(url: str, grace: float = GRACE, **jobs: Any) -> FastAPI:
    return (
        ServiceBuilder(info=ServiceInfo(display_name="Worker test"), database_url=url)
        .with_health()
        .with_jobs(queues={"gpu": None, "large": None}, shutdown_timeout=grace, **jobs)
        .with_feature(Handlers())
        .include_router(router)
        .build()
    )


def app() -> FastAPI:
    """Return the service as both kinds of process have it: without an engine of its own."""
    return service(os.environ[URL], workers=0)


def patient() -> FastAPI:
    """Return the service that waits long for its jobs when it stops."""
    return service(os.environ[URL], 60.0, workers=0)


if __name__ == "__main__":
    run_app(app(), port=int(sys.argv[1]))
