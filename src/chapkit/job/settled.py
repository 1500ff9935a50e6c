"""Jobs whose result is there already: written down as completed, so that nobody runs them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy import update

from chapkit.core.database import Database
from chapkit.core.direct import DirectSession
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.job.ledger import JobLedger
from chapkit.job.rows import JOBS, to_wire
from chapkit.job.schemas import JobRecord, JobSpec, JobStatus
from chapkit.job.service import JobService
from chapkit.job.specs import row_of


async def settle(spec: JobSpec, scope: Scope) -> JobRecord:
    """Add a completed job in the caller's transaction; `artifact_id` of the spec is where the result is.

    Raises:
        ConflictError: The key belongs to another request (`idempotency-key-reused`).
        UnprocessableError: The service has no such queue (`job-queue-unknown`).
    """
    jobs = scope.services.get(JobService)
    record = await _settle(spec, jobs, scope.session)
    # The key is known, so this returns the first job, or refuses the key.
    return record or await jobs.submit(spec, scope)


async def settle_alone(spec: JobSpec, services: Services) -> JobRecord | None:
    """Add a completed job in a transaction of its own, quicker than in a unit of work; `None` if its key is known."""
    async with services.get(Database).writing() as session:
        return await _settle(spec, services.get(JobService), session)


async def _settle(spec: JobSpec, jobs: JobService, session: DirectSession) -> JobRecord | None:
    # Nothing waits there, but the same request is refused where there is no result yet.
    jobs.require_queue(spec.queue)
    now = jobs.runtime.clock.now()
    handler = jobs.runtime.handlers.get(spec.handler)
    values = row_of(replace(spec, run_after=None, total_timeout=None, queue_timeout=None), handler, now, owner=None)
    done = {"status": JobStatus.COMPLETED.value, "started_at": now, "finished_at": now, "progress": 1.0}
    values |= {**done, "concurrency_key": None, "concurrency_limit": None}
    if not await JobLedger(session, now).insert(values):
        return None
    return JobRecord.model_validate(to_wire(values))


async def change_job(scope: Scope, job_id: ULID, **values: Any) -> None:
    """Write columns of a job that this transaction has just ended, or that runs in the caller's attempt."""
    columns: Mapping[str, Any] = values
    await scope.session.execute(update(JOBS).where(JOBS.c.id == job_id).values(**columns))
