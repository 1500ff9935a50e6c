"""How a request that submits a job is answered: where the job is, or its artifact if the client waits for it."""

import re
from typing import Annotated, Any, TypeAlias

from fastapi import Header
from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response

from chapkit.artifact.manager import ArtifactManager
from chapkit.core.errors import ConflictError, NotFoundError
from chapkit.core.services import Services
from chapkit.job.errors import JobFailedError
from chapkit.job.schemas import JobRecord, JobStatus
from chapkit.job.service import JobService
from chapkit.web.dependencies import services_of
from chapkit.web.openapi import problems
from chapkit.web.responses import json_bytes, location_of

MAX_WAIT = 60.0
_wait = re.compile(r"(?:^|[\s,;])wait\s*=\s*\"?(\d+)", re.IGNORECASE).search
Prefer: TypeAlias = Annotated[
    str | None, Header(description="`wait=N`: answer 200 with the result if the job ends within N seconds")
]


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route that submits a job."""
    return {200: {"description": "The result, where `Prefer: wait` was met"}, **problems(*statuses)}


class JobAnswers:
    """Answers requests that have submitted a job."""

    def __init__(self, jobs_prefix: str, artifacts_prefix: str) -> None:
        self._jobs_prefix = jobs_prefix
        self._artifacts_prefix = artifacts_prefix

    async def answer(self, request: Request, job: JobRecord, accepted: BaseModel, prefer: str | None) -> Response:
        """Return 202 with `accepted`, or the artifact of the job, if it ends while the client waits.

        Raises:
            JobFailedError: The job failed meanwhile.
            ConflictError: It was canceled meanwhile (`job-canceled`).
            NotFoundError: Its result was deleted (`result-deleted`).
        """
        seconds = seconds_to_wait(prefer)
        if seconds:
            services = services_of(request)
            ended = await services.get(JobService).wait_until_final(job.id, seconds)
            if ended.status.is_final:
                return await self._result(services, ended, seconds)
        headers = {"Location": location_of(request, f"{self._jobs_prefix}/{job.id}")}
        return json_bytes(accepted.model_dump_json().encode(), status=202, headers=headers)

    async def _result(self, services: Services, job: JobRecord, seconds: float) -> Response:
        if job.status is JobStatus.CANCELED:
            raise ConflictError("The job was canceled", code="job-canceled", job_id=job.id)
        if job.status is not JobStatus.COMPLETED:
            raise JobFailedError(job.error, code=job.error_code, job_id=job.id, artifact_id=job.artifact_id)
        found = None
        if job.artifact_id is not None:
            async with services.scope.read() as scope:
                found = await scope.get(ArtifactManager).render_by_id(job.artifact_id)
        if found is None:
            raise NotFoundError(f"The result of job {job.id} was deleted", code="result-deleted")
        headers = {
            "Content-Location": f"{self._artifacts_prefix}/{job.artifact_id}",
            "Preference-Applied": f"wait={seconds:g}",
            "X-Job-ID": job.id,
            "ETag": found[1],
        }
        return json_bytes(found[0], headers=headers)


def seconds_to_wait(prefer: str | None) -> float:
    """Return for how long the header asks to wait; 0 where it does not."""
    found = _wait(prefer) if prefer else None
    return min(MAX_WAIT, float(found[1])) if found else 0.0
