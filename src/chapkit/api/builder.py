"""The fluent builder: a list of features that becomes an application."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from fastapi import APIRouter, FastAPI

from chapkit.api.assembly import Plan, assemble
from chapkit.api.calls import permissions_of
from chapkit.api.connect import connect
from chapkit.api.hooks import Hook
from chapkit.api.info import InfoFeature, ServiceInfo
from chapkit.api.models import ModelCalls
from chapkit.api.schedules import ScheduleCalls
from chapkit.api.tasks import TaskCalls
from chapkit.config.schemas import BaseConfig
from chapkit.core.database import Database, parse_url
from chapkit.core.durability import Durability, check_durability
from chapkit.core.errors import ConfigurationError
from chapkit.core.models import Base
from chapkit.ops.database import DatabaseFeature
from chapkit.ops.health import HealthFeature, UserCheck
from chapkit.ops.logs import LoggingFeature
from chapkit.ops.system import SystemFeature
from chapkit.web.feature import CrudPermissions, Feature

if TYPE_CHECKING:
    from chapkit.artifact.hierarchy import ArtifactHierarchy
    from chapkit.job.executors.limits import ProcessLimits
    from chapkit.job.retention import Retention

IN_MEMORY = "sqlite+aiosqlite:///:memory:"


class ServiceBuilder(ModelCalls, TaskCalls, ScheduleCalls):
    """Puts a service together; `build()` may be called as often as wanted, each time for a new application."""

    def __init__(
        self,
        *,
        info: ServiceInfo,
        database_url: str = IN_MEMORY,
        include_error_handlers: bool = True,
        include_logging: bool = False,
    ) -> None:
        self.info = info
        self._features: dict[str, Feature] = {}
        self._links_configs = False
        self._plan = Plan(info=info, error_handlers=include_error_handlers)
        self.with_feature(InfoFeature(info))
        self.with_database(database_url)
        if include_logging:
            self.with_logging()

    @classmethod
    def create(cls, *, info: ServiceInfo, **options: Any) -> FastAPI:
        """Build a service in one call."""
        return cls(info=info, **options).build()

    def with_database(
        self,
        url_or_instance: str | Database | None = None,
        *,
        pool_size: int = 5,
        max_overflow: int = 10,
        pool_recycle: int = 3600,
        pool_pre_ping: bool = True,
        data_dir: str | Path | None = None,
        durability: Durability = "process",
    ) -> Self:
        """Choose the database: a URL, a `Database` that you open and close yourself, or nothing for memory.

        Args:
            data_dir: Where large contents lie; beside the SQLite file, or `./data`, if not given.
            durability: What a commit on SQLite survives: the end of the process, or with `power` a power cut as well.
        """
        options = {
            "pool_size": pool_size,
            "max_overflow": max_overflow,
            "pool_recycle": pool_recycle,
            "pool_pre_ping": pool_pre_ping,
            "data_dir": data_dir,
            "durability": check_durability(durability),
        }
        entities = self._entities()
        if isinstance(url_or_instance, Database):
            if durability == "power" and url_or_instance.durability == "process":
                raise ConfigurationError(
                    "This Database was built to survive the end of the process only; build it with "
                    "SqliteDatabaseBuilder.from_file(...).with_durability('power')",
                    code="durability-misplaced",
                )
            return self.with_feature(DatabaseFeature(instance=url_or_instance, entities=entities))
        if url_or_instance is not None and not isinstance(url_or_instance, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"Expected str, Database, or None; found {type(url_or_instance).__name__}")
        url = url_or_instance or IN_MEMORY
        parse_url(url)
        return self.with_feature(DatabaseFeature(url=url, options=options, entities=entities))

    def with_entities(self, *entities: type[Base]) -> Self:
        """Declare your own entities: exactly their tables are created, beside chapkit's own."""
        database = self._features[DatabaseFeature.kind]
        if not isinstance(database, DatabaseFeature):  # pragma: no cover  # nothing else has this key
            raise ConfigurationError("Another feature took the place of the database", code="feature-misplaced")
        return self.with_feature(replace(database, entities=(*database.entities, *entities)))

    def with_body_limit(self, max_bytes: int) -> Self:
        """Refuse larger requests with 413; 100,000,000 bytes, if not called."""
        return self._with_plan(max_body_size=max_bytes)

    def with_logging(self, enabled: bool = True) -> Self:
        """Write structured logs, one line a request."""
        return self.with_feature(LoggingFeature(enabled))

    def with_health(
        self,
        *,
        prefix: str = "/health",
        tags: Sequence[str] = ("Observability",),
        checks: Mapping[str, UserCheck] | None = None,
        include_database_check: bool = True,
    ) -> Self:
        """Answer `/health`, with your own checks beside those of the features."""
        return self.with_feature(HealthFeature(prefix, tuple(tags), dict(checks or {}), include_database_check))

    def with_system(self, *, prefix: str = "/api/v1/system", tags: Sequence[str] = ("Service",)) -> Self:
        """Answer `/api/v1/system`."""
        return self.with_feature(SystemFeature(prefix, tuple(tags)))

    def with_config(
        self,
        schema: type[BaseConfig],
        *,
        name: str = "config",
        prefix: str = "/api/v1/configs",
        tags: Sequence[str] = ("Config",),
        permissions: CrudPermissions | None = None,
        **allow: bool | None,
    ) -> Self:
        """Store configurations of this class; call it again under another `name` and `prefix` for a second one."""
        # Lazy, here and below: a service pays at start only for the features that it has.
        from chapkit.config.feature import ConfigFeature

        allowed = permissions_of(permissions, allow)
        return self.with_feature(ConfigFeature(schema, name, prefix, tuple(tags), allowed))

    def with_artifacts(
        self,
        *,
        hierarchy: "ArtifactHierarchy",
        prefix: str = "/api/v1/artifacts",
        tags: Sequence[str] = ("Artifacts",),
        enable_config_linking: bool = False,
        permissions: CrudPermissions | None = None,
        **allow: bool | None,
    ) -> Self:
        """Store artifacts; with `enable_config_linking` they can belong to configurations."""
        from chapkit.artifact.feature import ArtifactFeature

        allowed = permissions_of(permissions, allow)
        self._links_configs = enable_config_linking
        return self.with_feature(ArtifactFeature(hierarchy, prefix, tuple(tags), allowed))

    def with_jobs(
        self,
        *,
        workers: int | None = None,
        queues: Mapping[str, int | None] | None = None,
        max_waiting: int | None = None,
        retention: "Retention | None" = None,
        prefix: str = "/api/v1/jobs",
        tags: Sequence[str] = ("Jobs",),
        max_concurrency: int | None = None,
        shutdown_timeout: float = 10.0,
        process_limits: "ProcessLimits | None" = None,
    ) -> Self:
        """Run jobs that survive the process; `max_concurrency` is the former name of `workers`.

        Args:
            workers: Jobs that run at once in this process, 4 if left out; 0 where `chapkit worker` runs them.
            queues: Queues beside `default`, each with the number of its jobs that may run at once in all processes.
            max_waiting: Jobs that may wait in one queue; further ones are refused with 429.
            retention: How long jobs are kept that have ended; 90 days and 100,000 jobs, if left out.
            shutdown_timeout: Seconds that running jobs get to end before they are put back.
            process_limits: Memory and processor time that a child process of `executor="process"` may use.
        """
        from chapkit.job.engine import DEFAULT_SLOTS
        from chapkit.job.executors.limits import ProcessLimits
        from chapkit.job.feature import JobFeature
        from chapkit.job.retention import Retention

        return self.with_feature(
            JobFeature(
                max_concurrency=(max_concurrency or DEFAULT_SLOTS) if workers is None else workers,
                queues=dict(queues or {}),
                max_waiting=max_waiting,
                retention=retention or Retention(),
                prefix=prefix,
                tags=tuple(tags),
                shutdown_timeout=shutdown_timeout,
                process_limits=process_limits or ProcessLimits(),
            )
        )

    def include_router(self, router: APIRouter) -> Self:
        """Add routes of your own."""
        return self._with_plan(routers=(*self._plan.routers, router))

    def override_dependency(self, dependency: Callable[..., Any], override: Callable[..., Any]) -> Self:
        """Put another dependency in the place of one, as tests do."""
        return self._with_plan(overrides={**self._plan.overrides, dependency: override})

    def on_startup(self, hook: Hook) -> Self:
        """Run `hook(app)` before the first request, in the order of the calls."""
        return self._with_plan(on_startup=(*self._plan.on_startup, hook))

    def on_shutdown(self, hook: Hook) -> Self:
        """Run `hook(app)` after the last request, in the order of the calls."""
        return self._with_plan(on_shutdown=(*self._plan.on_shutdown, hook))

    def build(self) -> FastAPI:
        """Return a new application.

        Raises:
            ConfigurationError: A feature misses another one; the text names the call to add.
        """
        features = connect(list(self._features.values()), links_configs=self._links_configs)
        return assemble(replace(self._plan, features=tuple(features)))

    def _entities(self) -> tuple[type[Base], ...]:
        database = self._features.get(DatabaseFeature.kind)
        return database.entities if isinstance(database, DatabaseFeature) else ()

    def _with_plan(self, **changes: Any) -> Self:
        self._plan = replace(self._plan, **changes)
        return self
