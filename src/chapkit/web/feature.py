"""A feature: what the builder puts together."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

from fastapi import APIRouter
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from chapkit.core.models import Base
from chapkit.core.services import Services
from chapkit.core.workers import Worker


@dataclass(frozen=True)
class Requirement:
    """A feature that has to be there, and the builder's call that adds it."""

    feature: str
    call: str


@dataclass(frozen=True)
class CrudPermissions:
    """Which of the generic operations a collection offers."""

    create: bool = True
    read: bool = True
    update: bool = True
    delete: bool = True


class Feature:
    """One capability of a service; its fields are its settings.

    Subclasses are frozen dataclasses and fill in what they bring. Building a service calls the
    methods in the order in which they stand here; none of them may change the feature.
    """

    kind: ClassVar[str] = ""
    """What others name it by in `requires`."""
    requires: ClassVar[tuple[Requirement, ...]] = ()

    @property
    def key(self) -> str:
        """Two features with the same key replace one another, the later one stays."""
        return self.kind or type(self).__name__

    def models(self) -> Iterable[type[Base]]:
        """Return the mapped classes whose tables this feature needs."""
        return ()

    def check(self, features: Mapping[str, "Feature"]) -> None:
        """Raise a `ConfigurationError` where this feature does not fit the others."""

    def register(self, services: Services) -> None:
        """Say which things and scoped things this feature brings."""

    def finish(self, services: Services) -> None:
        """Check what can only be told when every feature has registered."""

    def middleware(self) -> Iterable[Middleware]:
        """Return ASGI middleware, the outermost first."""
        return ()

    def routers(self) -> Iterable[APIRouter]:
        """Return the routes of this feature."""
        return ()

    def mounts(self) -> Iterable[BaseRoute]:
        """Return mounts, which come after every route."""
        return ()

    def workers(self, services: Services) -> Iterable[Worker]:
        """Return what runs beside the requests."""
        return ()

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncGenerator[None]:
        """Acquire what is needed before the first request and release it after the last."""
        yield


HealthCheck = Callable[[Services], Awaitable[tuple[str, str | None]]]
"""Returns a state (`healthy`, `degraded`, `unhealthy`) and a message."""


class HealthChecks:
    """Port: features add their checks here."""

    def __init__(self) -> None:
        self.checks: dict[str, HealthCheck] = {}

    def add(self, name: str, check: HealthCheck) -> None:
        """Let `/health` run `check` under this name."""
        self.checks[name] = check


SystemSection = Callable[[Services], Awaitable[Any]]


class SystemSections:
    """Port: features add their part of `/api/v1/system` here."""

    def __init__(self) -> None:
        self.sections: dict[str, SystemSection] = {}

    def add(self, name: str, section: SystemSection) -> None:
        """Let `/api/v1/system` show what `section` returns under this name."""
        self.sections[name] = section
