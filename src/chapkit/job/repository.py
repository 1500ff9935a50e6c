"""Jobs as they are read: records, lists, numbers, events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Text, and_, bindparam, delete, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.ids import ULID
from chapkit.core.quick import Prepared
from chapkit.job.rows import ATTEMPTS, EVENTS, JOBS, WIRE, Row
from chapkit.job.schemas import JobStatus

MAX_EVENTS = 1000
_FIND = Prepared(select(*WIRE).where(JOBS.c.id == bindparam("job_id", type_=Text)))
_NAMES = tuple(str(column.key) for column in WIRE)


@dataclass(frozen=True)
class Standing:
    """Where a job stands: whether it has ended, and the number of its last event, 0 if there is none."""

    is_final: bool = False
    last: int = 0


class JobRepository:
    """Reads columns, never objects; the rows are those of `chapkit.job.rows.WIRE`."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def find(self, job_id: ULID) -> Row | None:
        """Return the job, or `None`."""
        rows = await _FIND.fetch(self.session, job_id=job_id)
        return dict(zip(_NAMES, rows[0], strict=True)) if rows else None

    async def find_by_key(self, key: str) -> Row | None:
        """Return the job that was submitted under this key, with its `fingerprint`."""
        return await self._first(JOBS.c.key == key, more=(JOBS.c.fingerprint,))

    async def find_private(self, job_id: ULID) -> Row | None:
        """Return the job with what clients do not see: `error_traceback`, `result`, `handler`."""
        return await self._first(JOBS.c.id == job_id, more=(JOBS.c.error_traceback, JOBS.c.result, JOBS.c.handler))

    async def labels(self, job_id: ULID, *, lock: bool = False) -> Mapping[str, Any]:
        """Return the labels of the job, none if there is no such job; with `lock` nobody changes it until the end."""
        statement = select(JOBS.c.labels).where(JOBS.c.id == job_id)
        labels: Mapping[str, Any] | None = await self.session.scalar(statement.with_for_update() if lock else statement)
        return labels or {}

    async def list(
        self, *, status: str | None = None, kind: str | None = None, limit: int | None = None, offset: int = 0
    ) -> Sequence[Row]:
        """Return jobs, the newest first."""
        statement = select(*WIRE).where(*_criteria(status, kind)).order_by(JOBS.c.id.desc())
        if limit is not None:
            statement = statement.limit(limit).offset(offset)
        return (await self.session.execute(statement)).mappings().all()

    async def count(self, *, status: str | None = None, kind: str | None = None) -> int:
        """Return the number of jobs."""
        found = await self.session.scalar(select(func.count()).select_from(JOBS).where(*_criteria(status, kind)))
        return found or 0

    async def count_by_status(self) -> dict[JobStatus, int]:
        """Return the number of jobs in each status."""
        rows = await self.session.execute(select(JOBS.c.status, func.count()).group_by(JOBS.c.status))
        counts = dict.fromkeys(JobStatus, 0)
        counts.update({JobStatus(status): number for status, number in rows})
        return counts

    async def find_with_last(self, job_id: ULID) -> tuple[Row, int] | None:
        """Return the job and the number of its last event, 0 if there is none, all of it read at one moment."""
        last = select(func.max(EVENTS.c.number)).where(EVENTS.c.job_id == job_id).scalar_subquery()
        statement = select(*WIRE, last.label("last")).where(JOBS.c.id == job_id)
        row = (await self.session.execute(statement)).mappings().first()
        return None if row is None else (row, row["last"] or 0)

    async def find_standing(self, job_id: ULID) -> Standing | None:
        """Return where the job stands, all of it read at one moment, or `None`."""
        last = select(func.max(EVENTS.c.number)).where(EVENTS.c.job_id == job_id).scalar_subquery()
        row = (await self.session.execute(select(JOBS.c.status, last).where(JOBS.c.id == job_id))).one_or_none()
        return None if row is None else Standing(JobStatus(row[0]).is_final, row[1] or 0)

    async def find_attempt(self, job_id: ULID) -> Row | None:
        """Return `status`, `attempt` and `attempt_started_at` of the job, or `None`."""
        columns = (JOBS.c.status, JOBS.c.attempt, JOBS.c.attempt_started_at)
        return (await self.session.execute(select(*columns).where(JOBS.c.id == job_id))).mappings().first()

    async def list_attempts(self, job_id: ULID) -> Sequence[Row]:
        """Return the attempts that have ended, without the tracebacks of their errors."""
        columns = [column for column in ATTEMPTS.c if column.name != "error_traceback"]
        statement = select(*columns).where(ATTEMPTS.c.job_id == job_id).order_by(ATTEMPTS.c.number)
        return (await self.session.execute(statement)).mappings().all()

    async def list_events(self, job_id: ULID, after: int = 0, limit: int = MAX_EVENTS) -> Sequence[Row]:
        """Return the events behind the one with the number `after`."""
        columns = (EVENTS.c.number, EVENTS.c.kind, EVENTS.c.data, EVENTS.c.created_at)
        behind = and_(EVENTS.c.job_id == job_id, EVENTS.c.number > after)
        statement = select(*columns).where(behind).order_by(EVENTS.c.number).limit(limit)
        return (await self.session.execute(statement)).mappings().all()

    async def list_news(self, job_id: ULID, after: int, limit: int) -> Sequence[Row]:
        """Return the job once for each event behind `after`; once without an event if there is none."""
        news = (EVENTS.c.number, EVENTS.c.kind.label("event_kind"), EVENTS.c.data)
        behind = and_(EVENTS.c.job_id == JOBS.c.id, EVENTS.c.number > after)
        statement = select(*WIRE, *news).select_from(JOBS.outerjoin(EVENTS, behind)).where(JOBS.c.id == job_id)
        return (await self.session.execute(statement.order_by(EVENTS.c.number).limit(limit))).mappings().all()

    async def exists(self, *criteria: ColumnElement[bool]) -> bool:
        """Tell whether there is such a job."""
        return (await self.session.execute(select(JOBS.c.id).where(*criteria).limit(1))).first() is not None

    async def delete(self, job_id: ULID) -> bool:
        """Remove a job that is not running, with its attempts and events."""
        statement = delete(JOBS).where(JOBS.c.id == job_id, JOBS.c.status != JobStatus.RUNNING.value)
        return (await self.session.execute(statement.returning(JOBS.c.id))).first() is not None

    async def _first(self, *criteria: ColumnElement[bool], more: Sequence[ColumnElement[Any]] = ()) -> Row | None:
        return (await self.session.execute(select(*WIRE, *more).where(*criteria))).mappings().first()


def _criteria(status: str | None, kind: str | None) -> tuple[ColumnElement[bool], ...]:
    wanted = {"status": status, "kind": kind}
    return tuple(JOBS.c[name] == str(value) for name, value in wanted.items() if value is not None)
