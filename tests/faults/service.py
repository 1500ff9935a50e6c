"""The service that is struck: every kind of job, training, configurations, artifacts."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from fastapi import APIRouter, FastAPI, Header
from pydantic import BaseModel
from starlette.requests import Request

from chapkit.api.builder import ServiceBuilder
from chapkit.api.info import MLServiceInfo, ModelMetadata, PeriodType
from chapkit.artifact.hierarchy import ArtifactHierarchy
from chapkit.artifact.storage import ContentStorage
from chapkit.core.clock import Clock
from chapkit.core.durability import Durability
from chapkit.core.ids import ULID
from chapkit.core.models import Base
from chapkit.core.services import Services
from chapkit.data import DataFrame
from chapkit.job.feature import JobFeature
from chapkit.job.ports import JobHandlers
from chapkit.job.schemas import JobRecord, JobSpec
from chapkit.job.service import JobService
from chapkit.ml.runner import FunctionalModelRunner
from chapkit.web.dependencies import services_of
from chapkit.web.feature import Feature, Requirement
from tests.faults.jobs import HANDLERS, LARGE, WITH_ARTIFACT, BlobWork, Knob, Mark

SLOTS = 4
SHARED = "shared"
"""Name of the configuration that trainings use."""


@dataclass(frozen=True)
class WorkFeature(Feature):
    """Brings the jobs, and a way to submit them over HTTP."""

    kind: ClassVar[str] = "fault-work"
    requires: ClassVar[tuple[Requirement, ...]] = (Requirement("job", "with_jobs(...)"),)

    def models(self) -> Iterable[type[Base]]:
        yield Mark

    def register(self, services: Services) -> None:
        for handler in HANDLERS:
            services.get(JobHandlers).add(handler())

    def routers(self) -> Iterable[APIRouter]:
        router = APIRouter()

        async def accept(request: Request, wanted: Wanted, idempotency_key: str = Header()) -> dict[str, str]:
            job = await submit(services_of(request), wanted.handler, wanted.number, idempotency_key)
            return {"job_id": job.id}

        router.add_api_route("/faults/jobs", accept, methods=["POST"], status_code=202)
        yield router


class Wanted(BaseModel):
    """What is asked for over HTTP."""

    handler: str
    number: int


async def submit(services: Services, handler: str, number: int, key: str | None = None) -> JobRecord:
    """Accept a job: the large payload first, then the row."""
    blob = None
    if handler == BlobWork.name:
        blob = (await services.get(ContentStorage).large.put(number.to_bytes(8, "big") * (LARGE // 8))).sha256
    spec = JobSpec(
        handler=handler,
        payload={"number": number},
        payload_blob=blob,
        key=key,
        artifact_id=ULID() if handler in WITH_ARTIFACT else None,
    )
    async with services.scope.write() as scope:
        return await services.get(JobService).submit(spec, scope)


def train(config: Knob, data: DataFrame) -> Any:
    """Return a model that is too large for the database."""
    return {"turn": config.turn, "rows": len(data.data), "weights": bytes(LARGE)}


def predict(config: Knob, model: Any, historic: DataFrame, future: DataFrame) -> DataFrame:
    """Return what was asked."""
    return future


def build_app(url: str, folder: Path, durability: Durability, clock: Clock) -> FastAPI:
    """Return the service on a database; large contents lie in `folder`."""
    info = MLServiceInfo(
        id="faults",
        display_name="Faults",
        model_metadata=ModelMetadata(author="The tests"),
        period_type=PeriodType.any,
    )
    return (
        ServiceBuilder(info=info)
        .with_database(url, data_dir=folder, durability=durability)
        .with_health()
        .with_config(Knob)
        .with_artifacts(hierarchy=ArtifactHierarchy(name="faults"), enable_config_linking=True)
        .with_feature(JobFeature(max_concurrency=SLOTS, shutdown_timeout=0.3, clock=clock))
        .with_schedules()
        .with_ml(FunctionalModelRunner(on_train=train, on_predict=predict))
        .with_feature(WorkFeature())
        .build()
    )
