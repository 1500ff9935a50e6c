"""The service of the job rows: handlers that do nothing or never end, and a route that submits them."""

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from fastapi import APIRouter, FastAPI

from chapkit.api import RequestScope, ServiceBuilder, ServiceInfo
from chapkit.core.services import Services
from chapkit.job import JobContext, JobHandler, JobHandlers, JobOutcome, JobRecord, JobService, JobSpec
from chapkit.web.dependencies import RequestServices
from chapkit.web.feature import Feature

MARKS_VARIABLE = "BENCH_JOB_MARKS"
SUBMIT = "/api/v1/bench/$submit"


class Nothing(JobHandler):
    """Does nothing, and counts how often."""

    name: ClassVar[str] = "bench.nothing"

    def __init__(self) -> None:
        self.count = 0

    async def execute(self, context: JobContext) -> JobOutcome:
        """Count."""
        self.count += 1
        return JobOutcome()


class Endless(JobHandler):
    """Notes where and when it began, and runs until its process ends."""

    name: ClassVar[str] = "bench.endless"

    async def execute(self, context: JobContext) -> JobOutcome:
        """Write the note and wait."""
        with Path(os.environ[MARKS_VARIABLE]).open("a", encoding="ascii") as marks:
            marks.write(f"{os.getpid()} {context.job_id} {time.monotonic()}\n")
        await asyncio.Event().wait()
        return JobOutcome()


@dataclass(frozen=True)
class BenchHandlers(Feature):
    """Adds the handlers to the jobs of a service."""

    kind: ClassVar[str] = "bench-handlers"

    handlers: tuple[JobHandler, ...] = ()

    def register(self, services: Services) -> None:
        """Add them."""
        for handler in self.handlers:
            services.get(JobHandlers).add(handler)


def service(url: str, durability: str, workers: int | None, *handlers: JobHandler) -> FastAPI:
    """Return a service with jobs and request logs."""
    builder = ServiceBuilder(info=ServiceInfo(display_name="Bench"))
    return (
        builder.with_database(url, **durability_options(durability))
        .with_logging()
        .with_health()
        .with_jobs(**worker_options(workers))
        .with_feature(BenchHandlers(handlers))
        .include_router(submitting())
        .build()
    )


def builder_of_environment() -> ServiceBuilder:
    """Return a builder with what all these services have, on the database that the environment names."""
    options = durability_options(os.environ.get("BENCH_DURABILITY", "process"))
    builder = ServiceBuilder(info=ServiceInfo(display_name="Bench"))
    return builder.with_database(os.environ["BENCH_DATABASE_URL"], **options).with_logging().with_health().with_jobs()


def worker_options(workers: int | None) -> dict[str, Any]:
    """Return the arguments of `with_jobs`; the defaults, if the number is left out."""
    return {} if workers is None else {"workers": workers}


def durability_options(durability: str) -> dict[str, Any]:
    """Return the arguments of `with_database`."""
    return {"durability": durability} if durability != "process" else {}


def submitting() -> APIRouter:
    """Return the route that submits a job in the request's unit of work."""
    router = APIRouter()

    @router.post(SUBMIT, status_code=202)
    async def submit(services: RequestServices, scope: RequestScope, handler: str = Nothing.name) -> JobRecord:
        return await services.get(JobService).submit(JobSpec(handler=handler), scope)

    return router
