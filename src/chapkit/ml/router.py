"""Routes of training and prediction."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Header
from starlette.requests import Request
from starlette.responses import Response

from chapkit.artifact.manager import ArtifactManager
from chapkit.core.errors import ConflictError, NotFoundError
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.errors import JobFailedError
from chapkit.job.schemas import JobRecord, JobStatus
from chapkit.job.service import JobService
from chapkit.ml.requests import FrameRoute
from chapkit.ml.schemas import PredictRequest, PredictResponse, TrainRequest, TrainResponse
from chapkit.ml.submission import RunSubmitter, Submission
from chapkit.web.dependencies import services_of
from chapkit.web.openapi import problems
from chapkit.web.responses import json_bytes, location_of

MAX_WAIT = 60.0
_wait = re.compile(r"(?:^|[\s,;])wait\s*=\s*\"?(\d+)", re.IGNORECASE).search
_Key = Annotated[
    str | None,
    Header(alias="Idempotency-Key", max_length=255, description="The same key and body return the first job"),
]
_Prefer = Annotated[
    str | None, Header(description="`wait=N`: answer 200 with the result if the job ends within N seconds")
]
_RESPONSES = {200: {"description": "The result, where `Prefer: wait` was met"}, **problems(404, 409, 413, 422, 503)}


class RunRouter:
    """`$train` and `$predict` of one runner."""

    def __init__(self, prefix: str, tags: tuple[str, ...], jobs_prefix: str, artifacts_prefix: str) -> None:
        self.router = APIRouter(prefix=prefix, tags=list(tags), route_class=FrameRoute)
        self._jobs_prefix = jobs_prefix
        self._artifacts_prefix = artifacts_prefix
        self._register()

    def _register(self) -> None:
        async def train(request: Request, data: TrainRequest, key: _Key = None, prefer: _Prefer = None) -> Response:
            sent = Submission(data, await request.body(), key)
            return await self._accept(request, _submitter(request).train, sent, prefer, "Training")

        async def predict(request: Request, data: PredictRequest, key: _Key = None, prefer: _Prefer = None) -> Response:
            sent = Submission(data, await request.body(), key)
            return await self._accept(request, _submitter(request).predict, sent, prefer, "Prediction")

        for name, handler, model in (("train", train, TrainResponse), ("predict", predict, PredictResponse)):
            self.router.add_api_route(
                f"/${name}",
                handler,
                methods=["POST"],
                status_code=202,
                response_model=model,
                responses=_RESPONSES,
                summary=name.capitalize(),
            )

    async def _accept(
        self,
        request: Request,
        submit: Callable[[Submission], Awaitable[JobRecord]],
        sent: Submission,
        prefer: str | None,
        what: str,
    ) -> Response:
        job = await submit(sent)
        if job.artifact_id is None:
            raise NotFoundError(f"Job {job.id} belongs to another kind of request", code="idempotency-key-reused")
        seconds = _seconds_to_wait(prefer)
        if seconds:
            services = services_of(request)
            ended = await services.get(JobService).wait_until_final(job.id, seconds)
            if ended.status.is_final:
                return await self._result(services, ended, job.artifact_id, seconds)
        return self._accepted(request, job, job.artifact_id, what)

    def _accepted(self, request: Request, job: JobRecord, artifact_id: ULID, what: str) -> Response:
        message = f"{what} job submitted. Job ID: {job.id}"
        answer: TrainResponse | PredictResponse
        if what == "Training":
            answer = TrainResponse(
                job_id=job.id, artifact_id=artifact_id, model_artifact_id=artifact_id, message=message
            )
        else:
            answer = PredictResponse(
                job_id=job.id, artifact_id=artifact_id, prediction_artifact_id=artifact_id, message=message
            )
        headers = {"Location": location_of(request, f"{self._jobs_prefix}/{job.id}")}
        return json_bytes(answer.model_dump_json().encode(), status=202, headers=headers)

    async def _result(self, services: Services, job: JobRecord, artifact_id: ULID, seconds: float) -> Response:
        if job.status is JobStatus.CANCELED:
            raise ConflictError("The job was canceled", code="job-canceled", job_id=job.id)
        if job.status is not JobStatus.COMPLETED:
            raise JobFailedError(job.error, code=job.error_code, job_id=job.id, artifact_id=artifact_id)
        async with services.scope.read() as scope:
            found = await scope.get(ArtifactManager).render_by_id(artifact_id)
        if found is None:
            raise NotFoundError(f"The result of job {job.id} was deleted", code="result-deleted")
        headers = {
            "Content-Location": f"{self._artifacts_prefix}/{artifact_id}",
            "Preference-Applied": f"wait={seconds:g}",
            "X-Job-ID": job.id,
            "ETag": found[1],
        }
        return json_bytes(found[0], headers=headers)


def _submitter(request: Request) -> RunSubmitter:
    return services_of(request).get(RunSubmitter)


def _seconds_to_wait(prefer: str | None) -> float:
    found = _wait(prefer) if prefer else None
    return min(MAX_WAIT, float(found[1])) if found else 0.0
