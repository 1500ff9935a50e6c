"""Rows of schedules and of their ticks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic_core import from_json
from sqlalchemy import Text, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.ids import ULID
from chapkit.core.repository import BaseRepository
from chapkit.job.rows import JOBS, as_datetime
from chapkit.scheduler import statements
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.refusals import ScheduleNotFoundError
from chapkit.scheduler.statements import SCHEDULES, TICKS

KEPT_TICKS = 1000
"""Ticks of one schedule that are kept, about; older ones go."""
_PRUNE_EVERY = 100
_IDS_PER_STATEMENT = 500
_NAMES = '%"task":%'
_FEW = 5
"""Jobs that are faster looked for one by one, by a statement that is ready."""

_JOB = (JOBS.c.id, JOBS.c.status, JOBS.c.error, JOBS.c.error_code, JOBS.c.finished_at)


@dataclass(frozen=True)
class Locked:
    """What can be another one than when the schedule was read, although nobody has changed it."""

    active: Sequence[str]
    failures: int
    ticks: int


class ScheduleRepository(BaseRepository[Schedule]):
    """Finds schedules that are due, and keeps their ticks."""

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(session, Schedule)

    async def require(self, id: ULID, *, lock: bool = False) -> Schedule:
        """Return the schedule, locked until the transaction ends if wanted.

        Raises:
            ScheduleNotFoundError: There is none (`schedule-not-found`).
        """
        found = await (self.find_for_update(id) if lock else self.find_by_id(id))
        if found is None:
            raise ScheduleNotFoundError(id)
        return found

    async def list_due(self, now: datetime, limit: int) -> list[ULID]:
        """Return the schedules that are due, the latest ones last."""
        rows = await statements.LIST_DUE.fetch(self.session, p_now=now, p_limit=limit)
        return [ULID.trusted(row[0]) for row in rows]

    async def next_moment(self) -> datetime | None:
        """Return when a schedule is due next; in the past where nobody has seen to it yet."""
        rows = await statements.NEXT_MOMENT.fetch(self.session)
        return as_datetime(rows[0][0]) if rows else None

    async def lock_due(self, seen: Schedule, now: datetime) -> Locked | None:
        """Lock a schedule until the transaction ends; `None` where it is not as it was seen, or another one has it."""
        row = await statements.LOCK_DUE.first(self.session, {"p_id": seen.id, "p_now": now})
        if row is None:
            return None
        if (as_datetime(row["updated_at"]), as_datetime(row["next_run_at"])) != (seen.updated_at, seen.next_run_at):
            return None
        return Locked(from_json(row["active"]), row["failures"], row["ticks"])

    async def move(self, schedule: Schedule, changes: Mapping[str, Any]) -> None:
        """Write what a tick changes, without the schedule counting as changed by anybody: its `updated_at` stays."""
        values = {f"p_{name}": changes.get(name, getattr(schedule, name)) for name in statements.MOVING}
        await statements.MOVE.run(self.session, {"p_id": schedule.id, **values})

    async def write(self, id: ULID, values: Mapping[str, Any]) -> None:
        """Change columns without the schedule counting as changed by anybody: its `updated_at` stays."""
        await self.session.execute(update(SCHEDULES).where(SCHEDULES.c.id == id).values(**values))

    async def list_of_task(self, task_id: ULID, *, lock: bool = False) -> Sequence[Schedule]:
        """Return the schedules of a task, by id; locked until the transaction ends, if wanted."""
        statement = select(Schedule).where(Schedule.task_id == task_id).order_by(Schedule.id)
        if lock:
            statement = statement.with_for_update().execution_options(populate_existing=True)
        return (await self.session.scalars(statement)).all()

    async def list_untied(self, target: str, name: str | None = None, *, lock: bool = False) -> Sequence[Schedule]:
        """Return the schedules that name a task which was not there, by id; those of one name, if it is given."""
        wanted = (Schedule.target == target, Schedule.task_id.is_(None), SCHEDULES.c.arguments.cast(Text).like(_NAMES))
        statement = select(Schedule).where(*wanted).order_by(Schedule.id)
        if lock:
            statement = statement.with_for_update().execution_options(populate_existing=True)
        found = (await self.session.scalars(statement)).all()
        return [schedule for schedule in found if name in (None, schedule.arguments.get("task"))]

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

    async def list_marked(self, ids: Sequence[str], label: str, value: str) -> set[str]:
        """Return those of the jobs that have a label with this value."""
        found: set[str] = set()
        for start in range(0, len(ids), _IDS_PER_STATEMENT):
            statement = select(JOBS.c.id, JOBS.c.labels).where(JOBS.c.id.in_(ids[start : start + _IDS_PER_STATEMENT]))
            found |= {id for id, labels in await self.session.execute(statement) if labels.get(label) == value}
        return found

    async def job_states(self, ids: Sequence[str], *, writes: bool) -> list[tuple[str, str, str | None]]:
        """Return id, status and error of the jobs that there are, in this order; `writes` where a transaction does."""
        if len(ids) > _FEW:
            jobs = await self.find_jobs(ids)
            return [(job_id, jobs[job_id]["status"], jobs[job_id]["error"]) for job_id in ids if job_id in jobs]
        found: list[tuple[str, str, str | None]] = []
        for job_id in ids:
            if writes:
                row = await statements.FIND_JOB.first(self.session, {"p_id": job_id})
                found += [] if row is None else [(job_id, row["status"], row["error"])]
            else:
                rows = await statements.READ_JOB.fetch(self.session, p_id=job_id)
                found += [(job_id, row[0], row[1]) for row in rows]
        return found

    async def list_unfinished(self, id: ULID) -> list[str]:
        """Return the jobs of the last ticks that have not ended, those included that run again, by id."""
        return [row[0] for row in await statements.LIST_UNFINISHED.fetch(self.session, p_id=id)]

    async def add_ticks(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write ticks down; one of them that is there already is an error."""
        await statements.INSERT_TICK.run(self.session, *rows)

    async def put_tick(self, row: Mapping[str, Any]) -> None:
        """Write a tick down in the place of one that came to nothing."""
        dialect = sqlite if self.dialect == "sqlite" else postgresql
        statement = dialect.insert(TICKS).values(**row)
        changes = {name: statement.excluded[name] for name in ("source", "outcome", "reason", "job_id", "created_at")}
        await self.session.execute(
            statement.on_conflict_do_update(index_elements=["schedule_id", "scheduled_for"], set_=changes)
        )

    async def count_ticks(self, schedule: Schedule, number: int) -> None:
        """Count ticks that were written down beside those of the trigger, and take the oldest ones away."""
        await self.write(schedule.id, {"ticks": schedule.ticks + number})
        await self.prune_ticks(schedule.id, schedule.ticks, schedule.ticks + number)

    async def prune_ticks(self, id: ULID, before: int, now: int) -> None:
        """Take away the ticks that were decided on first, each time that their number passes a hundred."""
        if before // _PRUNE_EVERY == now // _PRUNE_EVERY or now <= KEPT_TICKS:
            return
        oldest = (
            select(TICKS.c.created_at)
            .where(TICKS.c.schedule_id == id)
            .order_by(TICKS.c.created_at.desc())
            .offset(KEPT_TICKS - 1)
            .limit(1)
            .scalar_subquery()
        )
        await self.session.execute(delete(TICKS).where(TICKS.c.schedule_id == id, TICKS.c.created_at < oldest))

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
