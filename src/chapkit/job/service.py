"""Jobs for the application's own code: the queue, and callables that run in this process."""

import asyncio
from collections.abc import Collection, Sequence
from typing import Any

from pydantic_core import from_json

from chapkit.core.ids import ULID
from chapkit.job.adhoc import AdHocHandler, JobTarget, name_of
from chapkit.job.engine import DEFAULT_SLOTS, JobEngine
from chapkit.job.errors import JobFailedError, JobNotFoundError, JobResultError
from chapkit.job.pressure import QueuePressure
from chapkit.job.queue import DELETE_PATIENCE, JobQueue
from chapkit.job.repository import JobRepository
from chapkit.job.rows import Row, to_wire
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobRecord, JobSpec, JobStatus


class JobService(JobQueue):
    """The queue, and the scheduler of the first release on top of it."""

    def __init__(
        self,
        runtime: JobRuntime,
        engine: JobEngine,
        queues: Collection[str] | None = None,
        pressure: QueuePressure | None = None,
    ) -> None:
        super().__init__(runtime, queues, pressure)
        self._engine = engine
        self._adhoc = AdHocHandler()
        runtime.handlers.add(self._adhoc)

    async def add_job(self, target: JobTarget, /, *args: Any, **kwargs: Any) -> ULID:
        """Run a callable, coroutine function or awaitable in this process; it does not survive the process.

        The job is written in a unit of work of its own, so call it outside of one that writes.
        """
        job_id = ULID()
        await self.runtime.presence.enter()
        self._adhoc.hold(job_id, target, args, kwargs)
        labels = {"kind": "function", "name": name_of(target)}
        try:
            async with self.runtime.services.scope.write() as scope:
                await self.submit(JobSpec(handler=AdHocHandler.name, labels=labels, durable=False, id=job_id), scope)
        except BaseException:
            self._adhoc.forget(job_id)
            raise
        return job_id

    async def get_status(self, job_id: ULID) -> JobStatus:
        """Return where the job stands.

        Raises:
            JobNotFoundError: There is none (`job-not-found`).
        """
        return (await self.get(job_id)).status

    async def get_record(self, job_id: ULID) -> JobRecord:
        """Return the job with the traceback of its failure, which clients do not see.

        Raises:
            JobNotFoundError: There is none (`job-not-found`).
        """
        row = await self._get_private(job_id)
        return JobRecord.model_validate({**to_wire(row), "error_traceback": row["error_traceback"]})

    async def get_all_records(self) -> Sequence[JobRecord]:
        """Return every job, the newest first."""
        return await self.list()

    async def get_result(self, job_id: ULID) -> Any:
        """Return what the job came to.

        Raises:
            JobFailedError: It failed.
            JobResultError: It has not ended, was canceled, or its result is no longer in memory.
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        row = await self._get_private(job_id)
        if row["status"] == JobStatus.FAILED:
            raise JobFailedError(row["error"], code=row["error_code"])
        if row["status"] != JobStatus.COMPLETED:
            raise JobResultError(f"The job has not finished: it is {row['status']}", code="job-not-finished")
        if self._adhoc.has_result(job_id):
            return self._adhoc.result(job_id)
        if row["handler"] == AdHocHandler.name:
            raise JobResultError("The result of the job is no longer in memory", code="job-result-gone")
        return None if row["result"] is None else from_json(row["result"])

    async def wait(self, job_id: ULID, timeout: float | None = None) -> None:
        """Return when the job has completed.

        Raises:
            Exception: What the callable raised; `JobFailedError` where that is no longer in memory.
            asyncio.CancelledError: The job was canceled.
            TimeoutError: It still runs after `timeout` seconds.
        """
        record = await self.wait_until_final(job_id, timeout)
        if not record.status.is_final:
            raise TimeoutError(f"The job still runs after {timeout} seconds")
        if record.status is JobStatus.CANCELED:
            raise asyncio.CancelledError
        if record.status is JobStatus.FAILED:
            raise self._adhoc.error(job_id) or JobFailedError(record.error, code=record.error_code)

    async def cancel(self, job_id: ULID) -> JobRecord:
        """Cancel a waiting job; ask a running one to stop, which is `canceled` once it has really ended.

        Raises:
            ConflictError: It has ended already (`job-finished`).
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        record = await super().cancel(job_id)
        if record.status.is_final:
            self._adhoc.forget(job_id)
        return record

    async def delete(self, job_id: ULID, timeout: float = DELETE_PATIENCE) -> None:
        """Remove the job, its attempts and its events; a running one is stopped first.

        Raises:
            ConflictError: It did not stop within `timeout` seconds (`job-still-running`).
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        await super().delete(job_id, timeout)
        self._adhoc.forget(job_id)

    async def set_max_concurrency(self, max_concurrency: int | None) -> None:
        """Run so many jobs at once from now on; those that run go on."""
        self._engine.configure(max_concurrency or DEFAULT_SLOTS)

    def open(self) -> None:
        """Accept jobs."""
        self.accepts = True
        self.runtime.hub.open()

    def close(self) -> None:
        """Accept no more jobs, and let nobody wait for one."""
        self.accepts = False
        self.runtime.hub.close()

    def forget_waiting(self) -> None:
        """Drop the callables that did not start."""
        self._adhoc.forget_calls()

    async def _get_private(self, job_id: ULID) -> Row:
        async with self.runtime.services.scope.read() as scope:
            row = await JobRepository(scope.session).find_private(job_id)
        if row is None:
            raise JobNotFoundError(job_id)
        return row
