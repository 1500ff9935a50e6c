"""How the jobs of a database are doing: numbers for `/api/v1/system`, and a verdict for `/health`."""

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sqlalchemy import Select, case, func, select
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.clock import Clock, to_text
from chapkit.core.services import Services
from chapkit.job.rows import JOBS, OWNERS
from chapkit.job.schemas import JobStatus

UNSERVED = timedelta(seconds=60)
"""How long a job may wait in a queue that nobody serves before somebody should hear of it."""
UNSEEN = timedelta(seconds=60)
"""How long after its last sign of life a process counts as one that works."""
BELIEVED = 1.0
"""Seconds for which a verdict is given again without a look at the database."""

Verdict: TypeAlias = tuple[str, str | None]
"""State (`healthy`, `degraded`, `unhealthy`) and message."""

_PENDING, _RUNNING = JobStatus.PENDING.value, JobStatus.RUNNING.value
_WAITS = JOBS.c.status == _PENDING
_RUNNING_BY_OWNER = select(JOBS.c.owner, func.count()).where(JOBS.c.status == _RUNNING).group_by(JOBS.c.owner)


def _waiting_queues() -> Select[Any]:
    # From one name to the next one in the index; a plain DISTINCT reads every waiting job.
    found = select(func.min(JOBS.c.queue).label("queue")).where(_WAITS).cte("waiting_queues", recursive=True)
    following = select(func.min(JOBS.c.queue)).where(_WAITS, JOBS.c.queue > found.c.queue).scalar_subquery()
    found = found.union_all(select(following).where(found.c.queue.is_not(None)))
    return select(found.c.queue).where(found.c.queue.is_not(None))


_WAITING_QUEUES = _waiting_queues()


@dataclass
class QueueLength:
    """How many jobs of one queue wait and run."""

    due: int = 0
    """They could start now."""
    later: int = 0
    """They wait for their time: a schedule, or the pause before another attempt."""
    running: int = 0


async def describe_jobs(session: AsyncSession, now: datetime, **settings: Any) -> dict[str, Any]:
    """Return the numbers of the whole database; `settings` are shown as they are, for limits and the like."""
    queues, oldest = await _queues(session, now)
    return {
        "waiting": sum(queue.due + queue.later for queue in queues.values()),
        "running": sum(queue.running for queue in queues.values()),
        "oldest_waiting": None if oldest is None else to_text(oldest),
        "oldest_waiting_seconds": None if oldest is None else max(0.0, (now - oldest).total_seconds()),
        "queues": {name: asdict(queue) for name, queue in sorted(queues.items())},
        "workers": await _workers(session),
        **settings,
    }


async def check_jobs(session: AsyncSession, now: datetime, queues: Collection[str] | None = None) -> Verdict:
    """Tell whether every job that could start has somebody, in whatever process, who takes jobs of its queue.

    Args:
        session: Where the jobs are.
        now: The present moment.
        queues: Those that this service has; any, if `None`.
    """
    waiting = set((await session.scalars(_WAITING_QUEUES)).all())
    if not waiting:
        return "healthy", None
    alive = select(OWNERS.c.queues).where(OWNERS.c.seen_at > now - UNSEEN)
    served = {queue for queues in (await session.scalars(alive)).all() for queue in queues}
    for queue in sorted(waiting - served):
        oldest = await _oldest_due(session, now, queue)
        if oldest is not None and now - oldest > UNSERVED:
            return "degraded", (
                f"Since {to_text(oldest)} a job waits in the queue {queue!r}, and no process takes jobs of that queue; "
                f"{_remedy(queue, queues)}"
            )
    return "healthy", None


def _remedy(queue: str, queues: Collection[str] | None) -> str:
    if queues is None or queue in queues:
        return f"start one: chapkit worker module:app --queues {queue}"
    return (
        f"this service has it no longer: name it in with_jobs(queues={{{queue!r}: None}}) until its jobs are done, or "
        "cancel them"
    )


class JobCheck:
    """The health check of the jobs; cheap enough to be asked at any rate.

    Args:
        is_working: Tells whether the engine of this process runs; `None` where this process is to run no jobs.
        queues: Those that the service has; any, if `None`.
    """

    def __init__(
        self,
        clock: Clock,
        is_working: Callable[[], bool | None],
        now: Callable[[], float] = time.monotonic,
        *,
        queues: Collection[str] | None = None,
    ) -> None:
        self._queues = queues
        self._clock = clock
        self._is_working = is_working
        self._now = now
        self._verdict: Verdict = ("healthy", None)
        self._believed_until = float("-inf")

    async def __call__(self, services: Services) -> Verdict:
        """Return the present verdict, or the last one if it is not older than a second."""
        if self._is_working() is False:
            return "unhealthy", "The job engine does not run; waiting jobs are not started: restart the service"
        if self._now() >= self._believed_until:
            async with services.scope.read() as scope:
                self._verdict = await check_jobs(scope.session, self._clock.now(), self._queues)
            self._believed_until = self._now() + BELIEVED
        return self._verdict


async def _queues(session: AsyncSession, now: datetime) -> tuple[Mapping[str, QueueLength], datetime | None]:
    """Return how long each queue is, and since when the job could start that waits the longest."""
    # All in one pass, over what the index of the claims holds.
    statement = (
        select(
            JOBS.c.queue,
            JOBS.c.status,
            func.count(),
            func.sum(case((JOBS.c.run_after > now, 1), else_=0)),
            func.min(case((JOBS.c.run_after <= now, JOBS.c.run_after))),
        )
        .where(JOBS.c.status.in_((_PENDING, _RUNNING)))
        .group_by(JOBS.c.status, JOBS.c.queue)
    )
    queues: dict[str, QueueLength] = {}
    waiting: list[datetime] = []
    for name, status, number, later, oldest in await session.execute(statement):
        queue = queues.setdefault(name, QueueLength())
        if status == _RUNNING:
            queue.running = number
        else:
            queue.due, queue.later = number - later, later
            waiting += [] if oldest is None else [oldest]
    return queues, min(waiting, default=None)


async def _oldest_due(session: AsyncSession, now: datetime, queue: str) -> datetime | None:
    """Return since when the job of a queue could start that waits the longest."""
    statement = select(func.min(JOBS.c.run_after)).where(_WAITS, JOBS.c.queue == queue, JOBS.c.run_after <= now)
    moment: datetime | None = await session.scalar(statement)
    return moment


async def _workers(session: AsyncSession) -> list[dict[str, Any]]:
    running = {row[0]: row[1] for row in await session.execute(_RUNNING_BY_OWNER)}
    owners = (await session.execute(select(OWNERS).order_by(OWNERS.c.id))).mappings().all()
    return [
        {
            "id": str(owner["id"]),
            "host": owner["host"],
            "pid": owner["pid"],
            "queues": owner["queues"],
            "slots": owner["slots"],
            "started_at": to_text(owner["started_at"]),
            "seen_at": to_text(owner["seen_at"]),
            "running": running.get(owner["id"], 0),
        }
        for owner in owners
    ]
