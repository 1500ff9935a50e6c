"""What functions of tasks may ask for in a service: its own things, and those that the user provides."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from chapkit.artifact.manager import ArtifactManager
from chapkit.config.manager import ConfigManager
from chapkit.config.schemas import BaseConfig
from chapkit.core.clock import Clock
from chapkit.core.services import Key, Scope, Services
from chapkit.core.settings import Environment
from chapkit.job.runtime import JobRuntime
from chapkit.job.service import JobService
from chapkit.task.injection import Providers
from chapkit.task.loop_bridge import across_loops
from chapkit.task.manager import TaskManager
from chapkit.task.provider import JOB, ProviderScope
from chapkit.task.run import Run
from chapkit.task.runscope import RunServices, add_run_providers
from chapkit.web.feature import Feature, Requirement


@dataclass(frozen=True)
class Provision:
    """How a value of a type is made for the functions of tasks."""

    kind: type[Any]
    factory: Callable[..., Any]
    scope: ProviderScope = JOB


class Provisions(list[Provision]):
    """Port: what users provide in one service."""


@dataclass(frozen=True)
class ProvisionFeature(Feature):
    """Keeps what the builder's `provide(...)` was told."""

    kind: ClassVar[str] = "provision"
    requires: ClassVar[tuple[Requirement, ...]] = (Requirement("task", "with_tasks()"),)

    provisions: tuple[Provision, ...] = ()

    def register(self, services: Services) -> None:
        """Hand the provisions to the feature that runs functions."""
        services.add(Provisions, Provisions(self.provisions))


def add_provisions(
    providers: Providers, services: Services, configs: Sequence[tuple[str, type[BaseConfig]]] = ()
) -> None:
    """Let functions ask for the things of a service, and on top for what its user provides."""
    add_run_providers(providers)
    providers.add(ArtifactManager, _artifacts, needs_loop=True)
    providers.add(TaskManager, _tasks, needs_loop=True)
    for name, schema in configs:
        providers.add(ConfigManager[schema], _configs(name), needs_loop=True)  # type: ignore[valid-type]
    providers.add(JobService, _jobs, needs_loop=True)
    providers.add(Services, _services)
    providers.add(Environment, _environment)
    providers.add(Clock, _clock)
    for provision in services.find(Provisions) or ():
        providers.add(provision.kind, provision.factory, scope=provision.scope)


def _artifacts(scope: Scope) -> ArtifactManager:
    return scope.get(ArtifactManager)


def _tasks(scope: Scope) -> TaskManager:
    return scope.get(TaskManager)


def _configs(name: str) -> Callable[..., Any]:
    key: Key[ConfigManager[Any]] = Key(ConfigManager, name)

    def find(scope: Scope) -> ConfigManager[Any]:
        return scope.get(key)

    return find


def _jobs(run: Run) -> JobService:
    return across_loops(run.services.get(JobService), run.home)


def _services(services: RunServices) -> Services:
    return services


def _clock(run: Run) -> Clock:
    return run.services.get(JobRuntime).clock


def _environment() -> Environment:
    return Environment()
