"""Schedules as a feature of a service."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import ClassVar

from fastapi import APIRouter

from chapkit.core.models import Base
from chapkit.core.services import Services
from chapkit.core.workers import Worker
from chapkit.job.targets import JobTargets
from chapkit.scheduler.declared import DeclaredSchedule, Reconciliation
from chapkit.scheduler.manager import ScheduleManager
from chapkit.scheduler.models import Schedule, ScheduleTick
from chapkit.scheduler.overview import check_schedules, describe_schedules
from chapkit.scheduler.refusals import ScheduleDuplicateError
from chapkit.scheduler.router import ScheduleRouter
from chapkit.scheduler.schemas import ScheduleIn, ScheduleOut
from chapkit.scheduler.subjects import ScheduleSubjects
from chapkit.scheduler.targets import HandlerTarget
from chapkit.scheduler.worker import LOOK_EVERY, ScheduleWorker
from chapkit.web.dependencies import provided
from chapkit.web.feature import CrudPermissions, Feature, HealthChecks, Requirement, SystemSections


@dataclass(frozen=True)
class ScheduleFeature(Feature):
    """Submits jobs when their time has come, one for each tick."""

    kind: ClassVar[str] = "schedule"
    requires: ClassVar[tuple[Requirement, ...]] = (Requirement("job", "with_jobs()"),)

    prefix: str = "/api/v1/schedules"
    tags: tuple[str, ...] = ("Schedules",)
    permissions: CrudPermissions = field(default_factory=CrudPermissions)
    declared: tuple[DeclaredSchedule, ...] = ()
    """Schedules of the code."""
    jobs_prefix: str = "/api/v1/jobs"
    look_every: float = LOOK_EVERY
    """Seconds between two looks at least, for what nobody told."""

    def check(self, features: Mapping[str, Feature]) -> None:
        """Make sure that each schedule of the code has a name of its own."""
        names = [item.key for item in self.declared]
        for name in names:
            if names.count(name) > 1:
                raise ScheduleDuplicateError(name)

    def models(self) -> Iterable[type[Base]]:
        """Return the tables of schedules and ticks."""
        return (Schedule, ScheduleTick)

    def register(self, services: Services) -> None:
        """Bring a `ScheduleManager` for each unit of work, the worker, and the target `handler`."""
        services.add(ScheduleSubjects, ScheduleSubjects())
        services.add(ScheduleWorker, ScheduleWorker(services, look_every=self.look_every))
        services.scoped(ScheduleManager, ScheduleManager)
        services.get(JobTargets).add(HandlerTarget())
        if (checks := services.find(HealthChecks)) is not None:
            checks.add("schedules", check_schedules)
        if (sections := services.find(SystemSections)) is not None:
            sections.add("schedules", describe_schedules)

    def routers(self) -> Iterable[APIRouter]:
        """Return the routes of schedules."""
        yield ScheduleRouter.create(
            self.prefix,
            self.tags,
            ScheduleIn,
            ScheduleOut,
            provided(ScheduleManager),
            permissions=self.permissions,
            jobs_prefix=self.jobs_prefix,
        )

    def workers(self, services: Services) -> Iterable[Worker]:
        """Return what sees to schedules that are due."""
        yield services.get(ScheduleWorker)

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncGenerator[None]:
        """Make the rows what the code declares."""
        await Reconciliation(services, self.declared).run()
        yield
