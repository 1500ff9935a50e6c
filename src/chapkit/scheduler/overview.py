"""How the schedules of a database are doing: numbers for `/api/v1/system`, and a verdict for `/health`."""

from datetime import datetime
from typing import Any

from sqlalchemy import and_, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.clock import to_text
from chapkit.core.services import Services
from chapkit.job.runtime import JobRuntime
from chapkit.scheduler.repository import ScheduleRepository
from chapkit.scheduler.statements import SCHEDULES
from chapkit.scheduler.worker import ScheduleWorker

TOO_LATE = 60.0
"""Seconds that a tick may be due before somebody should hear of it."""

_RUNS = and_(SCHEDULES.c.enabled, SCHEDULES.c.held_reason.is_(None))
_NUMBERS = select(
    func.count().label("total"),
    func.count(case((and_(_RUNS, SCHEDULES.c.next_run_at.is_not(None)), 1))).label("active"),
    func.count(case((~SCHEDULES.c.enabled, 1))).label("paused"),
    func.count(case((and_(SCHEDULES.c.enabled, SCHEDULES.c.held_reason.is_not(None)), 1))).label("held"),
    func.count(case((and_(_RUNS, SCHEDULES.c.next_run_at.is_(None)), 1))).label("finished"),
)


async def describe_schedules(services: Services) -> dict[str, Any]:
    """Return the numbers of the whole database."""
    now = services.get(JobRuntime).clock.now()
    async with services.scope.read() as scope:
        numbers = (await scope.session.execute(_NUMBERS)).mappings().one()
        moment = await _next_moment(scope.session)
    return {
        **numbers,
        "next_run_at": None if moment is None else to_text(moment),
        "late_seconds": _lateness(moment, now),
        "is_working": services.get(ScheduleWorker).is_working,
    }


async def check_schedules(services: Services) -> tuple[str, str | None]:
    """Tell whether somebody sees to what is due."""
    if not services.get(ScheduleWorker).is_working:
        return "degraded", "The worker of the schedules does not run in this process; see the log, or start it again"
    async with services.scope.read() as scope:
        moment = await _next_moment(scope.session)
    late = _lateness(moment, services.get(JobRuntime).clock.now())
    if moment is not None and late > TOO_LATE:
        return "degraded", f"Since {to_text(moment)} a schedule is due, and nobody has seen to it; see the log for why"
    return "healthy", None


async def _next_moment(session: AsyncSession) -> datetime | None:
    return await ScheduleRepository(session).next_moment()


def _lateness(moment: datetime | None, now: datetime) -> float:
    return 0.0 if moment is None else max(0.0, (now - moment).total_seconds())
