"""Submit jobs, look at them, stop them."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from chapkit.core.errors import ConflictError, UnavailableError, UnprocessableError
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.services import Scope
from chapkit.job.errors import JobNotFoundError, KeyReusedError
from chapkit.job.granted import KeyedRequest
from chapkit.job.ledger import JobLedger
from chapkit.job.news import JobNews
from chapkit.job.pressure import QueuePressure
from chapkit.job.repository import MAX_EVENTS, JobRepository
from chapkit.job.restart import restart
from chapkit.job.rows import Row, to_wire
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobAttemptRecord, JobEventRecord, JobRecord, JobSpec, JobStats, JobStatus
from chapkit.job.specs import row_of

DELETE_PATIENCE = 10.0
"""Seconds that a deletion waits for a running job to end."""


class JobQueue:
    """The jobs of an application; each method but `submit` is a unit of work of its own."""

    def __init__(
        self, runtime: JobRuntime, queues: Collection[str] | None = None, pressure: QueuePressure | None = None
    ) -> None:
        self.runtime = runtime
        self.queues = queues
        """Names of the queues that there are; any, if `None`."""
        self.pressure = pressure
        self.accepts = True
        """False once the service is about to stop."""

    async def submit(self, spec: JobSpec, scope: Scope) -> JobRecord:
        """Add a job in the caller's transaction; it starts after the commit.

        Raises:
            ConfigurationError: No feature brings the handler (`job-handler-unknown`).
            TooManyRequestsError: Too many jobs wait already (`queue-full`).
            UnprocessableError: The service has no such queue (`job-queue-unknown`).
            ConflictError: The key belongs to another request (`idempotency-key-reused`).
            UnavailableError: The service is about to stop (`service-stopping`).
        """
        if not self.accepts:
            raise UnavailableError("The service is about to stop; try again", code="service-stopping")
        handler = self.runtime.handlers.get(spec.handler)
        self.require_queue(spec.queue)
        now = self.runtime.clock.now()
        values = row_of(spec, handler, now, owner=None if spec.durable else self.runtime.presence.id)
        if self.pressure is not None and not await self._is_known(spec.key, scope):
            await self.pressure.check(scope.session, spec.queue)
        if not await JobLedger(scope.session, now).insert(values):
            return await self._find_first(values, scope, spec.sent_key)
        reach("job.submit.before-commit")
        scope.after_commit(lambda: self._submitted(values["id"]))
        return _record(values)

    async def find_submitted(self, key: str, fingerprint: str | None, sent_key: str) -> JobRecord | None:
        """Return the job that an equal request has submitted under this key, or `None`.

        Raises:
            KeyReusedError: Another request has (`idempotency-key-reused`).
        """
        async with self.runtime.services.scope.read() as scope:
            row = await JobRepository(scope.session).find_by_key(key)
        return None if row is None else _first(row, fingerprint, sent_key)

    async def get(self, job_id: ULID) -> JobRecord:
        """Return the job.

        Raises:
            JobNotFoundError: There is none (`job-not-found`).
        """
        record = await self.find(job_id)
        if record is None:
            raise JobNotFoundError(job_id)
        return record

    async def find(self, job_id: ULID) -> JobRecord | None:
        """Return the job, or `None`."""
        row = await self.find_row(job_id)
        return None if row is None else _record(row)

    async def find_row(self, job_id: ULID) -> Row | None:
        """Return the columns of the job, or `None`."""
        async with self.runtime.services.scope.read() as scope:
            return await JobRepository(scope.session).find(job_id)

    async def list(
        self,
        *,
        status: JobStatus | None = None,
        kind: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> Sequence[JobRecord]:
        """Return jobs, the newest first."""
        async with self.runtime.services.scope.read(scan=limit is None) as scope:
            rows = await JobRepository(scope.session).list(status=status, kind=kind, limit=limit, offset=offset)
        return [_record(row) for row in rows]

    async def stats(self) -> JobStats:
        """Return how many jobs there are."""
        async with self.runtime.services.scope.read() as scope:
            counts = await JobRepository(scope.session).count_by_status()
        return JobStats(total=sum(counts.values()), by_status=counts)

    async def list_attempts(self, job_id: ULID) -> Sequence[JobAttemptRecord]:
        """Return the attempts at the job, the first one first; the last one may still be running.

        Raises:
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        async with self.runtime.services.scope.read() as scope:
            repository = JobRepository(scope.session)
            current = await repository.find_attempt(job_id)
            if current is None:
                raise JobNotFoundError(job_id)
            rows = list(await repository.list_attempts(job_id))
        # It may have ended between the two questions.
        if current["status"] == JobStatus.RUNNING and all(row["number"] != current["attempt"] for row in rows):
            rows.append({"number": current["attempt"], "started_at": current["attempt_started_at"]})
        return [JobAttemptRecord.model_validate(dict(row)) for row in rows]

    async def wait_for_events(
        self, job_id: ULID, after: int = 0, timeout: float = 0.0, limit: int = MAX_EVENTS
    ) -> Sequence[JobEventRecord]:
        """Return what happened behind the event `after`, as soon as there is something; nothing after `timeout`.

        A job that has ended is not waited for.

        Raises:
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        return await JobNews(self.runtime).wait(job_id, after, timeout, limit)

    async def list_events(self, job_id: ULID, after: int = 0, limit: int = MAX_EVENTS) -> Sequence[JobEventRecord]:
        """Return what happened to the job behind the event with the number `after`.

        Raises:
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        return await JobNews(self.runtime).list(job_id, after, limit)

    async def cancel(self, job_id: ULID) -> JobRecord:
        """Cancel a waiting job; ask a running one to stop, which is `canceled` once it has really ended.

        Raises:
            ConflictError: It has ended already (`job-finished`).
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        with self.runtime.dispatcher.urging(job_id) as has_urged:
            async with self.runtime.services.scope.write() as scope:
                row = await self._request_cancel(job_id, scope)
        if row.get("ended_before") and not (has_urged() and row["status"] == JobStatus.CANCELED):
            raise ConflictError(f"The job has ended already: {row['status']}", code="job-finished", found=row["status"])
        return _record(row)

    async def retry(
        self, job_id: ULID, payload: Mapping[str, Any] | None = None, *, key: str | None = None
    ) -> JobRecord:
        """Run a job again that has failed or was canceled, perhaps with another payload.

        Called again with the same key, it returns the job as it is by then.

        Raises:
            ConflictError: It has not ended (`job-not-finished`), has done what it should (`job-completed`), ended
                with its process (`job-not-durable`), or the key belongs to another payload (`idempotency-key-reused`).
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        row = await restart(self.runtime, job_id, payload, None if key is None else KeyedRequest(key, payload))
        return await self.get(job_id) if row is None else _record(row)

    async def delete(self, job_id: ULID, timeout: float = DELETE_PATIENCE) -> None:
        """Remove the job, its attempts and its events; a running one is stopped first.

        Raises:
            ConflictError: It did not stop within `timeout` seconds (`job-still-running`).
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        with self.runtime.dispatcher.urging(job_id):
            if await self._remove(job_id):
                return
            async with self.runtime.services.scope.write() as scope:
                await self._request_cancel(job_id, scope)
        record = await self.wait_until_final(job_id, timeout)
        if not record.status.is_final:
            raise ConflictError(
                f"The job was asked to stop, but still runs after {timeout:g} seconds; try again later",
                code="job-still-running",
            )
        await self._remove(job_id)

    async def wait_until_final(self, job_id: ULID, timeout: float | None = None) -> JobRecord:
        """Return the job when it has ended, or as it is after `timeout` seconds.

        Raises:
            JobNotFoundError: There is no such job, or no longer (`job-not-found`).
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        look_every = self.runtime.limits.look_every
        with self.runtime.hub.watching(job_id) as watcher:
            while True:
                record = await self.get(job_id)
                left = look_every if deadline is None else deadline - loop.time()
                if record.status.is_final or left <= 0 or (deadline is not None and self.runtime.hub.is_closing):
                    return record
                await watcher.wait(min(look_every, left))

    async def _is_known(self, key: str | None, scope: Scope) -> bool:
        return key is not None and await JobRepository(scope.session).find_by_key(key) is not None

    def _submitted(self, job_id: ULID) -> None:
        reach("job.submit.after-commit")
        self.runtime.dispatcher.submitted(job_id)

    def require_queue(self, queue: str, field: str = "queue") -> None:
        """Go on, if the service has such a queue.

        Raises:
            UnprocessableError: It has not (`job-queue-unknown`).
        """
        if self.queues is not None and queue not in self.queues:
            raise UnprocessableError(
                f"There is no queue {queue!r} here; name it in with_jobs(queues={{{queue!r}: None}})",
                code="job-queue-unknown",
                field=field,
                found=queue,
                expected=sorted(self.queues),
            )

    async def _remove(self, job_id: ULID) -> bool:
        async with self.runtime.services.scope.write() as scope:
            # In one step, so that nobody sees the job canceled that is about to go.
            removed = await JobRepository(scope.session).delete(job_id)
            scope.after_commit(lambda: self.runtime.hub.changed(job_id))
        return removed

    async def _request_cancel(self, job_id: ULID, scope: Scope) -> Row:
        row = await JobLedger(scope.session, self.runtime.clock.now()).request_cancel(job_id)
        reach("job.cancel.before-commit")
        if row is None:
            found = await JobRepository(scope.session).find(job_id)
            if found is None:
                raise JobNotFoundError(job_id)
            return {**found, "ended_before": JobStatus(found["status"]).is_final}
        scope.after_commit(lambda: self.runtime.hub.changed(job_id))
        if row["status"] == JobStatus.RUNNING:
            scope.after_commit(lambda: self.runtime.dispatcher.cancel_requested(job_id))
        return row

    async def _find_first(self, values: Mapping[str, Any], scope: Scope, sent_key: str | None = None) -> JobRecord:
        row = await JobRepository(scope.session).find_by_key(values["key"])
        if row is None:
            raise UnavailableError("The job of this key has just been deleted; try again", code="job-key-busy")
        return _first(row, values["fingerprint"], sent_key or values["key"])


def _first(row: Row, fingerprint: str | None, sent_key: str) -> JobRecord:
    if row["fingerprint"] != fingerprint:
        raise KeyReusedError(sent_key)
    return _record(row)


def _record(row: Row) -> JobRecord:
    return JobRecord.model_validate(to_wire(row))
