"""A job system on a database of its own, with handlers that a test can hold and let go."""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from sqlalchemy import select

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.core.workers import Supervisor
from chapkit.job.claiming import JobClaims, Queue, Wanted
from chapkit.job.claims import Claim
from chapkit.job.context import JobContext
from chapkit.job.engine import JobEngine
from chapkit.job.feature import JobFeature
from chapkit.job.policies import Retry
from chapkit.job.ports import JobHandler, JobHandlers, JobOutcome
from chapkit.job.rows import JOBS
from chapkit.job.runtime import JobLimits, JobRuntime
from chapkit.job.schemas import JobRecord, JobSpec, JobStatus
from chapkit.job.service import JobService
from chapkit.web.feature import Feature
from tests.things import open_database

PATIENCE = 30.0
"""Seconds that a slow machine may take."""
SELDOM = JobLimits(look_every=1000.0)
"""Nothing is found by chance: what a worker is not told of comes too late for every test."""


class Double(JobHandler):
    """Doubles a number."""

    name: ClassVar[str] = "test.double"

    async def execute(self, context: JobContext) -> JobOutcome:
        return JobOutcome(result=2 * context.payload["value"])


class Held(JobHandler):
    """Says that it has begun and waits on the event loop until it is let go."""

    name: ClassVar[str] = "test.held"

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go = asyncio.Event()
        self.starts = 0

    async def execute(self, context: JobContext) -> JobOutcome:
        self.starts += 1
        self.begun.set()
        await self.go.wait()
        return JobOutcome(result="done")


class Threaded(JobHandler):
    """Waits in a thread until it is let go, whatever is asked of it."""

    name: ClassVar[str] = "test.threaded"

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()
        self.saw_cancel = False

    async def execute(self, context: JobContext) -> JobOutcome:
        await context.run_user_function(self._wait, context)
        return JobOutcome(result="done")

    def _wait(self, context: JobContext) -> None:
        self.begun.set()
        self.go.wait(PATIENCE)
        self.saw_cancel = context.cancel_requested


@dataclass
class Scripted(JobHandler):
    """Does what the test says."""

    name: ClassVar[str] = "test.scripted"

    body: Callable[[JobContext], Awaitable[JobOutcome]]
    failure: Callable[[Scope, BaseException], Awaitable[None]] | None = None
    retry: Retry | None = None
    timeout: float | None = None

    async def execute(self, context: JobContext) -> JobOutcome:
        return await self.body(context)

    async def on_failure(self, scope: Scope, context: JobContext, error: BaseException) -> None:
        if self.failure is not None:
            await self.failure(scope, error)


@dataclass
class Failing(JobHandler):
    """Raises one error after the other; `None`, and the end of them, stand for an attempt that does what it should."""

    name: ClassVar[str] = "test.failing"

    errors: list[BaseException | None] = field(default_factory=list[BaseException | None])
    retry: Retry | None = None
    diagnoses: int = 0

    async def execute(self, context: JobContext) -> JobOutcome:
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        return JobOutcome(result=context.payload)

    async def on_failure(self, scope: Scope, context: JobContext, error: BaseException) -> None:
        self.diagnoses += 1


@dataclass
class Crowd(JobHandler):
    """Counts how many of its jobs run at once, and in which order they began; each waits until it is let go."""

    name: ClassVar[str] = "test.crowd"

    runs: list[JobContext] = field(default_factory=list[JobContext])
    order: list[ULID] = field(default_factory=list[ULID])
    most: int = 0
    go: asyncio.Event = field(default_factory=asyncio.Event)

    async def execute(self, context: JobContext) -> JobOutcome:
        self.runs.append(context)
        self.order.append(context.job_id)
        self.most = max(self.most, len(self.runs))
        try:
            await self.go.wait()
            # Others get the time to come in, if they can.
            await asyncio.sleep(0.005)
        finally:
            self.runs.remove(context)
        return JobOutcome()


@dataclass
class SteppedClock:
    """A clock that stands still until it is moved."""

    moment: datetime = field(default_factory=lambda: datetime(2030, 1, 1, tzinfo=UTC))

    def now(self) -> datetime:
        return self.moment

    def move(self, seconds: float) -> None:
        self.moment += timedelta(seconds=seconds)


@dataclass(frozen=True)
class HandlersFeature(Feature):
    """Adds handlers to the jobs of a service."""

    kind: ClassVar[str] = "test-handlers"

    handlers: tuple[JobHandler, ...] = ()

    def register(self, services: Services) -> None:
        for handler in self.handlers:
            services.get(JobHandlers).add(handler)


class JobSystem:
    """The parts of a running job system."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.runtime = services.get(JobRuntime)
        self.engine = services.get(JobEngine)
        self.jobs = services.get(JobService)

    async def submit(self, handler: str, payload: dict[str, Any] | None = None, **options: Any) -> JobRecord:
        async with self.services.scope.write() as scope:
            return await self.jobs.submit(JobSpec(handler=handler, payload=payload or {}, **options), scope)

    async def pass_time(self, clock: SteppedClock, seconds: float) -> None:
        """Move the clock and let the engine see it."""
        clock.move(seconds)
        self.runtime.dispatcher.wake()

    async def becomes(self, job_id: ULID, status: JobStatus, attempt: int | None = None) -> JobRecord:
        """Wait until the job stands there, after so many attempts."""
        with self.runtime.hub.watching(job_id) as watcher:
            async with asyncio.timeout(PATIENCE):
                while True:
                    record = await self.jobs.get(job_id)
                    if record.status is status and attempt in (None, record.attempt):
                        return record
                    await watcher.wait(0.5)

    async def outcomes(self, job_id: ULID) -> list[str | None]:
        """Return how the attempts at the job have ended."""
        return [attempt.outcome for attempt in await self.jobs.list_attempts(job_id)]

    async def counters(self, job_id: ULID) -> tuple[int, int, int]:
        """Return failures, crashes and suspicions of the job."""
        columns = (JOBS.c.failures, JOBS.c.crashes, JOBS.c.suspicions)
        async with self.services.scope.read() as scope:
            failures, crashes, suspicions = (
                await scope.session.execute(select(*columns).where(JOBS.c.id == job_id))
            ).one()
        return failures, crashes, suspicions

    async def finished(self, job_id: ULID) -> JobRecord:
        record = await self.jobs.wait_until_final(job_id, PATIENCE)
        assert record.status.is_final, record
        return record

    async def completed(self, job_id: ULID) -> JobRecord:
        record = await self.finished(job_id)
        assert record.status is JobStatus.COMPLETED, record
        return record


@asynccontextmanager
async def job_system(
    database: Database, *handlers: JobHandler, start: bool = True, **settings: Any
) -> AsyncGenerator[JobSystem]:
    """Run a job system on the database; without `start` nothing is claimed."""
    services = Services()
    services.add(Database, database)
    feature = JobFeature(**{"shutdown_timeout": 0.0, "limits": SELDOM, **settings})
    feature.register(services)
    HandlersFeature(handlers).register(services)
    supervisor = Supervisor(feature.workers(services) if start else ())
    async with feature.lifespan(services):
        await supervisor.start()
        try:
            yield JobSystem(services)
        finally:
            await supervisor.stop()


@asynccontextmanager
async def another_job_system(url: str, *handlers: JobHandler, **settings: Any) -> AsyncGenerator[JobSystem]:
    """Run a job system on a database as another process would: with connections and a mailbox of its own."""
    database = open_database(url)
    try:
        async with job_system(database, *handlers, **settings) as system:
            yield system
    finally:
        await database.dispose()


async def claim_jobs(system: JobSystem, owner: str = "A" * 26, number: int = 1, **wanted: Any) -> list[Claim]:
    """Take jobs for an owner, running or not."""
    async with system.services.scope.write() as scope:
        claims = JobClaims(scope.session, system.runtime.clock.now(), system.runtime.handlers.claim_statements)
        return await claims.claim(wanted.pop("queue", Queue()), Wanted(owner, number, **wanted))


def compute(seconds: float) -> None:
    """Keep a processor busy for so long."""
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass


async def eventually(check: Callable[[], bool]) -> None:
    """Wait until something that nobody tells of is so."""
    async with asyncio.timeout(PATIENCE):
        while not check():
            await asyncio.sleep(0.002)


async def happens(event: asyncio.Event | threading.Event) -> None:
    """Wait until the event is set."""
    if isinstance(event, asyncio.Event):
        await asyncio.wait_for(event.wait(), PATIENCE)
    else:
        assert await asyncio.to_thread(event.wait, PATIENCE)
