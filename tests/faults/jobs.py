"""Jobs of every kind, each of which leaves one mark in the transaction of its end."""

import asyncio
import json
import random
import time
from collections.abc import Mapping
from typing import Any, ClassVar

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from chapkit.artifact.manager import ArtifactManager
from chapkit.artifact.storage import ContentStorage
from chapkit.config.manager import ConfigManager
from chapkit.config.schemas import BaseConfig, ConfigIn
from chapkit.core.columns import ULIDType
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.models import Base
from chapkit.core.services import Scope
from chapkit.job import policies
from chapkit.job.context import JobContext
from chapkit.job.ports import JobHandler, JobOutcome
from chapkit.link.manager import LinkManager

LARGE = 70_000
"""Bytes of a content that is kept in a file."""
ROWS = 70
POOL = 3
"""Contents that several jobs have in common, so that one is put while another process sweeps it."""


class Mark(Base):
    """What a job leaves behind; two of them, or one of a job that has not ended so, are a fault."""

    __tablename__ = "fault_marks"

    id: Mapped[ULID] = mapped_column(ULIDType, primary_key=True, default=ULID)
    job_id: Mapped[ULID] = mapped_column(ULIDType, index=True)
    attempt: Mapped[int]
    what: Mapped[str] = mapped_column(String)


class Knob(BaseConfig):
    """A configuration."""

    turn: int = 0


class Work(JobHandler):
    """Works, then leaves its mark together with the final status."""

    ends: ClassVar[frozenset[str]] = frozenset({"completed"})
    """The only ways in which such a job may end."""

    async def execute(self, context: JobContext) -> JobOutcome:
        reach("test.begun")
        value = await self.work(context)
        reach("test.worked")

        async def record(scope: Scope) -> Any:
            scope.session.add(Mark(job_id=context.job_id, attempt=context.attempt, what="result"))
            await scope.session.flush()
            await self.store(scope, context, value)
            return {"number": context.payload["number"]}

        return JobOutcome(record=record)

    async def work(self, context: JobContext) -> Any:
        """Do what takes time."""
        raise NotImplementedError

    async def store(self, scope: Scope, context: JobContext, value: Any) -> None:
        """Keep more than the mark."""

    async def on_failure(self, scope: Scope, context: JobContext, error: BaseException) -> None:
        scope.session.add(Mark(job_id=context.job_id, attempt=context.attempt, what="failure"))
        await scope.session.flush()


class InlineWork(Work):
    name: ClassVar[str] = "fault.inline"

    async def work(self, context: JobContext) -> Any:
        context.log("one line", number=context.payload["number"])
        await asyncio.sleep(0)


class PlainWork(Work):
    """Leaves nothing but a result in its row."""

    name: ClassVar[str] = "fault.plain"

    async def execute(self, context: JobContext) -> JobOutcome:
        return JobOutcome(result={"number": context.payload["number"]})


class ForgottenWork(PlainWork):
    """Nobody remembers that it was accepted, for it may be removed when it has ended."""

    name: ClassVar[str] = "fault.forgotten"


class AsyncWork(Work):
    name: ClassVar[str] = "fault.async"

    async def work(self, context: JobContext) -> Any:
        context.log("begins")
        await context.run_user_function(asyncio.sleep, 0.15)


class ThreadWork(Work):
    name: ClassVar[str] = "fault.thread"

    async def work(self, context: JobContext) -> Any:
        await context.run_user_function(time.sleep, 0.03)


class BlobWork(Work):
    """Reads a large payload and makes an artifact with a large content."""

    name: ClassVar[str] = "fault.blob"

    async def work(self, context: JobContext) -> Any:
        storage = context.services.get(ContentStorage)
        payload = await storage.large.read(context.payload_blob or "")
        number = context.payload["number"]
        content = payload[::-1] if number % 2 else pool_content(number)
        return await storage.coder.prepare(content, media_type="application/octet-stream")

    async def store(self, scope: Scope, context: JobContext, value: Any) -> None:
        artifacts = scope.get(ArtifactManager)
        artifact = await artifacts.record(value, type="fault", id=context.artifact_id)
        await artifacts.store({"of": str(artifact.id)}, type="fault-note", parent_id=artifact.id)


class ConfigWork(Work):
    """Writes, changes and removes configurations, and ties an artifact to one of them."""

    name: ClassVar[str] = "fault.config"

    async def work(self, context: JobContext) -> Any:
        await asyncio.sleep(0)

    async def store(self, scope: Scope, context: JobContext, value: Any) -> None:
        configs = scope.get(ConfigManager)
        name, number = str(context.job_id), context.payload["number"]
        doomed = await configs.create(ConfigIn(name=name, data=Knob(turn=-1)))
        kept = await configs.create(ConfigIn(name=name, data=Knob(turn=0)))
        await configs.replace(kept.id, ConfigIn(name=name, data=Knob(turn=number)))
        await configs.delete_by_id(doomed.id)
        artifact = await scope.get(ArtifactManager).store({"number": number}, type="fault", id=context.artifact_id)
        await scope.get(LinkManager).link(kept.id, artifact.id)


class RetriedWork(Work):
    """Fails at every other attempt."""

    name: ClassVar[str] = "fault.retried"
    retry = policies.Retry(attempts=50, initial=0.01, factor=1.0)

    async def work(self, context: JobContext) -> Any:
        await asyncio.sleep(0)
        if context.attempt % 2:
            raise OSError("the disk was away for a moment")


class FailingWork(Work):
    name: ClassVar[str] = "fault.failing"
    ends: ClassVar[frozenset[str]] = frozenset({"failed"})

    async def work(self, context: JobContext) -> Any:
        await context.run_user_function(_raise)


class PatientWork(Work):
    """Waits for long; somebody asks it to stop."""

    name: ClassVar[str] = "fault.patient"
    ends: ClassVar[frozenset[str]] = frozenset({"canceled", "completed"})

    async def work(self, context: JobContext) -> Any:
        await context.run_user_function(asyncio.sleep, 0.5)


HANDLERS: tuple[type[Work], ...] = (
    InlineWork,
    PlainWork,
    ForgottenWork,
    AsyncWork,
    ThreadWork,
    BlobWork,
    ConfigWork,
    RetriedWork,
    FailingWork,
    PatientWork,
)
TRAIN = "ml.train"
ENDS: Mapping[str, frozenset[str]] = {**{kind.name: kind.ends for kind in HANDLERS}, TRAIN: frozenset({"completed"})}
WITHOUT_MARK = frozenset({PlainWork.name, ForgottenWork.name, TRAIN})
WITH_ARTIFACT = frozenset({BlobWork.name, ConfigWork.name, TRAIN})


def pool_content(number: int) -> bytes:
    """Return one of a few large contents."""
    return random.Random(number % POOL).randbytes(LARGE)


def training_body(config_id: str, number: int) -> bytes:
    """Return a request for a training that is too large for a row."""
    rows = [[number, index, "x" * (LARGE // ROWS)] for index in range(ROWS)]
    frame = {"columns": ["number", "index", "text"], "data": rows}
    return json.dumps({"config_id": config_id, "data": frame}).encode()


def _raise() -> None:
    raise ValueError("this work always fails")
