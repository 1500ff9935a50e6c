"""The hand-written service with train, predict and artifacts: frames are pickled, the model runs in a thread."""

import asyncio
import pickle
import traceback
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pandas as pd
import ulid
from fastapi import APIRouter, FastAPI, HTTPException, Query, Request
from pydantic import BaseModel
from sqlalchemy import JSON, LargeBinary, String, select
from sqlalchemy.orm import Mapped, deferred, mapped_column, undefer

from bench import peer
from bench.model import predict, train


class Artifact(peer.Base):
    """A stored result; the content is loaded only when it is asked for."""

    __tablename__ = "artifacts"

    id: Mapped[str] = mapped_column(String(26), primary_key=True, default=lambda: ulid.new().str)
    created_at: Mapped[datetime] = mapped_column(peer.UTCDateTime, default=lambda: datetime.now(UTC))
    parent_id: Mapped[str | None] = mapped_column(String(26), index=True)
    level: Mapped[int] = mapped_column(default=0)
    description: Mapped[dict[str, Any]] = mapped_column(JSON)
    content: Mapped[bytes] = deferred(mapped_column(LargeBinary))


class Frame(BaseModel):
    """A table on the wire."""

    columns: list[str]
    data: list[list[Any]]

    def to_pandas(self) -> pd.DataFrame:
        """Return the frame for the model."""
        return pd.DataFrame(self.data, columns=self.columns)


class TrainRequest(BaseModel):
    """What a model learns from."""

    config_id: str
    data: Frame


class PredictRequest(BaseModel):
    """What a model predicts from."""

    artifact_id: str
    historic: Frame
    future: Frame


class ArtifactIn(BaseModel):
    """A result as it is sent."""

    data: dict[str, Any]
    parent_id: str | None = None


class Jobs:
    """The running jobs of this process, in memory."""

    def __init__(self) -> None:
        self.records: dict[str, dict[str, Any]] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    def submit(self, work: Callable[[], Awaitable[str]]) -> dict[str, Any]:
        """Start a job and return its record."""
        job_id = ulid.new().str
        record = self.records[job_id] = {"id": job_id, "status": "running", "artifact_id": None, "error": None}
        self.tasks[job_id] = asyncio.create_task(self._run(record, work))
        return {"job_id": job_id, "message": f"Job {job_id} submitted"}

    async def _run(self, record: dict[str, Any], work: Callable[[], Awaitable[str]]) -> None:
        try:
            record["artifact_id"] = await work()
            record["status"] = "completed"
        except Exception:  # noqa: BLE001 - whatever the model raises belongs into the record
            record.update(status="failed", error=traceback.format_exc())


async def store(request: Request, kind: str, content: Any, content_type: str, parent: str | None = None) -> Artifact:
    """Pickle a value in a thread and store it."""
    blob = await asyncio.to_thread(pickle.dumps, content, 5)
    description = {"type": kind, "metadata": {}, "content_type": content_type, "content_size": len(blob)}
    artifact = Artifact(parent_id=parent, level=1 if parent else 0, description=description, content=blob)
    async with request.app.state.sessions() as session:
        session.add(artifact)
        await session.commit()
    return artifact


async def load(request: Request, artifact_id: str) -> tuple[Artifact, Any]:
    """Return an artifact and its value, or answer 404."""
    async with request.app.state.sessions() as session:
        artifact = await session.get(Artifact, artifact_id, options=[undefer(Artifact.content)])
        if artifact is None:
            raise HTTPException(404, f"Artifact {artifact_id} not found")
    return artifact, await asyncio.to_thread(pickle.loads, artifact.content)


def head(artifact: Artifact) -> dict[str, Any]:
    """Return an artifact as it is listed."""
    row = {"id": artifact.id, "created_at": artifact.created_at, "parent_id": artifact.parent_id}
    return {**row, "level": artifact.level, "data": artifact.description}


router = APIRouter(prefix="/api/v1")


@router.post("/ml/$train", status_code=202)
async def start_training(body: TrainRequest, request: Request) -> dict[str, Any]:
    """Train in the background."""

    async def work() -> str:
        frame = await asyncio.to_thread(body.data.to_pandas)
        model = await asyncio.to_thread(train, None, frame)
        return (await store(request, "ml_training_workspace", model, "application/x-pickle")).id

    jobs: Jobs = request.app.state.jobs
    return jobs.submit(work)


@router.post("/ml/$predict", status_code=202)
async def start_prediction(body: PredictRequest, request: Request) -> dict[str, Any]:
    """Predict in the background."""
    _, model = await load(request, body.artifact_id)

    async def work() -> str:
        historic = await asyncio.to_thread(body.historic.to_pandas)
        future = await asyncio.to_thread(body.future.to_pandas)
        frame = await asyncio.to_thread(predict, None, model, historic, future)
        kind = "application/vnd.chapkit.dataframe+json"
        return (await store(request, "ml_prediction", frame, kind, body.artifact_id)).id

    jobs: Jobs = request.app.state.jobs
    return jobs.submit(work)


@router.get("/jobs/{job_id}")
async def read_job(job_id: str, request: Request, wait: float = 0) -> dict[str, Any]:
    """Read a job, after waiting for its end when asked to."""
    jobs: Jobs = request.app.state.jobs
    if job_id not in jobs.records:
        raise HTTPException(404, f"Job {job_id} not found")
    if wait:
        await asyncio.wait([jobs.tasks[job_id]], timeout=wait)
    return jobs.records[job_id]


@router.post("/artifacts", status_code=201)
async def create_artifact(body: ArtifactIn, request: Request) -> dict[str, Any]:
    """Store a result."""
    data = body.data
    artifact = await store(request, data["type"], data["content"], data["content_type"], body.parent_id)
    return {**head(artifact), "data": {**artifact.description, "content": data["content"]}}


@router.get("/artifacts")
async def list_artifacts(
    request: Request, page: int | None = Query(None, ge=1), size: int | None = Query(None, ge=1, le=1000)
) -> list[dict[str, Any]]:
    """List results without their content."""
    query = select(Artifact).order_by(Artifact.id)
    if page and size:
        query = query.offset((page - 1) * size).limit(size)
    async with request.app.state.sessions() as session:
        return [head(artifact) for artifact in await session.scalars(query)]


@router.get("/artifacts/{artifact_id}")
async def read_artifact(artifact_id: str, request: Request) -> Any:
    """Read a result with its content."""
    artifact, value = await load(request, artifact_id)
    if isinstance(value, pd.DataFrame):
        value = await asyncio.to_thread(lambda: {"columns": list(value.columns), "data": value.values.tolist()})
    return {**head(artifact), "data": {**artifact.description, "content": value}}


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
    """Open the database and keep the jobs."""
    async with peer.lifespan(app):
        app.state.jobs = Jobs()
        yield


app = FastAPI(title="Peer with ML", lifespan=lifespan)
app.include_router(peer.router)
app.include_router(router)
app.add_api_route("/health", peer.health)
