"""Accept a training or a prediction: checked first, stored second, answered after the commit."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from anyio.to_thread import run_sync
from sqlalchemy import select

from chapkit.artifact.model_codec import MODEL_MEDIA_TYPE
from chapkit.artifact.models import Artifact
from chapkit.artifact.storage import ContentStorage
from chapkit.config.manager import ConfigManager
from chapkit.core.errors import ChapkitError, InvalidULIDError, NotFoundError, UnprocessableError
from chapkit.core.ids import ULID
from chapkit.core.services import Key, Scope, Services
from chapkit.job.claiming import DEFAULT_QUEUE
from chapkit.job.engine import JobEngine
from chapkit.job.keys import fingerprint_under
from chapkit.job.schemas import JobRecord, JobSpec
from chapkit.job.service import JobService
from chapkit.ml.cache import ParsedRequests
from chapkit.ml.checks import RunLimits, check_predict, check_train
from chapkit.ml.handlers import PREDICT, TRAIN, handler_name
from chapkit.ml.schemas import MODEL_TYPE, PredictRequest, TrainRequest
from chapkit.ml.work import store_body

_NEWEST = 3


@dataclass(frozen=True)
class Submission:
    """What a caller sent, parsed and as it was."""

    request: TrainRequest | PredictRequest
    body: bytes
    key: str | None = None

    async def fingerprint(self) -> str | None:
        """Return what tells it from another one with the same key."""
        return await fingerprint_under(self.key, self.body)


@dataclass(frozen=True)
class RunSettings:
    """How the runs of one runner are accepted."""

    limits: RunLimits = field(default_factory=RunLimits)
    runner: str | None = None
    """Its name; `None` for the one without."""
    queues: Mapping[str, str] = field(default_factory=dict[str, str])
    """Where the jobs of each step wait."""

    def queue_of(self, step: str) -> str:
        """Return the queue of `ml.train` or `ml.predict`."""
        return self.queues.get(step, DEFAULT_QUEUE)


class RunSubmitter:
    """Turns requests into jobs."""

    def __init__(self, services: Services, configs: Key[ConfigManager[Any]], settings: RunSettings) -> None:
        self._services = services
        self._configs = configs
        self._settings = settings

    async def train(self, sent: Submission) -> JobRecord:
        """Accept a training.

        Raises:
            NotFoundError: There is no such configuration (`config-unknown`).
            UnprocessableError: The data cannot be trained on.
        """
        return await self._accept(TRAIN, self.training, sent)

    async def predict(self, sent: Submission) -> JobRecord:
        """Accept a prediction.

        Raises:
            NotFoundError: There is no such model (`model-unknown`), or its configuration is gone.
            UnprocessableError: The artifact is no model (`artifact-not-a-model`), or the data do not fit.
        """
        return await self._accept(PREDICT, self.prediction, sent)

    async def training(self, sent: Submission) -> JobSpec:
        """Return the job of a training, not yet submitted."""
        request = sent.request
        if not isinstance(request, TrainRequest):
            raise TypeError("a training needs a TrainRequest")
        await run_sync(check_train, request, self._settings.limits)
        async with self._services.scope.read() as scope:
            await self._require_config(scope, request.config_id)
        return await self._spec(TRAIN, sent, {"config_id": request.config_id})

    async def prediction(self, sent: Submission) -> JobSpec:
        """Return the job of a prediction, not yet submitted."""
        request = sent.request
        if not isinstance(request, PredictRequest):
            raise TypeError("a prediction needs a PredictRequest")
        await run_sync(check_predict, request, self._settings.limits)
        async with self._services.scope.read() as scope:
            config_id = await self._config_of_model(scope, request.artifact_id)
            await self._require_config(scope, config_id)
        return await self._spec(PREDICT, sent, {"config_id": config_id, "model_id": request.artifact_id})

    async def _accept(
        self, step: str, prepare: Callable[[Submission], Awaitable[JobSpec]], sent: Submission
    ) -> JobRecord:
        try:
            spec = await prepare(sent)
        except ChapkitError:
            # What an equal request was accepted with may be gone by now.
            first = await self._find_first(step, sent)
            if first is None:
                raise
            return first
        return await self._submit(spec, sent)

    async def _find_first(self, step: str, sent: Submission) -> JobRecord | None:
        key = self._key(step, sent)
        if key is None or sent.key is None:
            return None
        return await self._jobs.find_submitted(key, await sent.fingerprint(), sent.key)

    def _key(self, step: str, sent: Submission) -> str | None:
        return sent.key and f"{handler_name(step, self._settings.runner)}:{sent.key}"

    @property
    def _jobs(self) -> JobService:
        return self._services.get(JobService)

    async def _spec(self, step: str, sent: Submission, payload: dict[str, Any]) -> JobSpec:
        runner = self._settings.runner
        handler = handler_name(step, runner)
        stored = await store_body(sent.body, payload, self._services.get(ContentStorage))
        described = {} if runner is None else {"runner": runner}
        spec = JobSpec(
            id=ULID(),
            handler=handler,
            payload=stored.payload,
            payload_blob=stored.blob,
            labels={"kind": step.rpartition(".")[2], "config_id": payload["config_id"], **described},
            key=self._key(step, sent),
            sent_key=sent.key,
            fingerprint=await sent.fingerprint(),
            artifact_id=ULID(),
            queue=self._settings.queue_of(step),
        )
        return sent.request.job.apply(spec) if sent.request.job is not None else spec

    async def _submit(self, spec: JobSpec, sent: Submission) -> JobRecord:
        waiting = self._services.get(ParsedRequests)
        result_id = spec.artifact_id or ULID()
        if self._services.get(JobEngine).takes(spec.queue):
            waiting.put(result_id, sent.request, len(sent.body))
        accepted: ULID | None = None
        try:
            async with self._services.scope.write() as scope:
                job = await self._jobs.submit(spec, scope)
            accepted = job.artifact_id
        finally:
            if accepted != result_id:
                waiting.take(result_id)
        return job

    async def _require_config(self, scope: Scope, config_id: ULID) -> None:
        if not await scope.get(self._configs).exists_by_id(config_id):
            raise NotFoundError(f"Config {config_id} not found", code="config-unknown", field="config_id")

    def _require_own(self, artifact_id: ULID, runner: str | None) -> None:
        own = self._settings.runner
        if runner != own:
            names = [name or "the runner without a name" for name in (runner, own)]
            raise UnprocessableError(
                f"The model {artifact_id} was trained by {names[0]}, and this is {names[1]}",
                code="model-of-another-runner",
                field="artifact_id",
                found=runner,
                expected=own,
            )

    async def _config_of_model(self, scope: Scope, artifact_id: ULID) -> ULID:
        columns = (Artifact.type, Artifact.media_type, Artifact.signature, Artifact.info)
        row = (await scope.session.execute(select(*columns).where(Artifact.id == artifact_id))).one_or_none()
        if row is None:
            raise NotFoundError(
                f"Model artifact {artifact_id} not found",
                code="model-unknown",
                field="artifact_id",
                newest_models=await _newest_models(scope),
            )
        if row.type == MODEL_TYPE and row.info.get("status") == "failed":
            raise UnprocessableError(
                f"The training that should have made {artifact_id} failed; train again",
                code="training-failed",
                field="artifact_id",
            )
        config_id = _ulid_or_none(row.info.get("config_id"))
        self._require_own(artifact_id, row.info.get("runner"))
        if row.media_type != MODEL_MEDIA_TYPE or row.signature is None or config_id is None:
            raise UnprocessableError(
                f"Artifact {artifact_id} is not a trained model of this service",
                code="artifact-not-a-model",
                field="artifact_id",
                newest_models=await _newest_models(scope),
            )
        return config_id


def _ulid_or_none(value: Any) -> ULID | None:
    try:
        return ULID(value) if isinstance(value, str) else None
    except InvalidULIDError:
        return None


async def _newest_models(scope: Scope) -> Sequence[str]:
    statement = select(Artifact.id).where(Artifact.type == MODEL_TYPE, Artifact.signature.is_not(None))
    return list(await scope.session.scalars(statement.order_by(Artifact.id.desc()).limit(_NEWEST)))
