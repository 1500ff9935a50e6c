"""Routes of training and prediction."""

from collections.abc import Awaitable, Callable

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from chapkit.artifact.answers import JobAnswers, Prefer, responses
from chapkit.core.errors import NotFoundError
from chapkit.core.ids import ULID
from chapkit.core.services import Key
from chapkit.job.keys import IdempotencyKey
from chapkit.job.schemas import JobRecord
from chapkit.ml.requests import FrameRoute
from chapkit.ml.runners import RunnerDescription, Runners
from chapkit.ml.schemas import PredictRequest, PredictResponse, TrainRequest, TrainResponse
from chapkit.ml.submission import RunSubmitter, Submission
from chapkit.web.dependencies import services_of

Accepted = Callable[[JobRecord, ULID], TrainResponse | PredictResponse]


class RunRouter:
    """`$train` and `$predict` of one runner."""

    def __init__(
        self,
        prefix: str,
        tags: tuple[str, ...],
        jobs_prefix: str,
        artifacts_prefix: str,
        runner: str | None = None,
    ) -> None:
        self._submitter = Key(RunSubmitter, runner or "")
        self.router = APIRouter(prefix=prefix, tags=list(tags), route_class=FrameRoute)
        self._answers = JobAnswers(jobs_prefix, artifacts_prefix)
        self._register()

    def _register(self) -> None:
        async def train(
            request: Request, data: TrainRequest, key: IdempotencyKey = None, prefer: Prefer = None
        ) -> Response:
            sent = Submission(data, await request.body(), key)
            return await self._accept(request, self._of(request).train, sent, prefer, _training)

        async def predict(
            request: Request, data: PredictRequest, key: IdempotencyKey = None, prefer: Prefer = None
        ) -> Response:
            sent = Submission(data, await request.body(), key)
            return await self._accept(request, self._of(request).predict, sent, prefer, _prediction)

        for name, handler, model in (("train", train, TrainResponse), ("predict", predict, PredictResponse)):
            self.router.add_api_route(
                f"/${name}",
                handler,
                methods=["POST"],
                status_code=202,
                response_model=model,
                responses=responses(404, 409, 413, 422, 429, 503),
                summary=name.capitalize(),
            )

    def _of(self, request: Request) -> RunSubmitter:
        return services_of(request).get(self._submitter)

    async def _accept(
        self,
        request: Request,
        submit: Callable[[Submission], Awaitable[JobRecord]],
        sent: Submission,
        prefer: str | None,
        accepted: Accepted,
    ) -> Response:
        job = await submit(sent)
        if job.artifact_id is None:
            raise NotFoundError(f"Job {job.id} belongs to another kind of request", code="idempotency-key-reused")
        return await self._answers.answer(request, job, accepted(job, job.artifact_id), prefer)


def _training(job: JobRecord, artifact_id: ULID) -> TrainResponse:
    message = f"Training job submitted. Job ID: {job.id}"
    return TrainResponse(job_id=job.id, artifact_id=artifact_id, model_artifact_id=artifact_id, message=message)


def _prediction(job: JobRecord, artifact_id: ULID) -> PredictResponse:
    message = f"Prediction job submitted. Job ID: {job.id}"
    return PredictResponse(job_id=job.id, artifact_id=artifact_id, prediction_artifact_id=artifact_id, message=message)


def list_router(prefix: str, tags: tuple[str, ...]) -> APIRouter:
    """Return the route that lists the runners of the service."""
    router = APIRouter(prefix=prefix, tags=list(tags))

    async def runners(request: Request) -> list[RunnerDescription]:
        return services_of(request).get(Runners).descriptions

    router.add_api_route("", runners, methods=["GET"], response_model=list[RunnerDescription], summary="Runners")
    return router
