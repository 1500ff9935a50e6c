"""Tasks as a feature of a service."""

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from fastapi import APIRouter

from chapkit.artifact.answers import JobAnswers
from chapkit.config.schemas import BaseConfig
from chapkit.core.errors import ConfigurationError
from chapkit.core.models import Base
from chapkit.core.services import Scope, Services
from chapkit.core.workers import Worker
from chapkit.job.held import release
from chapkit.job.ports import JobHandlers
from chapkit.job.statements import CODE_HELD
from chapkit.job.targets import JobTargets
from chapkit.task.cache_admin import CacheAdmin
from chapkit.task.cache_counts import CacheCounts, CacheUpkeep
from chapkit.task.catalogue import Catalogue
from chapkit.task.execution import Asked, TaskSubmitter
from chapkit.task.functions import TaskFunctions
from chapkit.task.handlers import PythonTaskHandler
from chapkit.task.injection import Providers
from chapkit.task.loop_things import LoopThings
from chapkit.task.manager import TaskManager
from chapkit.task.models import Task, TaskCacheCount, TaskResult
from chapkit.task.orphans import Orphans
from chapkit.task.provisions import add_provisions
from chapkit.task.registry import TaskRegistry
from chapkit.task.repository import TaskRepository
from chapkit.task.router import TaskRouter
from chapkit.task.serializers import Serializers
from chapkit.task.shell import ShellTaskHandler
from chapkit.task.stored import StoredTask
from chapkit.task.target import TaskTarget
from chapkit.web.dependencies import provided
from chapkit.web.feature import CrudPermissions, Feature, Requirement, SystemSections


@dataclass(frozen=True)
class TaskFeature(Feature):
    """Stores tasks and runs them as jobs."""

    kind: ClassVar[str] = "task"
    requires: ClassVar[tuple[Requirement, ...]] = (
        Requirement("artifact", "with_artifacts(...)"),
        Requirement("job", "with_jobs()"),
    )

    functions: Callable[[], Catalogue] = TaskRegistry.snapshot
    """Returns what tasks can call, at the moment in which the service is built."""
    allow_shell: bool = False
    """Whether tasks may be commands."""
    shell_dir: Path | None = None
    """Folder in which commands run; each has one of its own, if not given."""
    prefix: str = "/api/v1/tasks"
    tags: tuple[str, ...] = ("Tasks",)
    permissions: CrudPermissions = field(default_factory=CrudPermissions)
    allow_execute: bool = True
    validate_on_startup: bool = True
    """Whether tasks whose function is missing are disabled at the start."""
    configs: tuple[tuple[str, type[BaseConfig]], ...] = ()
    """Name and class of each kind of configuration that functions may ask for."""
    jobs_prefix: str = "/api/v1/jobs"
    artifacts_prefix: str = "/api/v1/artifacts"

    def __post_init__(self) -> None:
        if self.shell_dir is not None and not self.shell_dir.is_dir():
            raise ConfigurationError(
                f"with_tasks(shell_dir={str(self.shell_dir)!r}) names no folder; make it first",
                code="task-options-invalid",
                field="shell_dir",
            )

    def models(self) -> Iterable[type[Base]]:
        """Return the tables of tasks and of kept results."""
        return (Task, TaskResult, TaskCacheCount)

    def register(self, services: Services) -> None:
        """Bring a `TaskManager` for each unit of work, the handlers of tasks, and the target of schedules."""
        serializers = Serializers.for_service()
        functions = TaskFunctions(self.functions(), serializers)
        counts = CacheCounts()
        submitter = TaskSubmitter(services, functions, counts, allow_shell=self.allow_shell)
        services.add(Providers, services.find(Providers) or Providers(serializers))
        services.add(LoopThings, LoopThings())
        services.add(TaskFunctions, functions)
        services.add(CacheCounts, counts)
        services.add(CacheAdmin, CacheAdmin(services, counts))
        services.add(TaskSubmitter, submitter)
        services.add(Orphans, Orphans(services, functions))
        services.scoped(TaskManager, lambda scope: _manager(scope, submitter))
        handlers = services.get(JobHandlers)
        handlers.add(PythonTaskHandler(functions, counts))
        handlers.add(ShellTaskHandler(allow_shell=self.allow_shell, folder=self.shell_dir))
        services.get(JobTargets).add(TaskTarget(submitter, functions))
        services.get(SystemSections).add("tasks", self._describe)

    def finish(self, services: Services) -> None:
        """Make sure that every parameter of every function is provided or can be sent."""
        providers = services.get(Providers)
        add_provisions(providers, services, self.configs)
        providers.check()
        services.get(TaskFunctions).bind(providers)

    def routers(self) -> Iterable[APIRouter]:
        """Return the routes of the collection."""
        yield TaskRouter.create(
            self.prefix,
            self.tags,
            provided(TaskManager),
            permissions=self.permissions,
            allow_execute=self.allow_execute,
            answers=JobAnswers(self.jobs_prefix, self.artifacts_prefix),
        )

    def workers(self, services: Services) -> Iterable[Worker]:
        """Return what keeps the numbers of the cache."""
        yield CacheUpkeep(services, services.get(CacheCounts))

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncGenerator[None]:
        """Look for tasks whose function is missing, and for jobs that wait for the code of now."""
        functions, counts = services.get(TaskFunctions), services.get(CacheCounts)
        if self.validate_on_startup:
            await services.get(Orphans).sort_out()
        async with services.scope.write() as scope:
            await release(scope, CODE_HELD, functions.has_version)
        try:
            yield
        finally:
            await services.get(LoopThings).close()
            if counts.has_news:
                await counts.write(services)

    async def _describe(self, services: Services) -> dict[str, Any]:
        functions = services.get(TaskFunctions)
        orphans = await services.get(Orphans).list()
        stats = await services.get(CacheAdmin).stats()
        cache = stats.model_dump(mode="json", include={"results", "hits", "misses", "stale"})
        return {
            "functions": len(functions.names),
            "orphans": len(orphans),
            "shell": self.allow_shell,
            "cache": cache,
        }


def _manager(scope: Scope, submitter: TaskSubmitter) -> TaskManager:
    async def execute(task: Task, parameters: Any, options: Any) -> Any:
        asked = Asked(parameters=parameters, options=options)
        return (await submitter.submit(submitter.plan(StoredTask.of(task), asked), scope)).job

    return TaskManager(TaskRepository(scope.session), submitter, execute)
