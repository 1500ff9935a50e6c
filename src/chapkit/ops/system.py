"""`/api/v1/system`: where the service runs."""

import platform
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from chapkit.core.database import Database
from chapkit.core.types import UtcDatetime
from chapkit.web.dependencies import RequestServices
from chapkit.web.feature import Feature, SystemSections


class SystemInfo(BaseModel):
    """The machine and the process; features add parts of their own."""

    model_config = ConfigDict(extra="allow")

    current_time: UtcDatetime
    timezone: str
    python_version: str
    platform: str
    hostname: str
    chapkit_version: str
    database: str


@dataclass(frozen=True)
class SystemFeature(Feature):
    """Tells about the machine and the process."""

    kind: ClassVar[str] = "system"

    prefix: str = "/api/v1/system"
    tags: tuple[str, ...] = ("Service",)

    def routers(self) -> Iterable[APIRouter]:
        """Return the route."""
        router = APIRouter(prefix=self.prefix, tags=list(self.tags))

        async def system(services: RequestServices) -> SystemInfo:
            sections: dict[str, Any] = {
                name: await section(services) for name, section in services.get(SystemSections).sections.items()
            }
            return SystemInfo(
                current_time=datetime.now(UTC),
                timezone=str(datetime.now().astimezone().tzinfo),
                python_version=platform.python_version(),
                platform=platform.platform(),
                hostname=socket.gethostname(),
                chapkit_version=_version(),
                database=services.get(Database).dialect,
                **sections,
            )

        router.add_api_route("", system, methods=["GET"], summary="System")
        yield router


def _version() -> str:
    # Lazy: reading the package's metadata takes milliseconds and is asked for seldom.
    from chapkit._version import __version__

    return __version__
