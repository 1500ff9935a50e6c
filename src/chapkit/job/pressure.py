"""Refuse work when too much of it waits already."""

import math
import time
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import SessionTransaction

from chapkit.core.errors import ConfigurationError, TooManyRequestsError
from chapkit.core.transactions import begin_write
from chapkit.job.rows import JOBS
from chapkit.job.schemas import JobStatus

FRESH = 1.0
"""Seconds for which a count is believed; what other processes submit meanwhile may exceed the limit."""
RETRY_AFTER = 5
"""Seconds that a refused client is asked to wait, if it is not known how fast the queue drains."""
_LONGEST_RETRY_AFTER = 60
_SHORTEST_MEASURE = 1.0


class QueueFullError(TooManyRequestsError):
    """So many jobs wait in the queue that it takes no more."""

    def __init__(self, queue: str, length: int, limit: int, retry_after: int) -> None:
        super().__init__(
            f"{length} jobs wait in the queue {queue!r}, which takes {limit}; try again in {retry_after} s",
            code="queue-full",
            retry_after=retry_after,
            queue=queue,
            length=length,
            limit=limit,
        )


class QueuePressure:
    """Keeps queues from growing beyond a number of waiting jobs, due or not.

    Within one process the limit is exact. Jobs that other processes submit are counted once a second, and whenever
    the limit is near.
    """

    def __init__(
        self, limit: int | None = None, *, fresh: float = FRESH, now: Callable[[], float] = time.monotonic
    ) -> None:
        if limit is not None and limit < 1:
            raise ConfigurationError(
                f"A queue must take at least one job, so its limit is 1 or more, or None for no limit; found {limit}",
                code="queue-limit-invalid",
                found=limit,
            )
        self.limit = limit
        self._fresh = fresh
        self._now = now
        self._queues: dict[str, _Queue] = {}

    async def check(self, session: AsyncSession, queue: str, adding: int = 1) -> None:
        """Go on if the queue takes so many more jobs, which the transaction of the session is about to add.

        Raises:
            QueueFullError: It does not (`queue-full`).
        """
        if self.limit is None:
            return
        state = self._queues.setdefault(queue, _Queue())
        # What is added is seen by others when the transaction has ended, so it has to have begun.
        await begin_write(session)
        if state.bound + adding > self.limit or self._now() - state.counted_at > self._fresh:
            await self._count(session, queue, state)
        if state.bound + adding > self.limit:
            retry_after = state.retry_after(state.bound + adding - self.limit)
            raise QueueFullError(queue, state.bound, self.limit, retry_after)
        state.admit(session, adding)

    async def _count(self, session: AsyncSession, queue: str, state: "_Queue") -> None:
        admitted, unseen = state.admitted, state.in_flight(session)
        waiting = JOBS.c.status == JobStatus.PENDING.value, JOBS.c.queue == queue
        length = await session.scalar(select(func.count()).select_from(JOBS).where(*waiting)) or 0
        # Who was admitted while the count was on its way may not be in it.
        state.bound = length + unseen + state.admitted - admitted
        state.counted_at = self._now()
        state.measure(length, admitted, state.counted_at)


@dataclass
class _Admission:
    """Jobs that a transaction adds."""

    transaction: "weakref.ref[SessionTransaction]"
    jobs: int

    @property
    def is_open(self) -> bool:
        """Tell whether others may not see the jobs yet."""
        transaction = self.transaction()
        return transaction is not None and transaction.session.get_transaction() is transaction


@dataclass
class _Queue:
    """What this process knows of a queue."""

    bound: int = 0
    """No more jobs than these wait, but for what other processes submitted since the last count."""
    counted_at: float = -math.inf
    admitted: int = 0
    """Jobs that this process has admitted ever."""
    admissions: list[_Admission] = field(default_factory=list[_Admission])
    rate: float = 0.0
    """Jobs that leave the queue in a second."""
    measured: tuple[float, int, int] | None = None
    """Time, length and number of admitted jobs at the beginning of the measurement."""

    def admit(self, session: AsyncSession, jobs: int) -> None:
        """Count jobs that a transaction is about to add."""
        self.bound += jobs
        self.admitted += jobs
        transaction = cast("SessionTransaction", session.sync_session.get_transaction())
        self.admissions.append(_Admission(weakref.ref(transaction), jobs))

    def in_flight(self, session: AsyncSession) -> int:
        """Return how many jobs are added by transactions that have not ended, without the session's own."""
        self.admissions = [item for item in self.admissions if item.is_open]
        own = session.sync_session.get_transaction()
        return sum(item.jobs for item in self.admissions if item.transaction() is not own)

    def measure(self, length: int, admitted: int, now: float) -> None:
        """Learn from a count how fast the queue drains."""
        if self.measured is None:
            self.measured = now, length, admitted
            return
        then, length_then, admitted_then = self.measured
        if now - then >= _SHORTEST_MEASURE:
            self.rate = max(0.0, (length_then + admitted - admitted_then - length) / (now - then))
            self.measured = now, length, admitted

    def retry_after(self, jobs: int) -> int:
        """Return the seconds in which so many jobs leave the queue, about."""
        if not self.rate:
            return RETRY_AFTER
        return min(_LONGEST_RETRY_AFTER, max(1, math.ceil(jobs / self.rate)))
