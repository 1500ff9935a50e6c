"""Jobs as a feature of a service."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fastapi import APIRouter

from chapkit.core.clock import Clock, SystemClock
from chapkit.core.models import Base
from chapkit.core.services import Services
from chapkit.core.workers import Worker
from chapkit.job.engine import JobEngine
from chapkit.job.executors.user_code import UserCode
from chapkit.job.hub import JobHub
from chapkit.job.models import Job, JobAttempt, JobEvent, JobOwner
from chapkit.job.ports import JobHandlers
from chapkit.job.recovery import JobRecovery
from chapkit.job.repository import JobRepository
from chapkit.job.router import JobRouter
from chapkit.job.rows import moment
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobStatus
from chapkit.job.service import JobService
from chapkit.web.dependencies import RequestServices
from chapkit.web.feature import Feature, HealthChecks, Requirement, SystemSections


@dataclass(frozen=True)
class JobFeature(Feature):
    """Runs jobs that survive the process."""

    kind: ClassVar[str] = "job"
    requires: ClassVar[tuple[Requirement, ...]] = (Requirement("database", "with_database(...)"),)

    max_concurrency: int | None = None
    """Jobs that run at once; 4 when it is left out or 0."""
    prefix: str = "/api/v1/jobs"
    tags: tuple[str, ...] = ("Jobs",)
    shutdown_timeout: float = 10.0
    """Seconds that running jobs get to end before they are put back."""
    clock: Clock = field(default_factory=SystemClock)

    def models(self) -> Iterable[type[Base]]:
        """Return the tables of jobs."""
        return (Job, JobAttempt, JobEvent, JobOwner)

    def register(self, services: Services) -> None:
        """Bring `JobService`, and `JobHandlers` for the handlers of other features."""
        runtime = JobRuntime(services, self.clock)
        engine = JobEngine(runtime, self.max_concurrency)
        services.add(JobRuntime, runtime)
        services.add(JobHandlers, runtime.handlers)
        services.add(JobHub, runtime.hub)
        services.add(UserCode, runtime.user_code)
        services.add(JobEngine, engine)
        services.add(JobService, JobService(runtime, engine))
        if (checks := services.find(HealthChecks)) is not None:
            checks.add("jobs", _check)
        if (sections := services.find(SystemSections)) is not None:
            sections.add("jobs", _describe)

    def routers(self) -> Iterable[APIRouter]:
        """Return the routes of jobs."""
        yield JobRouter.create(self.prefix, self.tags, _jobs)

    def workers(self, services: Services) -> Iterable[Worker]:
        """Return what claims jobs and what recovers them."""
        yield services.get(JobEngine)
        yield JobRecovery(services.get(JobRuntime))

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncGenerator[None]:
        """Become an owner of jobs; at the end let them finish, or put them back."""
        jobs, engine = services.get(JobService), services.get(JobEngine)
        await engine.open()
        jobs.open()
        try:
            yield
        finally:
            jobs.close()
            await engine.shutdown(self.shutdown_timeout)
            jobs.forget_waiting()
            await services.get(JobRuntime).presence.leave()


async def _jobs(services: RequestServices) -> JobService:
    return services.get(JobService)


async def _check(services: Services) -> tuple[str, str | None]:
    if services.get(JobEngine).is_working:
        return "healthy", None
    return "unhealthy", "The job engine does not run; waiting jobs are not started"


async def _describe(services: Services) -> dict[str, Any]:
    engine = services.get(JobEngine)
    async with services.scope.read() as scope:
        repository = JobRepository(scope.session)
        counts = await repository.count_by_status()
        oldest = await repository.oldest_waiting()
    return {
        "waiting": counts[JobStatus.PENDING],
        "running": counts[JobStatus.RUNNING],
        "oldest_waiting": moment(oldest),
        "running_here": engine.running,
        "workers": engine.slots,
    }
