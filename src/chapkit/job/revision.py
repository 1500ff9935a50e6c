"""Another payload for a job that is run again, checked by the handler that has to understand it."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import from_json
from sqlalchemy import select

from chapkit.core.errors import ConfigurationError, ConflictError, UnprocessableError
from chapkit.core.ids import ULID
from chapkit.job.errors import JobNotFoundError
from chapkit.job.ports import JobHandler
from chapkit.job.rows import JOBS
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import Revision


async def revise(runtime: JobRuntime, job_id: ULID, given: Mapping[str, Any]) -> Revision:
    """Return what the job is to do instead, as its handler reads `given`.

    Raises:
        JobNotFoundError: There is no such job (`job-not-found`).
        ConflictError: No feature brings its handler (`job-handler-unknown`).
        ChapkitError: The handler cannot do that.
    """
    columns = (JOBS.c.handler, JOBS.c.payload, JOBS.c.payload_blob, JOBS.c.labels)
    async with runtime.services.scope.read() as scope:
        row = (await scope.session.execute(select(*columns).where(JOBS.c.id == job_id))).one_or_none()
    if row is None:
        raise JobNotFoundError(job_id)
    stored = Revision(from_json(row.payload), row.payload_blob, row.labels)
    return await _handler(runtime, row.handler).revise(runtime.services, stored, given)


def _handler(runtime: JobRuntime, name: str) -> JobHandler:
    try:
        return runtime.handlers.get(name)
    except ConfigurationError as error:
        raise ConflictError(
            f"This service has no handler {name!r} any more, so nobody can tell what another payload means to it; run "
            "the job again as it is, where its handler is, or delete it",
            code=error.code,
            found=name,
        ) from error


def require_known(given: Mapping[str, Any], known: Iterable[str]) -> None:
    """Go on, if every member of a new payload is known.

    Raises:
        UnprocessableError: One is not (`job-payload-invalid`).
    """
    expected = sorted(known)
    unknown = sorted(given.keys() - set(expected))
    if unknown:
        raise UnprocessableError(
            f"The payload of this job has no member {unknown[0]!r}; it may have: {', '.join(expected)}",
            code="job-payload-invalid",
            field=f"payload.{unknown[0]}",
            found=unknown[0],
            expected=expected,
        )
