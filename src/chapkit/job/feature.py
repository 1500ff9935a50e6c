"""Jobs as a feature of a service."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from fastapi import APIRouter

from chapkit.core.children import refuse_in_child
from chapkit.core.clock import Clock, SystemClock
from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError
from chapkit.core.models import Base
from chapkit.core.services import Services
from chapkit.core.stop_signals import on_stop_signal
from chapkit.core.workers import Worker
from chapkit.job.checks import is_number, is_whole
from chapkit.job.claiming import DEFAULT_QUEUE, Queue
from chapkit.job.engine import DEFAULT_SLOTS, JobEngine
from chapkit.job.executors.limits import ProcessLimits
from chapkit.job.executors.user_code import UserCode
from chapkit.job.hub import JobHub
from chapkit.job.janitor import JobJanitor
from chapkit.job.logs import listening_to_logging
from chapkit.job.models import Job, JobAttempt, JobEvent, JobOwner
from chapkit.job.notices import notices_for
from chapkit.job.overview import JobCheck, describe_jobs
from chapkit.job.ports import JobHandlers
from chapkit.job.pressure import QueuePressure
from chapkit.job.recovery import JobRecovery
from chapkit.job.references import JobReferences
from chapkit.job.retention import Retention
from chapkit.job.router import JobRouter
from chapkit.job.runtime import JobLimits, JobRuntime
from chapkit.job.schemas import LONGEST_TIMEOUT
from chapkit.job.service import JobService
from chapkit.job.targets import JobTargets
from chapkit.web.dependencies import RequestServices
from chapkit.web.feature import Feature, HealthChecks, Requirement, SystemSections


@dataclass(frozen=True)
class JobFeature(Feature):
    """Runs jobs that survive the process."""

    kind: ClassVar[str] = "job"
    requires: ClassVar[tuple[Requirement, ...]] = (Requirement("database", "with_database(...)"),)

    max_concurrency: int = DEFAULT_SLOTS
    """Jobs that run at once in this process; 0 where other processes run them."""
    queues: Mapping[str, int | None] = field(default_factory=dict[str, int | None])
    """Queues beside `default`, each with the number of its jobs that may run at once in all processes together."""
    max_waiting: int | None = None
    """Jobs that may wait in one queue; further ones are refused."""
    retention: Retention = field(default_factory=Retention)
    prefix: str = "/api/v1/jobs"
    tags: tuple[str, ...] = ("Jobs",)
    shutdown_timeout: float = 10.0
    """Seconds that running jobs get to end before they are put back."""
    processes: int | None = None
    """Child processes that work at once for runners with `executor="process"`; one for each processor, if `None`."""
    process_limits: ProcessLimits = field(default_factory=ProcessLimits)
    limits: JobLimits = field(default_factory=JobLimits)
    clock: Clock = field(default_factory=SystemClock)

    def __post_init__(self) -> None:
        wrong = next(self._wrong_settings(), None)
        if wrong is not None:
            raise ConfigurationError(
                f"with_jobs({wrong[0]}={wrong[1]!r}) makes no sense; workers is a whole number, 0 or more, the name of "
                "a queue a text without commas and white space, its limit 1 or more, or None, max_waiting 1 or more, "
                "or None, shutdown_timeout seconds, 0 or more",
                code="job-settings-invalid",
                field=wrong[0],
            )

    def _wrong_settings(self) -> Iterator[tuple[str, object]]:
        if not is_whole(self.max_concurrency, 0):
            yield "workers", self.max_concurrency
        for name, limit in self.queues.items():
            if not _is_queue_name(name) or not (limit is None or is_whole(limit, 1)):
                yield "queues", {name: limit}
        if not (self.max_waiting is None or is_whole(self.max_waiting, 1)):
            yield "max_waiting", self.max_waiting
        if not is_number(self.shutdown_timeout, 0, LONGEST_TIMEOUT):
            yield "shutdown_timeout", self.shutdown_timeout

    def models(self) -> Iterable[type[Base]]:
        """Return the tables of jobs."""
        return (Job, JobAttempt, JobEvent, JobOwner)

    def register(self, services: Services) -> None:
        """Bring `JobService`, and `JobHandlers` for the handlers of other features."""
        user_code = UserCode(process_limit=self.processes, process_limits=self.process_limits)
        runtime = JobRuntime(services, self.clock, self.limits, user_code=user_code)
        queues = [Queue(name, limit) for name, limit in {DEFAULT_QUEUE: None, **self.queues}.items()]
        engine = JobEngine(runtime, self.max_concurrency, queues)
        names = [queue.name for queue in queues]
        pressure = None if self.max_waiting is None else QueuePressure(self.max_waiting)
        services.add(JobRuntime, runtime)
        services.add(JobHandlers, runtime.handlers)
        services.add(JobHub, runtime.hub)
        services.add(UserCode, runtime.user_code)
        services.add(JobEngine, engine)
        services.add(JobService, JobService(runtime, engine, names, pressure))
        services.add(JobTargets, services.find(JobTargets) or JobTargets())
        services.add(JobReferences, services.find(JobReferences) or JobReferences())
        if (checks := services.find(HealthChecks)) is not None:
            checks.add("jobs", JobCheck(self.clock, lambda: engine.is_working, queues=names))
        if (sections := services.find(SystemSections)) is not None:
            sections.add("jobs", self._describe)

    def routers(self) -> Iterable[APIRouter]:
        """Return the routes of jobs."""
        yield JobRouter.create(self.prefix, self.tags, _jobs)

    def workers(self, services: Services) -> Iterable[Worker]:
        """Return what claims jobs, what recovers them, and what takes old ones away."""
        yield services.get(JobEngine)
        yield JobRecovery(services.get(JobRuntime))
        yield JobJanitor(services, self.clock, self.retention)

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncGenerator[None]:
        """Become an owner of jobs, see to those of dead processes; at the end let jobs finish, or put them back."""
        jobs, engine, runtime = services.get(JobService), services.get(JobEngine), services.get(JobRuntime)
        refuse_in_child()
        await engine.open()
        await JobRecovery(runtime).recover()
        await runtime.listen(notices_for(services.get(Database)))
        jobs.open()
        with listening_to_logging(), on_stop_signal(runtime.hub.close), on_stop_signal(engine.stop):
            try:
                yield
            finally:
                jobs.close()
                await engine.shutdown(self.shutdown_timeout)
                jobs.forget_waiting()
                await runtime.listen_no_more()
                await runtime.presence.leave()

    async def _describe(self, services: Services) -> dict[str, Any]:
        engine = services.get(JobEngine)
        async with services.scope.read() as scope:
            return await describe_jobs(
                scope.session,
                self.clock.now(),
                durability=getattr(services.get(Database), "durability", "process"),
                running_here=engine.running,
                slots_here=engine.slots,
                queue_limits={queue.name: queue.limit for queue in engine.queues},
                max_waiting=self.max_waiting,
                retention=self.retention.describe(),
            )


def _is_queue_name(name: object) -> bool:
    # Names are told apart by commas on the command line.
    return isinstance(name, str) and name != "" and not any(char == "," or char.isspace() for char in name)


async def _jobs(services: RequestServices) -> JobService:
    return services.get(JobService)
