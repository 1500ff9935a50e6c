"""Make an application out of features."""

import gc
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

from chapkit.api.hooks import Hook, run_shutdown_hooks
from chapkit.api.info import ServiceInfo
from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError
from chapkit.core.services import Services
from chapkit.core.stop_signals import on_stop_signal
from chapkit.core.workers import Supervisor
from chapkit.ops.database import OwnTables
from chapkit.web.body_limit import BodyLimitMiddleware
from chapkit.web.crash import IS_STOPPING, CrashMiddleware
from chapkit.web.feature import Feature, HealthChecks, SystemSections
from chapkit.web.head import HeadMiddleware
from chapkit.web.mounting import mount_routes
from chapkit.web.origin import OriginMiddleware
from chapkit.web.problems import add_error_handlers
from chapkit.web.request_log import RequestIdMiddleware
from chapkit.web.turns import TurnMiddleware

_BUNDLED = "chapkit."


@dataclass(frozen=True)
class Plan:
    """Everything that the builder was told."""

    info: ServiceInfo
    features: tuple[Feature, ...] = ()
    routers: tuple[APIRouter, ...] = ()
    overrides: Mapping[Callable[..., Any], Callable[..., Any]] = field(
        default_factory=dict[Callable[..., Any], Callable[..., Any]]
    )
    on_startup: tuple[Hook, ...] = ()
    on_shutdown: tuple[Hook, ...] = ()
    error_handlers: bool = True
    max_body_size: int = 100_000_000


def assemble(plan: Plan) -> FastAPI:
    """Return the application; nothing is opened before it starts.

    Raises:
        ConfigurationError: A feature misses another one, or does not fit it.
    """
    features = _in_order(plan.features)
    services = _register(features)
    app = FastAPI(
        title=plan.info.display_name,
        version=plan.info.version,
        description=plan.info.description or "",
        summary=plan.info.summary,
        contact=plan.info.contact,
        license_info=plan.info.license_info,
        lifespan=_lifespan(plan, features),
        middleware=_middleware(features, plan.max_body_size),
    )
    app.state.services = services
    if plan.error_handlers:
        add_error_handlers(app)
    for feature in features:
        for router in feature.routers():
            mount_routes(app, router)
    for router in plan.routers:
        app.include_router(router)
    for feature in features:
        app.router.routes.extend(feature.mounts())
    app.dependency_overrides.update(plan.overrides)
    return app


def _register(features: Sequence[Feature]) -> Services:
    services = Services()
    services.add(HealthChecks, HealthChecks())
    services.add(SystemSections, SystemSections())
    by_kind = {feature.kind: feature for feature in features}
    for feature in features:
        for requirement in feature.requires:
            if requirement.feature not in by_kind:
                raise ConfigurationError(
                    f"{type(feature).__name__} needs {requirement.feature}; add {requirement.call} to the builder",
                    code="feature-missing",
                    expected=requirement.feature,
                )
        feature.check(by_kind)
    for feature in features:
        feature.register(services)
    for feature in features:
        feature.finish(services)
    own = _own_tables(features)
    if own is not None:
        services.add(OwnTables, own)
    return services


def _own_tables(features: Sequence[Feature]) -> OwnTables | None:
    """Return the tables of declared entities; `None` where the user declared none, so all are taken."""
    models = [model for feature in features for model in feature.models()]
    foreign = [model for model in models if not model.__module__.startswith(_BUNDLED)]
    return OwnTables(model.metadata.tables[model.__tablename__] for model in foreign) if foreign else None


def _in_order(features: Iterable[Feature]) -> list[Feature]:
    """Return the features so that each comes after those it requires; otherwise in the order of the calls."""
    waiting = list(features)
    kinds = {feature.kind for feature in waiting}
    ordered: list[Feature] = []
    while waiting:
        done = {feature.kind for feature in ordered}
        ready = [item for item in waiting if all(r.feature in done or r.feature not in kinds for r in item.requires)]
        if not ready:
            names = ", ".join(type(feature).__name__ for feature in waiting)
            raise ConfigurationError(f"These features require one another in a circle: {names}", code="feature-circle")
        ordered.append(ready[0])
        waiting.remove(ready[0])
    return ordered


def _middleware(features: Sequence[Feature], max_body_size: int) -> list[Middleware]:
    return [
        Middleware(RequestIdMiddleware),
        *(item for feature in features for item in feature.middleware()),
        Middleware(TurnMiddleware),
        Middleware(OriginMiddleware),
        Middleware(CrashMiddleware),
        Middleware(BodyLimitMiddleware, max_bytes=max_body_size),
        Middleware(HeadMiddleware),
    ]


def _spare_the_collector() -> None:
    """Keep what was loaded for good out of full collections, each of which stops every request for as long.

    Once a process: of a second application in it, which may end before the process does, nothing is kept.
    """
    if gc.get_freeze_count() == 0:
        gc.collect()
        gc.freeze()


def _lifespan(plan: Plan, features: Sequence[Feature]) -> Callable[[FastAPI], Any]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        services: Services = app.state.services
        setattr(app.state, IS_STOPPING, False)
        async with AsyncExitStack() as stack:
            stack.enter_context(on_stop_signal(lambda: setattr(app.state, IS_STOPPING, True)))
            for feature in features:
                await stack.enter_async_context(feature.lifespan(services))
            app.state.database = services.find(Database)
            supervisor = Supervisor(worker for feature in features for worker in feature.workers(services))
            services.add(Supervisor, supervisor)
            await supervisor.start()
            stack.push_async_callback(supervisor.stop)
            for hook in plan.on_startup:
                await hook(app)
            stack.push_async_callback(run_shutdown_hooks, app, plan.on_shutdown)
            _spare_the_collector()
            yield

    return lifespan
