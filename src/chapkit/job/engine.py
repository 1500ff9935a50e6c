"""The life of a job, one place: claim, run, record."""

import asyncio
import math
from collections.abc import Collection, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement

from chapkit.core.database import Database
from chapkit.core.errors import ChapkitError, UnavailableError
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.core.workers import Backoff
from chapkit.job import statements
from chapkit.job.claiming import JobClaims, Queue, Wanted, claimable
from chapkit.job.claims import Claim, Fence
from chapkit.job.endings import Outcome, describe
from chapkit.job.ledger import JobLedger
from chapkit.job.recording import Recorder
from chapkit.job.rows import JOBS, as_datetime
from chapkit.job.runs import JobRun
from chapkit.job.runtime import JobRuntime

DEFAULT_SLOTS = 4
_STOP_PATIENCE = 1.0
_PAUSE_AFTER_ERROR = 1.0
_LOCKED_OUT = Backoff(first=0.05, factor=2.0, longest=1.0)
"""Until a job is tried again that could be taken, but is locked by somebody who may leave it as it is."""
_ASK_EVERY = 0.5
"""Seconds between two questions for what is too late, while all slots are in use."""


class JobEngine:
    """Claims jobs and runs so many of them at once as there are slots."""

    name = "jobs"

    def __init__(self, runtime: JobRuntime, slots: int = DEFAULT_SLOTS, queues: Sequence[Queue] = (Queue(),)) -> None:
        self._runtime = runtime
        self._recorder = Recorder(runtime)
        self._queues = list(queues)
        self._known = {queue.name: queue for queue in queues}
        # By attempt: a job may come back before its last attempt here has quite ended.
        self._runs: dict[Fence, JobRun] = {}
        self._tasks: dict[Fence, asyncio.Task[None]] = {}
        self._closing = False
        self._expects_more = False
        self._lock_outs = 0
        self._asked_at = -math.inf
        self.slots = slots
        self.is_working = False

    @property
    def running(self) -> int:
        """Number of jobs that run in this process now."""
        return len(self._tasks)

    @property
    def queues(self) -> Sequence[Queue]:
        """Queues that this process takes jobs of."""
        return tuple(self._queues)

    def takes(self, queue: str) -> bool:
        """Tell whether this process takes jobs of the queue."""
        return self.slots > 0 and any(each.name == queue for each in self._queues)

    def configure(self, concurrency: int | None = None, queues: Sequence[str] | None = None) -> None:
        """Run so many jobs at once, of these queues, from now on; those that run go on."""
        if concurrency is not None:
            self.slots = concurrency
        if queues is not None:
            self._queues = [self._known.get(name, Queue(name)) for name in queues]
        self._describe()
        self._runtime.dispatcher.wake()

    async def open(self) -> None:
        """Get ready to claim."""
        if self._closing or self._runtime.presence.id is None:
            self._closing = False
            self._runtime.dispatcher.open()
        self._describe()
        await self._runtime.presence.enter()

    async def run(self) -> None:
        """Claim and start jobs until cancelled or shut down."""
        await self.open()
        self.is_working = True
        try:
            while not self._closing:
                try:
                    await self._work()
                except (UnavailableError, ConnectionError) as error:
                    get_logger("chapkit.job").warning("job.engine_waits", error=describe(error))
                    await asyncio.sleep(_PAUSE_AFTER_ERROR)
                    self._runtime.dispatcher.look()
        finally:
            self.is_working = False

    def stop(self) -> None:
        """Take no more jobs; those that run go on."""
        self._closing = True
        self._runtime.dispatcher.wake()

    async def shutdown(self, timeout: float) -> None:
        """Let running jobs end within `timeout` seconds, then give them back to be run again."""
        self.stop()
        await self._wait_for_tasks(timeout)
        for run in self._runs.values():
            run.release()
        await self._wait_for_tasks(_STOP_PATIENCE)
        await self._give_back_all()
        await self._runtime.user_code.close()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        """Do what is to be done now, then wait for news."""
        dispatcher = self._runtime.dispatcher
        self._cancel(dispatcher.take_canceled())
        if dispatcher.take_look():
            await self._look()
        begun = self._runtime.clock.now()
        while self.slots > self.running and not self._closing:
            is_guess = self._expects_more
            claims = await self._claim()
            if not claims and not is_guess:
                break
            for claim in claims:
                self._start(claim)
        await dispatcher.wait(await self._patience(begun))

    async def _claim(self) -> list[Claim]:
        owner = await self._runtime.presence.enter()
        is_guess = self._expects_more
        queues = await self._list_promising(owner)
        is_locked_out = False
        claims: list[Claim] = []
        served: list[str] = []
        wanted = self.slots - self.running
        if queues:
            asked = self._asked()
            async with self._runtime.services.get(Database).writing(durable=False) as session:
                claiming = JobClaims(session, self._runtime.clock.now(), asked)
                for queue in queues:
                    taken = await claiming.claim(queue, self._wanted(owner, claims))
                    served += [queue.name] if taken else []
                    claims += taken
            is_locked_out = claiming.missed and not claims and not is_guess
            reach("job.claim.after-commit")
        self._lock_outs = self._lock_outs + 1 if is_locked_out else 0
        # In turn, so that no queue starves another.
        self._queues.sort(key=lambda queue: queue.name in served)
        # Where there was enough, there is probably more.
        self._expects_more = len(claims) >= wanted
        return claims

    async def _list_promising(self, owner: ULID) -> list[Queue]:
        """Return the queues that have something for this process; reading costs less than beginning to write."""
        if self._expects_more:
            return list(self._queues)
        wanted = self._wanted(owner, ())
        async with self._runtime.services.scope.read() as scope:
            now, first = self._runtime.clock.now(), self._asked().first
            found = [await first.fetch(scope.session, **claimable(queue.name, wanted, now)) for queue in self._queues]
        return [queue for queue, rows in zip(self._queues, found, strict=True) if rows]

    def _wanted(self, owner: ULID, taken: Sequence[Claim]) -> Wanted:
        claims = (*taken, *(run.context.claim for run in self._runs.values()))
        free = self.slots - self.running - len(taken)
        return Wanted(owner, free, takes_suspects=not any(claim.is_suspect for claim in claims))

    def _asked(self) -> statements.ClaimStatements:
        return self._runtime.handlers.claim_statements

    def _start(self, claim: Claim) -> None:
        fence = claim.fence
        self._runtime.hub.changed(fence.job_id)
        run = JobRun(self._runtime, self._recorder, claim)
        self._runs[fence] = run
        task = asyncio.create_task(run.run(), name=f"chapkit:run:{fence.job_id}")
        self._tasks[fence] = task
        task.add_done_callback(lambda done: self._ended(fence, done))

    def _ended(self, fence: Fence, task: asyncio.Task[None]) -> None:
        run = self._runs.pop(fence)
        del self._tasks[fence]
        if not task.cancelled() and (error := task.exception()) is not None:
            get_logger("chapkit.job").error("job.recording_failed", job_id=fence.job_id, error=describe(error))
            # Still held by this process, but nobody works on it. What failed at once may fail again.
            asyncio.get_running_loop().call_later(_PAUSE_AFTER_ERROR, self._runtime.dispatcher.look)
        if run.context.claim.is_limited:
            self._runtime.dispatcher.freed()
        else:
            self._runtime.dispatcher.wake()

    def _cancel(self, job_ids: Collection[ULID]) -> None:
        for fence, run in self._runs.items() if job_ids else ():
            if fence.job_id in job_ids and not run.context.cancel_requested:
                run.cancel()

    async def _look(self) -> None:
        """Hear what other processes want, and see to jobs that nobody sees to."""
        owner = await self._runtime.presence.enter()
        async with self._runtime.services.scope.read() as scope:
            asked = await statements.ASKED_TO_STOP.fetch(scope.session, p_owner=owner)
            held = await statements.HELD_BY.fetch(scope.session, p_owner=owner)
        self._cancel({ULID.trusted(row[0]) for row in asked})
        fences = {Fence(ULID.trusted(job_id), attempt, owner) for job_id, attempt in held}
        for fence, run in self._runs.items():
            if fence not in fences:
                # It has ended just now, or others took this process for dead or stopped and have taken the job over.
                run.release()
        forgotten = [fence.job_id for fence in fences - self._runs.keys()]
        if forgotten:
            # Claimed, but the answer of the database was lost on its way.
            await self._give_back((JOBS.c.owner == owner) & JOBS.c.id.in_(forgotten), skip_locked=True)

    async def _patience(self, begun: datetime) -> float:
        """Return the seconds until something is due that nobody will tell of, and was not when the claims began."""
        longest = self._runtime.limits.look_every
        if self._closing:
            return longest
        if self._lock_outs:
            longest = min(longest, _LOCKED_OUT.delay(self._lock_outs - 1))
        is_full = self.running >= self.slots
        pause = self._asked_at + _ASK_EVERY - asyncio.get_running_loop().time()
        if is_full and pause > 0:
            # What is too late only has to be told, which must not hold up those who have enough to do.
            return min(longest, pause)
        self._asked_at = asyncio.get_running_loop().time()
        now = self._runtime.clock.now()
        async with self._runtime.services.scope.read() as scope:
            # What has become due meanwhile must not be passed over.
            [(due, expiry)] = await statements.NEXT_MOMENTS.fetch(scope.session, p_now=begun)
        if expiry is not None and _seconds(now, expiry) <= 0:
            if await self._expire():
                return 0.0
            # It is locked, and tried again, but not at once.
            longest, expiry = min(longest, _LOCKED_OUT.longest), None
        moments = (expiry,) if is_full else (due, expiry)
        return max(0.0, min([longest, *(_seconds(now, moment) for moment in moments if moment is not None)]))

    async def _expire(self) -> bool:
        async with self._runtime.services.scope.write() as scope:
            jobs = await JobLedger(scope.session, self._runtime.clock.now()).expire()
            scope.after_commit(lambda: self._runtime.hub.changed_all(jobs))
        return bool(jobs)

    async def _give_back_all(self) -> None:
        owner = self._runtime.presence.id
        if owner is None:
            return
        whose = JOBS.c.owner == owner
        try:
            await self._give_back(whose, skip_locked=True)
            # Mostly nothing is left, else it is worth a wait that the database limits.
            await self._give_back(whose)
        except ChapkitError as error:
            # The next process to start finds that this one is dead.
            get_logger("chapkit.job").error("job.give_back_failed", error=describe(error))

    async def _give_back(self, whose: ColumnElement[bool], *, skip_locked: bool = False) -> None:
        async with self._runtime.services.scope.write() as scope:
            ledger = JobLedger(scope.session, self._runtime.clock.now())
            jobs = await ledger.give_back(whose, Outcome.RELEASED, skip_locked=skip_locked)
            reach("job.release.before-commit")
            scope.after_commit(lambda: self._runtime.hub.changed_all(jobs))
        if jobs:
            self._runtime.dispatcher.freed()

    async def _wait_for_tasks(self, timeout: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout)

    def _describe(self) -> None:
        self._runtime.presence.slots = self.slots
        self._runtime.presence.queues = [queue.name for queue in self._queues] if self.slots else []


def _seconds(now: datetime, moment: str | datetime) -> float:
    there = as_datetime(moment)
    return 0.0 if there is None else (there - now).total_seconds()
