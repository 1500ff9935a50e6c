"""Rows of schedules and of their ticks."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, cast

from sqlalchemy import BigInteger, Select, Table, Text, bindparam, delete, func, insert, select, type_coerce, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.columns import UtcDateTime
from chapkit.core.ids import ULID
from chapkit.core.quick import Prepared
from chapkit.core.repository import BaseRepository
from chapkit.job.rows import JOBS
from chapkit.scheduler.models import Schedule, ScheduleTick

SCHEDULES = cast("Table", Schedule.__table__)
TICKS = cast("Table", ScheduleTick.__table__)
KEPT_TICKS = 1000
"""Ticks of one schedule that are kept, about; older ones go."""
_PRUNE_EVERY = 100
_IDS_PER_STATEMENT = 500

_now = bindparam("now", type_=UtcDateTime)
_DUE = Prepared(
    cast(
        "Select[Any]",
        select(type_coerce(SCHEDULES.c.id, Text))
        .where(SCHEDULES.c.next_run_at <= _now)
        .order_by(SCHEDULES.c.next_run_at)
        .limit(bindparam("limit", type_=BigInteger)),
    )
)
_NEXT = Prepared(
    cast(
        "Select[Any]",
        select(type_coerce(SCHEDULES.c.next_run_at, Text).label("next_run_at"))
        .where(SCHEDULES.c.next_run_at.is_not(None))
        .order_by(SCHEDULES.c.next_run_at)
        .limit(1),
    )
)
_JOB = (JOBS.c.id, JOBS.c.status, JOBS.c.error, JOBS.c.error_code, JOBS.c.finished_at)


class ScheduleRepository(BaseRepository[Schedule]):
    """Finds schedules that are due, and keeps their ticks."""

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(session, Schedule)

    async def list_due(self, now: datetime, limit: int) -> list[ULID]:
        """Return the schedules that are due, the latest ones last."""
        return [ULID.trusted(row[0]) for row in await _DUE.fetch(self.session, now=now, limit=limit)]

    async def next_moment(self) -> datetime | None:
        """Return when a schedule is due next; in the past where nobody has seen to it yet."""
        rows = await _NEXT.fetch(self.session)
        return None if not rows else _as_datetime(rows[0][0])

    async def lock_due(self, id: ULID, now: datetime) -> Schedule | None:
        """Return a schedule if it is due and nobody else sees to it, locked until the transaction ends."""
        statement = (
            select(Schedule)
            .where(Schedule.id == id, Schedule.next_run_at <= now)
            .with_for_update(skip_locked=True)
            .execution_options(populate_existing=True)
        )
        return (await self.session.scalars(statement)).one_or_none()

    async def write(self, id: ULID, values: Mapping[str, Any]) -> None:
        """Change columns without the schedule counting as changed by anybody: its `updated_at` stays."""
        await self.session.execute(update(SCHEDULES).where(SCHEDULES.c.id == id).values(**values))

    async def list_of_task(self, task_id: ULID) -> Sequence[Schedule]:
        """Return the schedules of a task, by id, locked until the transaction ends if it writes."""
        statement = select(Schedule).where(Schedule.task_id == task_id).order_by(Schedule.id)
        return (await self.session.scalars(statement)).all()

    async def list_managed(self) -> Sequence[Schedule]:
        """Return the schedules that the code of a service declares."""
        return (await self.session.scalars(select(Schedule).where(Schedule.code_key.is_not(None)))).all()

    async def find_jobs(self, ids: Iterable[str]) -> dict[str, Mapping[Any, Any]]:
        """Return `id`, `status`, `error`, `error_code` and `finished_at` of the jobs that there are."""
        wanted = sorted(set(ids))
        found: dict[str, Mapping[Any, Any]] = {}
        for start in range(0, len(wanted), _IDS_PER_STATEMENT):
            statement = select(*_JOB).where(JOBS.c.id.in_(wanted[start : start + _IDS_PER_STATEMENT]))
            found.update({row["id"]: row for row in (await self.session.execute(statement)).mappings()})
        return found

    async def known_ticks(self, id: ULID, moments: Sequence[datetime]) -> dict[datetime, Mapping[Any, Any]]:
        """Return the rows of those moments that were seen to already."""
        found: dict[datetime, Mapping[Any, Any]] = {}
        for start in range(0, len(moments), _IDS_PER_STATEMENT):
            part = moments[start : start + _IDS_PER_STATEMENT]
            statement = select(TICKS).where(TICKS.c.schedule_id == id, TICKS.c.scheduled_for.in_(part))
            found.update({row["scheduled_for"]: row for row in (await self.session.execute(statement)).mappings()})
        return found

    async def add_ticks(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ticks down; one of them that is there already is an error."""
        if rows:
            await self.session.execute(insert(TICKS), [dict(row) for row in rows])

    async def put_tick(self, row: Mapping[str, Any]) -> None:
        """Write a tick down in the place of one that came to nothing."""
        dialect = sqlite if self.dialect == "sqlite" else postgresql
        statement = dialect.insert(TICKS).values(**row)
        changes = {name: statement.excluded[name] for name in ("source", "outcome", "reason", "job_id", "created_at")}
        await self.session.execute(
            statement.on_conflict_do_update(index_elements=["schedule_id", "scheduled_for"], set_=changes)
        )

    async def prune_ticks(self, id: ULID, before: int, now: int) -> None:
        """Take the oldest ticks away, each time that their number passes a hundred."""
        if before // _PRUNE_EVERY == now // _PRUNE_EVERY or now <= KEPT_TICKS:
            return
        oldest = (
            select(TICKS.c.scheduled_for)
            .where(TICKS.c.schedule_id == id)
            .order_by(TICKS.c.scheduled_for.desc())
            .offset(KEPT_TICKS)
            .limit(1)
            .scalar_subquery()
        )
        await self.session.execute(delete(TICKS).where(TICKS.c.schedule_id == id, TICKS.c.scheduled_for <= oldest))

    async def list_runs(self, id: ULID, limit: int, offset: int = 0) -> Sequence[Mapping[Any, Any]]:
        """Return the ticks with the status of their jobs, the newest first."""
        job = (JOBS.c.status.label("job_status"), JOBS.c.error.label("job_error"))
        columns = [column for column in TICKS.c if column.name != "schedule_id"]
        statement = (
            select(*columns, *job, JOBS.c.error_code.label("job_error_code"))
            .select_from(TICKS.outerjoin(JOBS, JOBS.c.id == TICKS.c.job_id))
            .where(TICKS.c.schedule_id == id)
            .order_by(TICKS.c.scheduled_for.desc())
            .limit(limit)
            .offset(offset)
        )
        return (await self.session.execute(statement)).mappings().all()

    async def count_runs(self, id: ULID) -> int:
        """Return the number of ticks that are kept."""
        return await self.session.scalar(select(func.count()).select_from(TICKS).where(TICKS.c.schedule_id == id)) or 0


def _as_datetime(value: str | datetime) -> datetime:
    return datetime.fromisoformat(value) if isinstance(value, str) else value
