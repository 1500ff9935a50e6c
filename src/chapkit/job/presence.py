"""This process among those that work on jobs."""

import asyncio
import os
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import delete, insert, select, update

from chapkit.core.clock import Clock
from chapkit.core.database import Database
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.core.services import Services
from chapkit.job.claiming import LEASE
from chapkit.job.owners import OwnerLocks, owner_locks
from chapkit.job.rows import JOBS, OWNERS
from chapkit.job.schemas import JobStatus

BEAT = timedelta(seconds=3)


class Presence:
    """An owner row and its lock; every start is a new owner."""

    def __init__(self, services: Services, clock: Clock) -> None:
        self._services = services
        self._clock = clock
        self._id: ULID | None = None
        self._locks: OwnerLocks | None = None
        self._last_beat: datetime | None = None
        self._entering: asyncio.Task[ULID] | None = None
        self.queues: Sequence[str] = ()
        """Queues that this process takes jobs of."""
        self.slots = 0
        """How many jobs it runs at once."""
        self.beats = 0
        """How many times it has shown itself."""

    @property
    def id(self) -> ULID | None:
        """Identifier of this start of the process; `None` before and after its work."""
        return self._id

    @property
    def locks(self) -> OwnerLocks:
        """The locks of the database in use."""
        if self._locks is None:
            self._locks = owner_locks(self._services.get(Database))
        return self._locks

    async def enter(self) -> ULID:
        """Become an owner, unless this process is one."""
        if self._id is not None:
            return self._id
        if self._entering is None:
            self._entering = asyncio.create_task(self._enter())
            self._entering.add_done_callback(self._entered)
        return await asyncio.shield(self._entering)

    async def beat(self) -> None:
        """Show now and then that this process is there, and that its jobs are held."""
        now = self._clock.now()
        if self._id is None or (self._last_beat is not None and _is_recent(self._last_beat, now)):
            return
        await self.locks.keep()
        async with self._services.scope.write() as scope:
            shown = {"seen_at": now, "queues": list(self.queues), "slots": self.slots}
            mine = update(OWNERS).where(OWNERS.c.id == self._id).values(shown).returning(OWNERS.c.id)
            is_known = (await scope.session.execute(mine)).first() is not None
            held = (JOBS.c.owner == self._id, JOBS.c.status == JobStatus.RUNNING.value)
            # In one order and without waiting: those that are about to end are locked by whoever writes that down.
            free = select(JOBS.c.id).where(*held).order_by(JOBS.c.id).with_for_update(skip_locked=True)
            await scope.session.execute(update(JOBS).where(JOBS.c.id.in_(free)).values(lease_until=now + LEASE))
        self._last_beat = now
        self.beats += 1
        if not is_known:
            await self._start_again()

    async def _start_again(self) -> None:
        """Become a new owner: others took this process for dead while it was stopped, and its jobs are theirs."""
        get_logger("chapkit.job").warning("job.owner_was_taken_for_dead", owner=self._id)
        await self.locks.release()
        # If this fails, the next beat finds again that the row is gone.
        await self._enter()

    async def leave(self) -> None:
        """Stop to be an owner; the jobs must have been given back."""
        id, self._id = self._id, None
        locks, self._locks = self._locks, None
        if id is None or locks is None:
            return
        try:
            async with self._services.scope.write() as scope:
                await scope.session.execute(delete(OWNERS).where(OWNERS.c.id == id))
        finally:
            await locks.release()

    async def _enter(self) -> ULID:
        id = ULID()
        lock = await self.locks.acquire(id)
        reach("job.owner.locked")
        try:
            # After the lock: whoever sees the row can tell that its process lives.
            await self._add_row(id, lock)
        except BaseException:
            await self.locks.release()
            raise
        self._id = id
        return id

    async def _add_row(self, id: ULID, lock: str) -> None:
        now = self._clock.now()
        async with self._services.scope.write() as scope:
            await scope.session.execute(
                insert(OWNERS).values(
                    id=id,
                    host=socket.gethostname(),
                    pid=os.getpid(),
                    lock=lock,
                    queues=list(self.queues),
                    slots=self.slots,
                    started_at=now,
                    seen_at=now,
                )
            )
        self._last_beat = now

    def _entered(self, task: asyncio.Task[ULID]) -> None:
        self._entering = None
        if not task.cancelled():
            # Whoever waits raises it too; nobody may be left to.
            task.exception()


def _is_recent(last: datetime, now: datetime) -> bool:
    # A clock that was set back must not silence this process.
    return timedelta() <= now - last < BEAT
