"""Put the jobs of dead processes back to be run again."""

import asyncio
from datetime import timedelta

from sqlalchemy import ColumnElement, delete, select
from sqlalchemy.exc import SQLAlchemyError

from chapkit.core.errors import UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.job.ledger import JobLedger
from chapkit.job.recording import describe
from chapkit.job.repository import JobRepository
from chapkit.job.rows import JOBS, OWNERS
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobStatus

INTERVAL = 3.0
_UNSEEN = timedelta(minutes=1)
"""How long a process must not have shown itself, if its lock cannot be seen from here."""


class JobRecovery:
    """Looks for dead owners at the start and every few seconds."""

    name = "job-recovery"

    def __init__(self, runtime: JobRuntime) -> None:
        self._runtime = runtime

    async def run(self) -> None:
        """Recover until cancelled, or until this process has stopped to work on jobs."""
        await self._runtime.presence.enter()
        while self._runtime.presence.id is not None:
            try:
                await self.recover()
                await self._runtime.presence.beat()
            except (UnavailableError, SQLAlchemyError, ConnectionError) as error:
                get_logger("chapkit.job").warning("job.recovery_waits", error=describe(error))
            await asyncio.sleep(INTERVAL)

    async def recover(self) -> list[ULID]:
        """Give back what dead processes hold; return the jobs that changed."""
        recovered: list[ULID] = []
        for owner, lock in await self._list_dead():
            recovered += await self._give_back(JOBS.c.owner == owner, owner)
            await self._runtime.presence.locks.remove(lock)
        # Running for an owner that has no row: it left while a claim was on its way.
        lost = (JOBS.c.status == JobStatus.RUNNING.value) & JOBS.c.owner.not_in(select(OWNERS.c.id))
        if await self._exists(lost):
            recovered += await self._give_back(lost)
        if recovered:
            get_logger("chapkit.job").warning("job.recovered", jobs=recovered)
            self._runtime.dispatcher.wake()
        return recovered

    async def _list_dead(self) -> list[tuple[ULID, str]]:
        dead: list[tuple[ULID, str]] = []
        async with self._runtime.services.scope.read() as scope:
            statement = select(OWNERS.c.id, OWNERS.c.lock, OWNERS.c.seen_at)
            owners = (await scope.session.execute(statement)).all()
        for owner, lock, seen_at in owners:
            if owner == self._runtime.presence.id:
                continue
            is_free = await self._runtime.presence.locks.is_free(lock)
            unseen = self._runtime.clock.now() - seen_at > _UNSEEN
            if is_free or (is_free is None and unseen):
                dead.append((owner, lock))
        return dead

    async def _give_back(self, whose: ColumnElement[bool], owner: ULID | None = None) -> list[ULID]:
        async with self._runtime.services.scope.write() as scope:
            jobs = await JobLedger(scope.session, self._runtime.clock.now()).give_back(whose, "recovered")
            scope.after_commit(lambda: self._runtime.hub.changed_all(jobs))
            if owner is not None:
                await scope.session.execute(delete(OWNERS).where(OWNERS.c.id == owner))
        return jobs

    async def _exists(self, criteria: ColumnElement[bool]) -> bool:
        async with self._runtime.services.scope.read() as scope:
            return await JobRepository(scope.session).exists(criteria)
