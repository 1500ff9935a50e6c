"""The life of a job as rows: each step is one statement on the job and one event.

Every step changes the job's row before it adds an event, so that the row's lock keeps the numbers of
the events without a gap.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pydantic_core import to_json
from sqlalchemy import ColumnElement
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.ids import ULID
from chapkit.job import statements
from chapkit.job.claims import Claim, Fence, Report
from chapkit.job.errors import StaleAttemptError
from chapkit.job.rows import Row, changing
from chapkit.job.schemas import JobStatus

LEASE = timedelta(seconds=60)


@dataclass(frozen=True)
class Ending:
    """How an attempt ended."""

    status: JobStatus
    error: str | None = None
    error_code: str | None = None
    error_traceback: str | None = None
    artifact_id: ULID | None = None


class JobLedger:
    """Writes the steps of jobs in the transaction of a session."""

    def __init__(self, session: AsyncSession, now: datetime) -> None:
        self.session = session
        self.now = now

    async def insert(self, values: Mapping[str, Any]) -> bool:
        """Add a job; False when another one has its key."""
        if values.get("key") is None:
            await self.session.execute(statements.INSERT_JOB, values)
        elif (await self.session.execute(self._insert_once(), values)).first() is None:
            return False
        event = {"job_id": values["id"], "number": 1, "kind": "status", "created_at": self.now}
        await self.session.execute(statements.INSERT_FIRST_EVENT, {**event, "data": _text(changing(values))})
        return True

    async def claim(self, owner: str, queue: str, handlers: Sequence[str]) -> Claim | None:
        """Take the next job, in one statement."""
        wanted = {**self.claimable(owner, queue, handlers), "p_lease_until": self.now + LEASE}
        row = (await self.session.execute(statements.CLAIM, wanted)).mappings().first()
        if row is None:
            return None
        fence = Fence(ULID.trusted(row["id"]), row["attempt"], owner)
        attempt = {"job_id": fence.job_id, "number": fence.attempt, "owner": owner, "started_at": self.now}
        await self.session.execute(statements.INSERT_ATTEMPT, attempt)
        await self._add_event(fence.job_id, "status", changing(row))
        artifact_id = None if row["artifact_id"] is None else ULID.trusted(row["artifact_id"])
        return Claim(fence, row["handler"], row["payload"], row["payload_blob"], row["labels"], artifact_id)

    def claimable(self, owner: str, queue: str, handlers: Sequence[str]) -> dict[str, Any]:
        """Return the parameters that say which jobs a process may take."""
        return {"p_owner": owner, "p_queue": queue, "p_handlers": handlers, "p_now": self.now}

    async def report(self, fence: Fence, reports: Sequence[Report]) -> None:
        """Add what a running job told; progress comes last, and only the newest.

        Raises:
            StaleAttemptError: The job is another attempt's.
        """
        progress = next((item.data["progress"] for item in reversed(reports) if item.kind == "progress"), None)
        row = await self._change(statements.REPORT, fence, p_progress=progress)
        for item in reports:
            if item.kind == "log":
                await self._add_event(fence.job_id, "log", item.data)
        if progress is not None:
            await self._add_event(fence.job_id, "progress", changing(row))

    async def finish(self, fence: Fence, ending: Ending) -> None:
        """Give the job its final status.

        Raises:
            StaleAttemptError: The job is another attempt's, or it was asked to stop and this is no cancellation.
        """
        row = await self._change(
            statements.FINISH,
            fence,
            p_now=self.now,
            p_asked=ending.status is JobStatus.CANCELED,
            p_status=ending.status.value,
            p_error=ending.error,
            p_error_code=ending.error_code,
            p_error_traceback=ending.error_traceback,
            p_artifact_id=ending.artifact_id,
            p_progress=1.0 if ending.status is JobStatus.COMPLETED else None,
        )
        await self._end_attempt(fence.job_id, ending.status.value, ending)
        await self._add_event(fence.job_id, "status", changing(row))

    async def store_result(self, job_id: ULID, result: bytes) -> None:
        """Keep a small result in the row of a job that this transaction has just finished."""
        await self.session.execute(statements.STORE_RESULT, {"p_job_id": job_id, "p_result": result.decode()})

    async def request_cancel(self, job_id: ULID) -> Row | None:
        """Cancel a waiting job, or ask a running one to stop; `None` if there is nothing to be done."""
        wanted = {"p_job_id": job_id, "p_now": self.now}
        row = (await self.session.execute(statements.REQUEST_CANCEL, wanted)).mappings().first()
        if row is None:
            return None
        if row["status"] == statements.CANCELED:
            await self._add_event(job_id, "status", changing(row))
        else:
            await self._add_event(job_id, "log", {"level": "info", "message": "The job was asked to stop"})
        return row

    async def give_back(self, whose: ColumnElement[bool], reason: str) -> list[ULID]:
        """Let jobs whose process is gone, or about to go, be taken by another one; return those that changed."""
        found = await self.session.execute(statements.GIVE_BACK.where(whose), {"p_now": self.now})
        rows = found.mappings().all()
        for row in rows:
            await self._end_attempt(row["id"], reason)
            await self._add_event(row["id"], "status", {**changing(row), "reason": reason})
        return [ULID.trusted(row["id"]) for row in rows]

    def _insert_once(self) -> Any:
        if self.session.get_bind().dialect.name == "sqlite":
            return statements.INSERT_JOB_ON_SQLITE
        return statements.INSERT_JOB_ON_POSTGRESQL

    async def _change(self, statement: Any, fence: Fence, **values: Any) -> Row:
        wanted = {"p_job_id": fence.job_id, "p_attempt": fence.attempt, "p_owner": fence.owner, **values}
        row: Row | None = (await self.session.execute(statement, wanted)).mappings().first()
        if row is None:
            raise StaleAttemptError
        return row

    async def _end_attempt(self, job_id: str, outcome: str, ending: Ending | None = None) -> None:
        values = {
            "p_job_id": job_id,
            "p_now": self.now,
            "p_outcome": outcome,
            "p_error": ending.error if ending else None,
            "p_error_traceback": ending.error_traceback if ending else None,
        }
        await self.session.execute(statements.END_ATTEMPT, values)

    async def _add_event(self, job_id: str, kind: str, data: Mapping[str, Any]) -> None:
        values = {"p_job_id": job_id, "p_kind": kind, "p_data": _text(data), "p_now": self.now}
        await self.session.execute(statements.INSERT_EVENT, values)


def _text(data: Mapping[str, Any]) -> str:
    return to_json(data, fallback=str).decode()
