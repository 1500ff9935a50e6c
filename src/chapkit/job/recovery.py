"""Put the jobs of dead processes back to be run again."""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.exc import SQLAlchemyError

from chapkit.core.errors import UnavailableError
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.job.claiming import LEASE
from chapkit.job.endings import Outcome, describe
from chapkit.job.ledger import JobLedger
from chapkit.job.repository import JobRepository
from chapkit.job.rows import JOBS, OWNERS
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobStatus

INTERVAL = 3.0
STOPPED_AFTER = 3 * LEASE.total_seconds()
"""Seconds without a sign of life after which a process that still holds its lock is taken for stopped."""


@dataclass(frozen=True)
class _Sight:
    """When another process was last seen to have moved, by the clock and the beats of this one."""

    seen_at: datetime
    noticed_at: float
    beats: int


@dataclass(frozen=True)
class _Lost:
    """A process that is gone: what became of its attempts, and the lock that it leaves, if it is dead."""

    outcome: Outcome
    lock: str | None = None


class JobRecovery:
    """Looks for dead owners at the start and every few seconds."""

    name = "job-recovery"

    def __init__(self, runtime: JobRuntime, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._monotonic = monotonic
        self._sights: dict[ULID, _Sight] = {}

    async def run(self) -> None:
        """Recover until cancelled, or until this process has stopped to work on jobs."""
        await self._runtime.presence.enter()
        while self._runtime.presence.id is not None:
            try:
                await self._runtime.presence.beat()
                await self.recover()
            except (UnavailableError, SQLAlchemyError, ConnectionError) as error:
                get_logger("chapkit.job").warning("job.recovery_waits", error=describe(error))
            await asyncio.sleep(INTERVAL)

    async def recover(self) -> list[ULID]:
        """Give back what dead and stopped processes hold; return the jobs that changed."""
        recovered: list[ULID] = []
        lost = await self._list_lost()
        for owner, gone in lost.items():
            recovered += await self._give_back(JOBS.c.owner == owner, gone.outcome, owner)
            if gone.lock is not None:
                # Last: as long as its jobs are not given back, the free lock is what tells that it is dead.
                await self._runtime.presence.locks.remove(gone.lock)
        # Running for an owner that has no row: it left while a claim was on its way.
        ownerless = (JOBS.c.status == JobStatus.RUNNING.value) & JOBS.c.owner.not_in(select(OWNERS.c.id))
        if await self._exists(ownerless):
            recovered += await self._give_back(ownerless, Outcome.RELEASED)
        if recovered:
            get_logger("chapkit.job").warning("job.recovered", jobs=recovered)
        if lost or recovered:
            # Also for what a dead process could not tell any more.
            self._runtime.dispatcher.look()
        return recovered

    async def _list_lost(self) -> Mapping[ULID, _Lost]:
        """Return the processes that are gone."""
        async with self._runtime.services.scope.read() as scope:
            statement = select(OWNERS.c.id, OWNERS.c.lock, OWNERS.c.seen_at)
            owners = (await scope.session.execute(statement)).all()
        known = {owner for owner, _, _ in owners}
        self._sights = {owner: sight for owner, sight in self._sights.items() if owner in known}
        lost: dict[ULID, _Lost] = {}
        for owner, lock, seen_at in owners:
            if owner == self._runtime.presence.id:
                continue
            if await self._runtime.presence.locks.is_free(lock):
                lost[owner] = _Lost(Outcome.RECOVERED, lock)
            elif self._is_stopped(owner, seen_at):
                lost[owner] = _Lost(Outcome.TAKEN_OVER)
        return lost

    def _is_stopped(self, owner: ULID, seen_at: datetime) -> bool:
        """Tell whether a process has not moved for long, while this one could have seen it move."""
        now = self._monotonic()
        beats = self._runtime.presence.beats
        sight = self._sights.get(owner)
        if sight is None or sight.seen_at != seen_at:
            self._sights[owner] = _Sight(seen_at, now, beats)
            return False
        # Who writes for long lets nobody show himself; then this process could not either.
        needed = STOPPED_AFTER / INTERVAL / 2
        return now - sight.noticed_at > STOPPED_AFTER and beats - sight.beats >= needed

    async def _give_back(self, whose: ColumnElement[bool], outcome: Outcome, owner: ULID | None = None) -> list[ULID]:
        async with self._runtime.services.scope.write() as scope:
            jobs = await JobLedger(scope.session, self._runtime.clock.now()).give_back(whose, outcome)
            reach("job.recovery.before-owner")
            if owner is not None:
                await scope.session.execute(delete(OWNERS).where(OWNERS.c.id == owner))
            reach("job.recovery.before-commit")
            scope.after_commit(lambda: self._runtime.hub.changed_all(jobs))
        reach("job.recovery.after-commit")
        return jobs

    async def _exists(self, criteria: ColumnElement[bool]) -> bool:
        async with self._runtime.services.scope.read() as scope:
            return await JobRepository(scope.session).exists(criteria)
