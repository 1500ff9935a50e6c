"""Request logs as a feature of a service."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import ClassVar

from starlette.middleware import Middleware

from chapkit.core.logging import configure_logging
from chapkit.core.services import Services
from chapkit.web.feature import Feature
from chapkit.web.request_log import RequestLogMiddleware


@dataclass(frozen=True)
class LoggingFeature(Feature):
    """Sets up structured logs when the service starts and writes one line a request."""

    kind: ClassVar[str] = "logging"

    enabled: bool = True

    def middleware(self) -> Iterable[Middleware]:
        """Return the middleware that writes the lines."""
        if self.enabled:
            yield Middleware(RequestLogMiddleware)

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncGenerator[None]:
        """Configure logging before anything else starts."""
        if self.enabled:
            configure_logging()
        yield
