"""The events of a job, also those that are still to come."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic_core import from_json

from chapkit.core.ids import ULID
from chapkit.job.errors import JobNotFoundError
from chapkit.job.repository import JobRepository, Standing
from chapkit.job.rows import Row
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobEventRecord


@dataclass(frozen=True)
class JobNews:
    """Reads what happened behind an event, in units of work of its own; none is open while it waits."""

    runtime: JobRuntime

    async def wait(self, job_id: ULID, after: int, timeout: float, limit: int) -> Sequence[JobEventRecord]:
        """Return what happened behind the event `after`, as soon as there is something, or can be nothing any more.

        Raises:
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout
        with self.runtime.hub.watching(job_id) as watcher:
            while True:
                rows, standing = await self._read(job_id, after, limit)
                left = deadline - loop.time()
                if rows or left <= 0 or self.runtime.hub.is_closing:
                    return [_record(row) for row in rows]
                if standing.last > after:
                    # It came in between.
                    continue
                if standing.is_final:
                    return []
                await watcher.wait(min(self.runtime.limits.look_every, left))

    async def list(self, job_id: ULID, after: int, limit: int) -> Sequence[JobEventRecord]:
        """Return what happened behind the event `after`.

        Raises:
            JobNotFoundError: There is no such job (`job-not-found`).
        """
        rows, _ = await self._read(job_id, after, limit)
        return [_record(row) for row in rows]

    async def _read(self, job_id: ULID, after: int, limit: int) -> tuple[Sequence[Row], Standing]:
        """Return the events, and where the job stands if there are none."""
        async with self.runtime.services.scope.read() as scope:
            repository = JobRepository(scope.session)
            rows = await repository.list_events(job_id, after, limit)
            standing = Standing() if rows else await repository.find_standing(job_id)
        if standing is None:
            raise JobNotFoundError(job_id)
        return rows, standing


def _record(row: Row) -> JobEventRecord:
    return JobEventRecord(
        number=row["number"], kind=row["kind"], data=from_json(row["data"]), created_at=row["created_at"]
    )
