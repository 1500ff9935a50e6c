"""A service whose jobs take a moment: in threads, on the job loop, in processes of their own, and as trainings.

DATABASE=sqlite+aiosqlite:///data/killed.db uvicorn examples.killed_service:app
"""

import asyncio
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from fastapi import APIRouter, Header

from chapkit import ULID, ArtifactHierarchy, ArtifactManager, BaseConfig, FunctionalModelRunner
from chapkit.api import Feature, MLServiceBuilder, MLServiceInfo, ModelMetadata, PeriodType, RequestScope
from chapkit.core.services import Scope, Services
from chapkit.data import DataFrame
from chapkit.job import JobContext, JobHandler, JobHandlers, JobOutcome, JobService, JobSpec

SECONDS = 0.25


class ShortConfig(BaseConfig):
    """Says nothing."""


def sleep_in_thread(number: int) -> int:
    """Take a moment."""
    time.sleep(SECONDS)
    return number


async def sleep_on_loop(number: int) -> int:
    """Take a moment."""
    await asyncio.sleep(SECONDS)
    return number


def compute_in_process(number: int) -> int:
    """Keep a processor busy for a moment."""
    end = time.process_time() + SECONDS
    while time.process_time() < end:
        pass
    return number


class WorkHandler(JobHandler):
    """Calls a function and keeps what it returns as an artifact."""

    function: ClassVar[Any]

    async def execute(self, context: JobContext) -> JobOutcome:
        """Compute without a transaction, record in one."""
        number = await context.run_user_function(type(self).function, context.payload["number"])

        async def record(scope: Scope) -> None:
            await scope.get(ArtifactManager).store({"number": number}, type="result", id=context.artifact_id)

        return JobOutcome(record=record)


class ThreadHandler(WorkHandler):
    name: ClassVar[str] = "thread"
    function = staticmethod(sleep_in_thread)


class AsyncHandler(WorkHandler):
    name: ClassVar[str] = "async"
    function = staticmethod(sleep_on_loop)


class ProcessHandler(WorkHandler):
    name: ClassVar[str] = "process"
    executor = "process"
    function = staticmethod(compute_in_process)


@dataclass(frozen=True)
class WorkFeature(Feature):
    """Brings the handlers, and `POST /chores/{name}`."""

    kind: ClassVar[str] = "work"

    def register(self, services: Services) -> None:
        for handler in (ThreadHandler(), AsyncHandler(), ProcessHandler()):
            services.get(JobHandlers).add(handler)

    def routers(self) -> Iterable[APIRouter]:
        router = APIRouter()

        async def submit(scope: RequestScope, name: str, number: int, idempotency_key: str = Header()) -> Any:
            spec = JobSpec(handler=name, payload={"number": number}, key=idempotency_key, artifact_id=ULID())
            job = await scope.get(JobService).submit(spec, scope)
            # Committed before it leaves.
            return {"job_id": job.id, "artifact_id": job.artifact_id}

        router.add_api_route("/chores/{name}", submit, methods=["POST"], status_code=202)
        yield router


async def on_train(config: ShortConfig, data: DataFrame) -> int:
    """Take a moment and return a small model."""
    await asyncio.sleep(SECONDS)
    return len(data.data)


def on_predict(config: ShortConfig, model: int, historic: DataFrame, future: DataFrame) -> DataFrame:
    """Return what was asked."""
    return future


app = (
    MLServiceBuilder(
        info=MLServiceInfo(
            id="killed",
            display_name="A service that is killed",
            model_metadata=ModelMetadata(author="chapkit"),
            period_type=PeriodType.any,
        ),
        config_schema=ShortConfig,
        hierarchy=ArtifactHierarchy(name="killed", level_labels={0: "result"}),
        runner=FunctionalModelRunner(on_train=on_train, on_predict=on_predict),
    )
    .with_database(
        os.environ.get("DATABASE", "sqlite+aiosqlite:///data/killed.db"), data_dir=os.environ.get("DATA_DIR")
    )
    .with_feature(WorkFeature())
    .build()
)
