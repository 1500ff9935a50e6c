"""The service itself, seen from a client."""

from pydantic import BaseModel, ConfigDict, TypeAdapter

from chapkit.client.calls import Call, reader
from chapkit.client.transport import AsyncHttpTransport, HttpTransport
from chapkit.core.types import UtcDatetime
from chapkit.ops.health_schemas import HealthStatus

_UNHEALTHY = frozenset({503})


class ServiceDescription(BaseModel):
    """What a service tells about itself; what else it says (of a model, say) is kept as further attributes."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    id: str = ""
    display_name: str
    version: str = ""
    description: str | None = None


class SystemDescription(BaseModel):
    """Where a service runs; what its features add is kept as further attributes."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    current_time: UtcDatetime
    timezone: str
    python_version: str
    platform: str
    hostname: str
    chapkit_version: str | None = None
    database: str | None = None


def info_call() -> Call[ServiceDescription]:
    """Read what the service says about itself."""
    return Call("GET", "/api/v1/info", reader(TypeAdapter(ServiceDescription)))


def health_call() -> Call[HealthStatus]:
    """Read the state of the service; that of an unhealthy one is an answer too."""
    return Call("GET", "/health", reader(TypeAdapter(HealthStatus)), accepted=_UNHEALTHY)


def system_call() -> Call[SystemDescription]:
    """Read where the service runs."""
    return Call("GET", "/api/v1/system", reader(TypeAdapter(SystemDescription)))


class System:
    """Name, health and whereabouts of a service."""

    def __init__(self, transport: HttpTransport) -> None:
        self.transport = transport

    def info(self) -> ServiceDescription:
        """Return what the service says about itself."""
        return self.transport.send(info_call())

    def health(self) -> HealthStatus:
        """Return the state of the service and of its checks, unhealthy or not."""
        return self.transport.send(health_call())

    def system(self) -> SystemDescription:
        """Return where the service runs."""
        return self.transport.send(system_call())


class AsyncSystem:
    """Name, health and whereabouts of a service, to be awaited."""

    def __init__(self, transport: AsyncHttpTransport) -> None:
        self.transport = transport

    async def info(self) -> ServiceDescription:
        """Return what the service says about itself."""
        return await self.transport.send(info_call())

    async def health(self) -> HealthStatus:
        """Return the state of the service and of its checks, unhealthy or not."""
        return await self.transport.send(health_call())

    async def system(self) -> SystemDescription:
        """Return where the service runs."""
        return await self.transport.send(system_call())
