"""Training and prediction as jobs: load, compute without a transaction, record in one."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar, TypeVar

from anyio.to_thread import run_sync

from chapkit.artifact.manager import ArtifactManager
from chapkit.artifact.storage import ContentStorage
from chapkit.config.manager import ConfigManager
from chapkit.config.schemas import BaseConfig
from chapkit.core.clock import Clock, SystemClock
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.services import Key, Scope, Services
from chapkit.data.convert import FrameConverters
from chapkit.data.fields import FRAME_MEDIA_TYPE
from chapkit.data.frame import DataFrame
from chapkit.job.context import JobContext
from chapkit.job.failures import describe_failure
from chapkit.job.ports import JobHandler, JobOutcome
from chapkit.job.repository import JobRepository
from chapkit.job.rows import moment
from chapkit.job.schemas import Revision
from chapkit.link.manager import LinkManager
from chapkit.ml.schemas import MODEL_TYPE, PREDICTION_TYPE, PredictRequest, RunInfo, TrainRequest
from chapkit.ml.signature import BoundFunction
from chapkit.ml.work import load_request

TRAIN = "ml.train"
PREDICT = "ml.predict"


@dataclass(frozen=True)
class RunnerParts:
    """What the handlers share."""

    train: BoundFunction
    predict: BoundFunction
    configs: Key[ConfigManager[Any]]
    converters: FrameConverters = field(default_factory=FrameConverters)
    runner: str | None = None
    """Name of the runner; `None` for the one without."""
    clock: Clock = field(default_factory=SystemClock)

    @property
    def described(self) -> dict[str, Any]:
        """What the metadata of a run says of the runner."""
        return {} if self.runner is None else {"runner": self.runner}

    async def load_config(self, scope: Scope, config_id: ULID, run_info: RunInfo | None) -> BaseConfig:
        """Return the stored configuration with what the run says on top."""
        config: BaseConfig = (await scope.get(self.configs).get(config_id)).data
        changes: dict[str, Any] = {}
        if run_info is not None and run_info.prediction_periods is not None:
            changes["prediction_periods"] = run_info.prediction_periods
        if run_info is not None and run_info.additional_continuous_covariates:
            changes["additional_continuous_covariates"] = run_info.additional_continuous_covariates
        return config.model_copy(update=changes) if changes else config


class Stopwatch:
    """Start, end and length of a run."""

    def __init__(self, clock: Clock, started_at: datetime | None = None) -> None:
        self._clock = clock
        self.started_at = started_at or clock.now()
        self._start = time.perf_counter() - max(0.0, (clock.now() - self.started_at).total_seconds())

    def metadata(self, config_id: str, status: str = "success", **more: Any) -> dict[str, Any]:
        """Return what is kept of the run."""
        return {
            "status": status,
            "config_id": config_id,
            "started_at": self.started_at.isoformat(),
            "completed_at": self._clock.now().isoformat(),
            "duration_seconds": round(time.perf_counter() - self._start, 6),
            "exit_code": None,
            "stdout": None,
            "stderr": None,
            **more,
        }


class _MLHandler(JobHandler):
    artifact_type: ClassVar[str]
    schema: ClassVar[type[TrainRequest | PredictRequest]]

    def __init__(self, parts: RunnerParts) -> None:
        self.parts = parts

    async def revise(self, services: Services, stored: Revision, given: Mapping[str, Any]) -> Revision:
        """Return the request with some of its members changed."""
        # Lazy: what accepts runs knows the names of these handlers.
        from chapkit.ml.revision import revise_run
        from chapkit.ml.submission import RunSubmitter

        submitter = services.get(Key(RunSubmitter, self.parts.runner or ""))
        return await revise_run(services, submitter, self.schema, stored, given)

    async def on_failure(self, scope: Scope, context: JobContext, error: BaseException) -> None:
        """Leave a diagnostic artifact under the id that was handed out."""
        row = await JobRepository(scope.session).find(context.job_id)
        started = None if row is None else moment(row["started_at"])
        watch = Stopwatch(self.parts.clock, None if started is None else datetime.fromisoformat(started))
        metadata = watch.metadata(
            str(context.payload["config_id"]), "failed", stderr=describe_failure(error), **self.parts.described
        )
        await self._record(scope, context, await scope.get(ArtifactManager).prepare(None), metadata)

    async def _call(self, context: JobContext, bound: BoundFunction, values: Mapping[str, Any]) -> Any:
        arguments = await run_sync(bound.arguments, values, self.parts.converters)
        return await context.run_user_function(bound.function, *arguments.by_place, **arguments.by_name)

    async def _record(self, scope: Scope, context: JobContext, prepared: Any, metadata: dict[str, Any]) -> Any:
        parent = context.payload.get("model_id")
        reach("ml.before-record")
        artifact = await scope.get(ArtifactManager).record(
            prepared,
            type=self.artifact_type,
            metadata=metadata,
            parent_id=None if parent is None else ULID(parent),
            id=context.artifact_id,
        )
        if parent is None:
            await scope.get(LinkManager).link(ULID(context.payload["config_id"]), artifact.id)
        return {"artifact_id": artifact.id}


class TrainHandler(_MLHandler):
    """Trains a model."""

    name: ClassVar[str] = TRAIN
    artifact_type: ClassVar[str] = MODEL_TYPE
    schema = TrainRequest

    async def execute(self, context: JobContext) -> JobOutcome:
        """Call the user's training function and keep what it returns."""
        request = await load_request(context, TrainRequest)
        async with context.scope.read() as scope:
            config = await self.parts.load_config(scope, request.config_id, request.run_info)
        watch = Stopwatch(self.parts.clock)
        values = {"config": config, "data": request.data, "geo": request.geo}
        model = await self._call(context, self.parts.train, values)
        metadata = watch.metadata(
            str(request.config_id),
            model_type=f"{type(model).__module__}.{type(model).__qualname__}",
            columns=request.data.columns,
            rows=len(request.data),
            **self.parts.described,
        )
        prepared = await context.services.get(ContentStorage).coder.prepare(model, as_model=True)
        return JobOutcome(record=lambda scope: self._record(scope, context, prepared, metadata))


class PredictHandler(_MLHandler):
    """Predicts with a trained model."""

    name: ClassVar[str] = PREDICT
    artifact_type: ClassVar[str] = PREDICTION_TYPE
    schema = PredictRequest

    async def execute(self, context: JobContext) -> JobOutcome:
        """Call the user's prediction function and keep the frame that it returns."""
        request = await load_request(context, PredictRequest)
        config_id = ULID(context.payload["config_id"])
        async with context.scope.read() as scope:
            config = await self.parts.load_config(scope, config_id, request.run_info)
        model = await self._load_model(context, request.artifact_id)
        watch = Stopwatch(self.parts.clock)
        given = request.historic
        historic = given if given and given.columns else DataFrame(columns=request.future.columns, data=[])
        values = {"config": config, "model": model, "historic": historic, "future": request.future, "geo": request.geo}
        predictions = await self._call(context, self.parts.predict, values)
        metadata = watch.metadata(str(config_id), model_artifact_id=str(request.artifact_id), **self.parts.described)
        encoded = await run_sync(self.parts.converters.from_value, predictions)
        prepared = await context.services.get(ContentStorage).coder.prepare_encoded(encoded, FRAME_MEDIA_TYPE)
        return JobOutcome(record=lambda scope: self._record(scope, context, prepared, metadata))

    async def _load_model(self, context: JobContext, artifact_id: ULID) -> Any:
        async with context.scope.read() as scope:
            return await scope.get(ArtifactManager).content(artifact_id)


HandlerT = TypeVar("HandlerT", bound=_MLHandler)


def handler_name(step: str, runner: str | None) -> str:
    """Return what stands in the jobs of a step, `ml.train` or `ml.predict`, of a runner."""
    return step if runner is None else f"{step}:{runner}"


def handler_of(kind: type[HandlerT], parts: RunnerParts) -> HandlerT:
    """Return a handler for the jobs of one of several runners."""
    named: Any = type(kind.__name__, (kind,), {"name": handler_name(kind.name, parts.runner)})
    handler: HandlerT = named(parts)
    return handler
