"""What is asked and written at each tick, compiled once."""

from typing import Any, cast

from sqlalchemy import BigInteger, Select, Table, Text, bindparam, insert, or_, select, type_coerce, update

from chapkit.core.columns import UtcDateTime
from chapkit.core.direct import Direct
from chapkit.core.quick import Prepared
from chapkit.job.rows import JOBS
from chapkit.job.schemas import JobStatus
from chapkit.scheduler.models import Schedule, ScheduleTick
from chapkit.scheduler.schemas import TickSource

SCHEDULES = cast("Table", Schedule.__table__)
TICKS = cast("Table", ScheduleTick.__table__)
MOVING = (
    "next_run_at",
    "active",
    "failures",
    "ticks",
    "enabled",
    "paused_reason",
    "last_scheduled_for",
    "last_outcome",
    "last_reason",
    "last_job_id",
)
"""Columns that a tick changes."""


def _select(*columns: Any) -> Select[*tuple[Any, ...]]:
    return select(*columns)


_ID = bindparam("p_id", type_=Text)
_NOW = bindparam("p_now", type_=UtcDateTime)
_IS_DUE = SCHEDULES.c.next_run_at <= _NOW

LIST_DUE = Prepared(
    _select(type_coerce(SCHEDULES.c.id, Text))
    .where(_IS_DUE)
    .order_by(SCHEDULES.c.next_run_at)
    .limit(bindparam("p_limit", type_=BigInteger))
)
NEXT_MOMENT = Prepared(
    _select(type_coerce(SCHEDULES.c.next_run_at, Text).label("next_run_at"))
    .where(SCHEDULES.c.next_run_at.is_not(None))
    .order_by(SCHEDULES.c.next_run_at)
    .limit(1)
)
LOCK_DUE = Direct(
    _select(
        type_coerce(SCHEDULES.c.updated_at, Text).label("updated_at"),
        type_coerce(SCHEDULES.c.next_run_at, Text).label("next_run_at"),
        type_coerce(SCHEDULES.c.active, Text).label("active"),
        SCHEDULES.c.failures,
        SCHEDULES.c.ticks,
    )
    .where(SCHEDULES.c.id == _ID, _IS_DUE)
    .with_for_update(skip_locked=True)
)
"""No row comes back where it is not due any more, or somebody else sees to it."""
MOVE = Direct(
    update(SCHEDULES)
    .where(SCHEDULES.c.id == _ID)
    .values({name: bindparam(f"p_{name}", type_=SCHEDULES.c[name].type) for name in MOVING})
)
INSERT_TICK = Direct(insert(TICKS))
_MOST_LOOKED_AT = 100
_LAST_TICKS = (
    _select(TICKS.c.job_id)
    .where(TICKS.c.schedule_id == _ID, TICKS.c.source != TickSource.BACKFILL.value)
    .order_by(TICKS.c.scheduled_for.desc())
    .limit(_MOST_LOOKED_AT)
    .subquery()
)
LIST_UNFINISHED = Prepared(
    _select(type_coerce(JOBS.c.id, Text))
    .select_from(_LAST_TICKS.join(JOBS, JOBS.c.id == _LAST_TICKS.c.job_id))
    .where(or_(JOBS.c.status == JobStatus.PENDING.value, JOBS.c.status == JobStatus.RUNNING.value))
    .order_by(JOBS.c.id)
)
"""Jobs of the last ticks that wait or run, those included that had ended and that somebody let run again."""
_JOB = _select(JOBS.c.status, JOBS.c.error).where(JOBS.c.id == _ID)
READ_JOB = Prepared(_JOB)
FIND_JOB = Direct(_JOB)
