"""The life of a job, one place: claim, run, record."""

import asyncio
from collections.abc import Iterable

from chapkit.core.errors import ChapkitError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.job.claims import Claim
from chapkit.job.ledger import JobLedger
from chapkit.job.recording import Recorder, describe
from chapkit.job.repository import JobRepository
from chapkit.job.rows import JOBS
from chapkit.job.runs import JobRun
from chapkit.job.runtime import JobRuntime
from chapkit.job.statements import FIND_CLAIMABLE

DEFAULT_SLOTS = 4
LOOK_EVERY = 1.0
"""Seconds between two looks for what other processes have submitted or asked to stop."""
_STOP_PATIENCE = 1.0


class JobEngine:
    """Claims jobs and runs so many of them at once as there are slots."""

    name = "jobs"

    def __init__(self, runtime: JobRuntime, max_concurrency: int | None = None, queue: str = "default") -> None:
        self._runtime = runtime
        self._recorder = Recorder(runtime)
        self._queue = queue
        self._runs: dict[ULID, JobRun] = {}
        self._tasks: dict[ULID, asyncio.Task[None]] = {}
        self._closing = False
        self.slots = _slots(max_concurrency)
        self.is_working = False

    @property
    def running(self) -> int:
        """Number of jobs that run in this process now."""
        return len(self._tasks)

    def set_max_concurrency(self, max_concurrency: int | None) -> None:
        """Run so many jobs at once from now on; those that run go on."""
        self.slots = _slots(max_concurrency)
        self._runtime.dispatcher.wake()

    async def open(self) -> None:
        """Get ready to claim."""
        if self._closing or self._runtime.presence.id is None:
            self._closing = False
            self._runtime.dispatcher.open()
        await self._runtime.presence.enter()

    async def run(self) -> None:
        """Claim and start jobs until cancelled or shut down."""
        await self.open()
        self.is_working = True
        look = False
        try:
            while not self._closing:
                try:
                    look = await self._work(look)
                except (UnavailableError, ConnectionError) as error:
                    get_logger("chapkit.job").warning("job.engine_waits", error=describe(error))
                    await asyncio.sleep(LOOK_EVERY)
        finally:
            self.is_working = False

    async def shutdown(self, timeout: float) -> None:
        """Let running jobs end within `timeout` seconds, then give them back to be run again."""
        self._closing = True
        self._runtime.dispatcher.wake()
        await self._wait_for_tasks(timeout)
        for run in self._runs.values():
            run.abandon()
        await self._wait_for_tasks(_STOP_PATIENCE)
        await self._give_back_all()
        await self._runtime.user_code.close()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self, look: bool) -> bool:
        """Do what is to be done now, wait for news; return whether there were none, so that a look is due."""
        if look and not await self._look():
            return not await self._runtime.dispatcher.wait(LOOK_EVERY)
        while not self._closing:
            self._cancel(self._runtime.dispatcher.take_canceled())
            claim = await self._claim() if self.running < self.slots else None
            if claim is None:
                break
            self._start(claim)
        return not await self._runtime.dispatcher.wait(LOOK_EVERY)

    async def _claim(self) -> Claim | None:
        owner = await self._runtime.presence.enter()
        async with self._runtime.services.scope.write() as scope:
            ledger = JobLedger(scope.session, self._runtime.clock.now())
            return await ledger.claim(owner, self._queue, self._runtime.handlers.names)

    def _start(self, claim: Claim) -> None:
        job_id = claim.fence.job_id
        self._runtime.hub.changed(job_id)
        run = JobRun(self._runtime, self._recorder, claim)
        self._runs[job_id] = run
        task = asyncio.create_task(run.run(), name=f"chapkit:run:{job_id}")
        self._tasks[job_id] = task
        task.add_done_callback(lambda done: self._ended(job_id, done))

    def _ended(self, job_id: ULID, task: asyncio.Task[None]) -> None:
        del self._runs[job_id], self._tasks[job_id]
        if not task.cancelled() and (error := task.exception()) is not None:
            get_logger("chapkit.job").error("job.recording_failed", job_id=job_id, error=describe(error))
        self._runtime.dispatcher.wake()

    def _cancel(self, job_ids: Iterable[ULID]) -> None:
        for job_id in job_ids:
            if job_id in self._runs:
                self._runs[job_id].cancel()

    async def _look(self) -> bool:
        """Hear what other processes want; return whether a claim may succeed."""
        owner = await self._runtime.presence.enter()
        async with self._runtime.services.scope.read() as scope:
            repository = JobRepository(scope.session)
            ledger = JobLedger(scope.session, self._runtime.clock.now())
            held = await repository.list_running(owner)
            wanted = ledger.claimable(owner, self._queue, self._runtime.handlers.names)
            waiting = (await scope.session.execute(FIND_CLAIMABLE, wanted)).first() is not None
        self._cancel(job_id for job_id, asked in held.items() if asked and not self._is_canceling(job_id))
        forgotten = [job_id for job_id in held if job_id not in self._runs]
        if forgotten:
            # Claimed, but the answer of the database was lost on its way.
            await self._give_back(owner, forgotten)
        return waiting or bool(forgotten)

    def _is_canceling(self, job_id: ULID) -> bool:
        return job_id in self._runs and self._runs[job_id].context.cancel_requested

    async def _give_back_all(self) -> None:
        owner = self._runtime.presence.id
        if owner is None:
            return
        try:
            await self._give_back(owner)
        except ChapkitError as error:
            # The next process to start finds that this one is dead.
            get_logger("chapkit.job").error("job.give_back_failed", error=describe(error))

    async def _give_back(self, owner: ULID, only: list[ULID] | None = None) -> None:
        whose = JOBS.c.owner == owner
        if only is not None:
            whose = whose & JOBS.c.id.in_(only)
        async with self._runtime.services.scope.write() as scope:
            ledger = JobLedger(scope.session, self._runtime.clock.now())
            jobs = await ledger.give_back(whose, "released")
            scope.after_commit(lambda: self._runtime.hub.changed_all(jobs))

    async def _wait_for_tasks(self, timeout: float) -> None:
        if self._tasks:
            await asyncio.wait(self._tasks.values(), timeout=timeout)


def _slots(max_concurrency: int | None) -> int:
    return max_concurrency if max_concurrency is not None and max_concurrency > 0 else DEFAULT_SLOTS
