"""The life of a job as rows: each step is one statement on the job and one event.

Every step changes the job's row before it adds an event, so that the row's lock keeps the numbers of
the events without a gap.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any, cast

from pydantic_core import to_json
from sqlalchemy import ColumnElement, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.direct import Direct, DirectSession, Row, is_on_sqlite
from chapkit.core.ids import ULID
from chapkit.job import statements
from chapkit.job.claims import Fence, Report
from chapkit.job.endings import Ending, Outcome
from chapkit.job.errors import StaleAttemptError
from chapkit.job.granted import KeyedRequest
from chapkit.job.rows import JOBS, as_datetime, changing
from chapkit.job.schemas import JobStatus, Revision

RETRY_KEYS = "retry_keys"
"""Label of a job under which the keys stand that have let it run again."""
EARLIER_ARTIFACTS = "earlier_artifacts"
"""Label of a job under which the identifiers stand that its earlier runs had for their artifacts."""
_SUSPECT_PAUSE = timedelta(seconds=10)


class JobLedger:
    """Writes the steps of jobs in the transaction of a session."""

    def __init__(self, session: DirectSession, now: datetime) -> None:
        self.session = session
        self.now = now
        self._gathers = False
        self._gathered: dict[Direct, list[dict[str, Any]]] = {}

    @asynccontextmanager
    async def together(self) -> AsyncGenerator[None]:
        """Write the attempts and events of all steps inside of the block at its end; nobody reads them before."""
        self._gathers = True
        yield
        self._gathers = False
        gathered, self._gathered = self._gathered, {}
        for statement, rows in gathered.items():
            await statement.run(self.session, *rows)

    async def insert(self, values: Mapping[str, Any]) -> bool:
        """Add a job; False when another one has its key."""
        if values.get("key") is None:
            await statements.INSERT_JOB.run(self.session, values)
        elif await self._insert_once.first(self.session, values) is None:
            return False
        await self._add(statements.INSERT_EVENT, self._event(values["id"], 1, "status", changing(values)))
        return True

    async def report(self, fence: Fence, reports: Sequence[Report]) -> None:
        """Add what a running job told; progress comes last, and only the newest.

        Raises:
            StaleAttemptError: The job is another attempt's.
        """
        told = [item for item in reports if item.kind == "progress"][-1:]
        lines = [item for item in reports if item.kind == "log"]
        progress = told[0].data["progress"] if told else None
        row = await self._change(statements.REPORT, fence, p_progress=progress, p_events=len(lines) + len(told))
        data = [("log", item.data) for item in lines]
        data += [("progress", {**changing(row), **_message(item)}) for item in told]
        first = row["events"] - len(data) + 1
        events = [self._event(fence.job_id, first + place, *each) for place, each in enumerate(data)]
        await self._add(statements.INSERT_EVENT, *events)

    async def end(self, fence: Fence, ending: Ending, result: bytes | None = None) -> None:
        """Write the end of an attempt: the job has its final status, or waits for another attempt.

        Raises:
            StaleAttemptError: The job is another attempt's, or it was asked to stop and this is no cancellation.
        """
        values = {f"p_{name}": getattr(ending, name) for name in _ENDING}
        if ending.is_final:
            values |= {
                "p_asked": ending.was_asked,
                "p_status": ending.status.value,
                "p_artifact_id": ending.artifact_id,
                "p_progress": 1.0 if ending.status is JobStatus.COMPLETED else None,
                "p_result": None if result is None else result.decode(),
            }
            row = await self._change(statements.FINISH, fence, **values)
            more: dict[str, Any] = {}
        else:
            row = await self._change(statements.RETRY, fence, **values, p_run_after=ending.run_after)
            reason = "held" if ending.outcome is Outcome.RELEASED else "retry"
            more = {"reason": reason, "run_after": ending.run_after}
        await self._add_attempt(row, fence.owner, ending)
        await self.add_status_events([row], **more)

    async def store_result(self, job_id: ULID, result: bytes) -> None:
        """Keep a small result in the row of a job that this transaction has just finished."""
        await statements.STORE_RESULT.run(self.session, {"p_job_id": job_id, "p_result": result.decode()})

    async def request_cancel(self, job_id: ULID) -> Row | None:
        """Cancel a waiting job, or ask a running one to stop; `None` if there is nothing to be done."""
        row = await statements.REQUEST_CANCEL.first(self.session, {"p_job_id": job_id, "p_now": self.now})
        if row is None:
            return None
        if row["status"] == statements.CANCELED:
            await self.add_status_events([row])
        else:
            line = {"level": "info", "message": "The job was asked to stop"}
            await self._add(statements.INSERT_EVENT, self._event(job_id, row["events"], "log", line))
        return row

    async def give_back(self, whose: ColumnElement[bool], outcome: Outcome, *, skip_locked: bool = False) -> list[ULID]:
        """Let jobs whose process is gone, or about to go, be taken by another one; return those that changed.

        What ran while the whole service died is suspect: it may have been the cause.

        Args:
            skip_locked: Leave out, instead of waiting for them, the rows that somebody holds, for he may be stopped.
        """
        columns = (JOBS.c.id, JOBS.c.attempt, JOBS.c.owner, JOBS.c.status)
        held = await self._orm.execute(
            select(*columns).where(statements.HELD, whose).order_by(JOBS.c.id).with_for_update(skip_locked=skip_locked)
        )
        changed: list[ULID] = []
        for job_id, attempt, owner, status in held.all():
            values = {
                "p_job_id": job_id,
                "p_attempt": attempt,
                "p_now": self.now,
                "p_suspicion": int(outcome is Outcome.RECOVERED),
                "p_later": self.now + _SUSPECT_PAUSE,
            }
            # It is locked, or this is the only writer: nobody has changed it since.
            [row] = await statements.GIVE_BACK.fetch(self.session, values)
            if status == statements.RUNNING:
                await self._add_attempt(row, owner, Ending(status=JobStatus(row["status"]), outcome=outcome))
            await self.add_status_events([row], reason=outcome.value)
            changed.append(job_id)
        return changed

    async def expire(self) -> list[ULID]:
        """Fail the waiting jobs whose time is over; return them."""
        rows = await statements.EXPIRE.fetch(self.session, {"p_now": self.now})
        await self.add_status_events(rows)
        return [ULID.trusted(row["id"]) for row in rows]

    async def restart(
        self, job_id: ULID, revision: Revision | None = None, wish: KeyedRequest | None = None
    ) -> Row | None:
        """Let a job that has failed, or was canceled, wait as if it were new; `None` where that cannot be."""
        columns = (JOBS.c.artifact_id, JOBS.c.total_timeout, JOBS.c.labels)
        row = (await self._orm.execute(select(*columns).where(JOBS.c.id == job_id).with_for_update())).one_or_none()
        if row is None:
            return None
        values = {
            "p_job_id": job_id,
            "p_now": self.now,
            "p_payload": None if revision is None else to_json(revision.payload).decode(),
            "p_payload_blob": None if revision is None else revision.blob,
            # What explains the failure may stand under the first one.
            "p_artifact_id": None if row.artifact_id is None else ULID(),
            "p_deadline": None if row.total_timeout is None else self.now + timedelta(seconds=row.total_timeout),
        }
        changed = await statements.RESTART.first(self.session, values)
        if changed is not None:
            labels = _labels(row, revision, wish)
            if labels != row.labels:
                await self._orm.execute(update(JOBS).where(JOBS.c.id == job_id).values(labels=labels))
            await self.add_status_events([changed], reason="restarted")
        return changed

    async def add_status_events(self, rows: Sequence[Row], **more: Any) -> None:
        """Tell of jobs as they have just become."""
        events = [self._event(row["id"], row["events"], "status", {**changing(row), **more}) for row in rows]
        await self._add(statements.INSERT_EVENT, *events)

    @property
    def _orm(self) -> AsyncSession:
        return cast("AsyncSession", self.session)

    @property
    def _insert_once(self) -> Any:
        if is_on_sqlite(self.session):
            return statements.INSERT_KEYED_ON_SQLITE
        return statements.INSERT_KEYED_ON_POSTGRESQL

    async def _change(self, statement: Any, fence: Fence, **values: Any) -> Row:
        wanted = {"p_job_id": fence.job_id, "p_attempt": fence.attempt, "p_owner": fence.owner, "p_now": self.now}
        row: Row | None = await statement.first(self.session, {**wanted, **values})
        if row is None:
            raise StaleAttemptError
        return row

    async def _add(self, statement: Direct, *rows: dict[str, Any]) -> None:
        if self._gathers:
            self._gathered.setdefault(statement, []).extend(rows)
        else:
            await statement.run(self.session, *rows)

    async def _add_attempt(self, row: Row, owner: str, ending: Ending) -> None:
        attempt = {
            "job_id": ULID.trusted(row["id"]),
            "number": row["attempt"],
            "owner": owner,
            "started_at": as_datetime(row["attempt_started_at"]),
            "finished_at": self.now,
            "outcome": ending.outcome.value,
            "error": ending.error,
            "error_code": ending.error_code,
            "error_traceback": ending.error_traceback,
            "cpu_seconds": ending.usage.cpu_seconds,
            "peak_memory": ending.usage.peak_memory,
        }
        await self._add(statements.INSERT_ATTEMPT, attempt)

    def _event(self, job_id: str, number: int, kind: str, data: Mapping[str, Any]) -> dict[str, Any]:
        text = to_json(data, fallback=str).decode()
        return {"job_id": ULID.trusted(job_id), "number": number, "kind": kind, "data": text, "created_at": self.now}


_ENDING = ("error", "error_code", "error_traceback", "failures", "crashes")


def _labels(row: Any, revision: Revision | None, wish: KeyedRequest | None) -> dict[str, Any]:
    """Return the labels of a job that is run again."""
    labels = dict(row.labels if revision is None else revision.labels)
    # Those of the row as it is now: a revision was made from what it was before it was locked.
    granted, earlier = row.labels.get(RETRY_KEYS, ()), row.labels.get(EARLIER_ARTIFACTS, ())
    if wish is not None:
        granted = wish.added_to(granted)
    if row.artifact_id is not None:
        earlier = [*earlier, str(row.artifact_id)]
    more = {RETRY_KEYS: granted, EARLIER_ARTIFACTS: earlier}
    return labels | {name: values for name, values in more.items() if values}


def _message(report: Report) -> dict[str, Any]:
    return {name: value for name, value in report.data.items() if name == "message"}
