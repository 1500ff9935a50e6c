"""Let a job run again because somebody wants it."""

from collections.abc import Mapping
from typing import Any

from chapkit.core.errors import ChapkitError, ConflictError
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.services import Scope
from chapkit.job.errors import JobNotFoundError
from chapkit.job.granted import KeyedRequest
from chapkit.job.ledger import RETRY_KEYS, JobLedger
from chapkit.job.repository import JobRepository
from chapkit.job.revision import revise
from chapkit.job.rows import Row
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobStatus


async def restart(
    runtime: JobRuntime, job_id: ULID, payload: Mapping[str, Any] | None, wish: KeyedRequest | None
) -> Row | None:
    """Return the job, which waits again; `None` where it was run again for this wish before.

    Raises:
        ConflictError: It cannot be run again, or the wish had another payload then.
        JobNotFoundError: There is no such job (`job-not-found`).
    """
    async with runtime.services.scope.read() as scope:
        if await _is_granted(scope, job_id, wish):
            return None
    revision = None if payload is None else await revise(runtime, job_id, payload)
    async with runtime.services.scope.write() as scope:
        # Asked once more, as an equal wish may have come at the same time.
        if await _is_granted(scope, job_id, wish, lock=True):
            return None
        row = await JobLedger(scope.session, runtime.clock.now()).restart(job_id, revision, wish)
        reach("job.retry.before-commit")
        if row is None:
            raise await _why_not(JobRepository(scope.session), job_id)
        scope.after_commit(lambda: runtime.hub.changed(job_id))
        scope.after_commit(lambda: runtime.dispatcher.submitted(job_id))
    return row


async def _is_granted(scope: Scope, job_id: ULID, wish: KeyedRequest | None, *, lock: bool = False) -> bool:
    if wish is None:
        return False
    labels = await JobRepository(scope.session).labels(job_id, lock=lock)
    return wish.is_among(labels.get(RETRY_KEYS, ()))


async def _why_not(repository: JobRepository, job_id: ULID) -> ChapkitError:
    row = await repository.find(job_id)
    if row is None:
        return JobNotFoundError(job_id)
    status = JobStatus(row["status"])
    if not status.is_final:
        return ConflictError(f"The job has not ended: it is {status}", code="job-not-finished", found=status)
    if status is JobStatus.COMPLETED:
        return ConflictError("The job has done what it should; submit another one", code="job-completed")
    return ConflictError(
        "The function of the job was held in the memory of its process; submit it again", code="job-not-durable"
    )
