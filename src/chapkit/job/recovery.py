"""Put the jobs of dead processes back to be run again."""

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.errors import ChapkitError
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.job import statements
from chapkit.job.endings import Outcome, describe
from chapkit.job.ledger import JobLedger
from chapkit.job.liveness import Liveness, Lost, Owner
from chapkit.job.repository import JobRepository
from chapkit.job.rows import JOBS, OWNERS
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobStatus

INTERVAL = 3.0


class JobRecovery:
    """Looks for dead owners at the start and every few seconds."""

    name = "job-recovery"

    def __init__(self, runtime: JobRuntime, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._runtime = runtime
        self._liveness = Liveness(runtime.presence, monotonic)

    async def run(self) -> None:
        """Show that this process lives, and recover, until cancelled, or until it has stopped to work on jobs."""
        await self._runtime.presence.enter()
        # Apart: who waits in a recovery must not be taken for stopped by others.
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._repeat(self._runtime.presence.beat), name="chapkit:job-presence")
            await self._repeat(lambda: self.recover(doubting=True))

    async def _repeat(self, step: Callable[[], Awaitable[object]]) -> None:
        while self._runtime.presence.id is not None:
            try:
                await step()
            except (ChapkitError, SQLAlchemyError, ConnectionError) as error:
                get_logger("chapkit.job").warning("job.recovery_waits", error=describe(error))
            await asyncio.sleep(INTERVAL)

    async def recover(self, *, doubting: bool = False) -> list[ULID]:
        """Give back what dead and stopped processes hold; return the jobs that changed.

        Args:
            doubting: Wait for a second sign that a process is dead, where its lock may be lost while it lives.
        """
        recovered: list[ULID] = []
        lost = await self._list_lost(doubting=doubting or await self._runtime.presence.locks.were_lost())
        for owner, gone in lost.items():
            jobs, is_forgotten = await self._give_back_all(owner, gone.outcome)
            recovered += jobs
            if is_forgotten and gone.lock is not None:
                # Last: as long as its jobs are not given back, the free lock is what tells that it is dead.
                await self._runtime.presence.locks.remove(gone.lock)
        # Running for an owner that has no row: it left while a claim was on its way.
        ownerless = (JOBS.c.status == JobStatus.RUNNING.value) & JOBS.c.owner.not_in(select(OWNERS.c.id))
        if await self._exists(ownerless):
            async with self._giving_back(ownerless, Outcome.RELEASED) as (_, jobs):
                recovered += jobs
        if recovered:
            get_logger("chapkit.job").warning("job.recovered", jobs=recovered)
        if lost or recovered:
            # Also for what a dead process could not tell any more.
            self._runtime.dispatcher.look()
        return recovered

    async def _list_lost(self, *, doubting: bool) -> Mapping[ULID, Lost]:
        """Return the processes that are gone."""
        columns = (OWNERS.c.id, OWNERS.c.lock, OWNERS.c.host, OWNERS.c.pid, OWNERS.c.seen_at)
        async with self._runtime.services.scope.read() as scope:
            owners = [Owner(*row) for row in await scope.session.execute(select(*columns))]
        return await self._liveness.list_lost(owners, doubting=doubting)

    async def _give_back_all(self, owner: ULID, outcome: Outcome) -> tuple[list[ULID], bool]:
        """Return the jobs of a process that were given back, and whether that was all of it."""
        async with self._giving_back(JOBS.c.owner == owner, outcome) as (session, jobs):
            reach("job.recovery.before-owner")
            is_forgotten = await _forget(session, owner)
        return jobs, is_forgotten

    @asynccontextmanager
    async def _giving_back(
        self, whose: ColumnElement[bool], outcome: Outcome
    ) -> AsyncGenerator[tuple[AsyncSession, list[ULID]]]:
        """Give jobs back; those that somebody holds locked come in one of the next turns."""
        async with self._runtime.services.scope.write() as scope:
            ledger = JobLedger(scope.session, self._runtime.clock.now())
            jobs = await ledger.give_back(whose, outcome, skip_locked=True)
            yield scope.session, jobs
            reach("job.recovery.before-commit")
            scope.after_commit(lambda: self._runtime.hub.changed_all(jobs))
        reach("job.recovery.after-commit")
        if jobs:
            self._runtime.dispatcher.freed()

    async def _exists(self, criteria: ColumnElement[bool]) -> bool:
        async with self._runtime.services.scope.read() as scope:
            return await JobRepository(scope.session).exists(criteria)


async def _forget(session: AsyncSession, owner: ULID) -> bool:
    """Remove a process, unless it has jobs or somebody holds its row locked; tell whether it is gone."""
    has_jobs = select(JOBS.c.id).where(statements.HELD, JOBS.c.owner == OWNERS.c.id).exists()
    free = select(OWNERS.c.id).where(OWNERS.c.id == owner, ~has_jobs).with_for_update(skip_locked=True, of=OWNERS)
    await session.execute(delete(OWNERS).where(OWNERS.c.id.in_(free)))
    return await session.scalar(select(OWNERS.c.id).where(OWNERS.c.id == owner)) is None
