"""A job system on a database of its own, with handlers that a test can hold and let go."""

import asyncio
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.core.workers import Supervisor
from chapkit.job.claiming import JobClaims, Queue, Wanted
from chapkit.job.claims import Claim
from chapkit.job.context import JobContext
from chapkit.job.engine import JobEngine
from chapkit.job.feature import JobFeature
from chapkit.job.ports import JobHandler, JobHandlers, JobOutcome
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobRecord, JobSpec, JobStatus
from chapkit.job.service import JobService
from chapkit.web.feature import Feature

PATIENCE = 10.0


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

    async def execute(self, context: JobContext) -> JobOutcome:
        return await self.body(context)

    async def on_failure(self, scope: Scope, context: JobContext, error: BaseException) -> None:
        if self.failure is not None:
            await self.failure(scope, error)


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
    feature = JobFeature(**{"shutdown_timeout": 0.0, **settings})
    feature.register(services)
    HandlersFeature(handlers).register(services)
    supervisor = Supervisor(feature.workers(services) if start else ())
    async with feature.lifespan(services):
        await supervisor.start()
        try:
            yield JobSystem(services)
        finally:
            await supervisor.stop()


async def claim_jobs(system: JobSystem, owner: str = "A" * 26, number: int = 1, **wanted: Any) -> list[Claim]:
    """Take jobs for an owner, running or not."""
    async with system.services.scope.write() as scope:
        claims = JobClaims(scope.session, system.runtime.clock.now(), system.runtime.handlers.claim_statements)
        return await claims.claim(wanted.pop("queue", Queue()), Wanted(owner, number, **wanted))


async def happens(event: asyncio.Event | threading.Event) -> None:
    """Wait until the event is set."""
    if isinstance(event, asyncio.Event):
        await asyncio.wait_for(event.wait(), PATIENCE)
    else:
        assert await asyncio.to_thread(event.wait, PATIENCE)
