"""Schedules on a job system whose clock a test moves."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.core.workers import Supervisor
from chapkit.job.context import JobContext
from chapkit.job.feature import JobFeature
from chapkit.job.ports import JobHandler, JobOutcome
from chapkit.job.schemas import JobRecord, JobStatus
from chapkit.job.service import JobService
from chapkit.job.targets import JobTarget, JobTargets
from chapkit.scheduler.backfills import Backfills
from chapkit.scheduler.feature import ScheduleFeature
from chapkit.scheduler.firing import Firing
from chapkit.scheduler.manager import ScheduleManager
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.on_demand import OnDemand
from chapkit.scheduler.repository import ScheduleRepository
from chapkit.scheduler.schemas import ScheduleIn, ScheduleOut, ScheduleRun
from chapkit.scheduler.worker import ScheduleWorker
from tests.unit.job.parts import PATIENCE, HandlersFeature, SteppedClock

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@dataclass
class Note(JobHandler):
    """Remembers which ticks it ran for; fails when it is told to."""

    name: ClassVar[str] = "note"

    ticks: list[str] = field(default_factory=list[str])
    payloads: list[Any] = field(default_factory=list[Any])
    go: asyncio.Event = field(default_factory=asyncio.Event)
    """What jobs wait for that are told to."""

    async def execute(self, context: JobContext) -> JobOutcome:
        self.ticks.append(context.labels["scheduled_for"])
        self.payloads.append(context.payload)
        if context.payload.get("waits"):
            await self.go.wait()
        if context.payload.get("fails"):
            raise ValueError("it was told to fail")
        return JobOutcome(result="done")


class Moody(JobTarget):
    """Raises what it is told to."""

    name = "moody"

    def __init__(self) -> None:
        self.error: Exception | None = None

    async def check(self, scope: Any, arguments: Any) -> None:
        """Accept everything."""

    async def spec(self, scope: Any, arguments: Any) -> Any:
        if self.error is not None:
            raise self.error
        return await scope.services.get(JobTargets).get("handler").spec(scope, {"handler": "note"})


def every_minute(**members: Any) -> dict[str, Any]:
    """Return a schedule of the handler `note`."""
    trigger = {"type": "interval", "every": "1m", "anchor": NOON}
    return {"name": "notes", "target": "handler", "arguments": {"handler": "note"}, "trigger": trigger, **members}


class ScheduleSystem:
    """The parts of a service with schedules; ticks are seen to when the test says so."""

    def __init__(self, services: Services, clock: SteppedClock) -> None:
        self.services = services
        self.clock = clock
        self.worker = services.get(ScheduleWorker)
        self.firing = Firing(services)
        self.on_demand = OnDemand(services)
        self.backfills = Backfills(services)
        self.jobs = services.get(JobService)

    async def create(self, **members: Any) -> ScheduleOut:
        async with self.services.scope.write() as scope:
            return await scope.get(ScheduleManager).create(ScheduleIn.model_validate(every_minute(**members)))

    async def change(self, id: ULID, **changes: Any) -> ScheduleOut:
        async with self.services.scope.write() as scope:
            return await scope.get(ScheduleManager).patch(id, changes, ScheduleIn)

    async def get(self, id: ULID) -> ScheduleOut:
        async with self.services.scope.read() as scope:
            manager = scope.get(ScheduleManager)
            return (await manager.to_outputs([await manager.get_entity(id)]))[0]

    async def write(self, id: ULID, **values: Any) -> None:
        """Change columns behind everybody's back."""
        async with self.services.scope.write() as scope:
            await ScheduleRepository(scope.session).write(id, values)

    async def row(self, id: ULID) -> Schedule:
        async with self.services.scope.read() as scope:
            return await scope.get(ScheduleManager).get_entity(id)

    async def runs(self, id: ULID, limit: int = 1000) -> Sequence[ScheduleRun]:
        """Return the ticks, the oldest first."""
        async with self.services.scope.read() as scope:
            return (await scope.get(ScheduleManager).list_runs(id, limit))[::-1]

    async def due(self) -> Sequence[ULID]:
        async with self.services.scope.read() as scope:
            return await ScheduleRepository(scope.session).list_due(self.clock.now(), 100)

    async def pass_time(self, moves: timedelta) -> None:
        """Move the clock and see to everything that is due then."""
        self.clock.moment += moves
        async with asyncio.timeout(PATIENCE):
            await self.worker.work()
            # The worker of the service may have been faster, and still be at it.
            while await self.due():
                await asyncio.sleep(0.01)
                await self.worker.work()

    async def finished(self, *jobs: ULID | None) -> Sequence[JobRecord]:
        """Wait until the jobs have ended."""
        return [await self.jobs.wait_until_final(ULID(job), 10.0) for job in jobs]

    async def count_jobs(self, *statuses: JobStatus) -> int:
        counts = (await self.jobs.stats()).by_status
        return sum(counts[status] for status in statuses or JobStatus)


@asynccontextmanager
async def schedule_system(
    database: Database,
    *handlers: JobHandler,
    work: bool = False,
    runs_jobs: bool = True,
    clock: SteppedClock | None = None,
    **settings: Any,
) -> AsyncGenerator[ScheduleSystem]:
    """Run jobs and schedules on the database; the worker of the schedules only with `work`."""
    services, clock = Services(), clock or SteppedClock(NOON)
    services.add(Database, database)
    jobs, schedules = JobFeature(shutdown_timeout=0.0, clock=clock), ScheduleFeature(**settings)
    jobs.register(services)
    HandlersFeature(handlers).register(services)
    schedules.register(services)
    workers = [*(jobs.workers(services) if runs_jobs else ()), *(schedules.workers(services) if work else ())]
    supervisor = Supervisor(workers)
    async with jobs.lifespan(services), schedules.lifespan(services):
        await supervisor.start()
        try:
            yield ScheduleSystem(services, clock)
        finally:
            await supervisor.stop()


def moments(*minutes: float) -> list[datetime]:
    """Return moments so many minutes after noon."""
    return [NOON + minute * MINUTE for minute in minutes]
