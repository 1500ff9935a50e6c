"""The two clients: one that waits, one to be awaited."""

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import httpx

from chapkit.client.configs import AsyncConfigs, Configs
from chapkit.client.inprocess import AppTransport, AsgiApp, ThreadedAppTransport
from chapkit.client.jobs import AsyncJobs, Jobs
from chapkit.client.retries import Retries
from chapkit.client.schedules import AsyncSchedules, Schedules
from chapkit.client.system import AsyncSystem, ServiceDescription, System
from chapkit.client.tasks import AsyncTasks, Tasks
from chapkit.client.transport import AsyncHttpTransport, HttpTransport
from chapkit.config.schemas import BaseConfig
from chapkit.core.errors import ConfigurationError
from chapkit.ops.health_schemas import HealthStatus

_IN_PROCESS = "http://localhost"


class Client:
    """Talks to a service at a URL, or to an application in this process (which it starts and stops).

    Args:
        url: Where the service is, without `/api/v1`.
        app: The application instead of a URL.
        headers: Sent with every request, such as an API key.
        timeout: Seconds that connecting and each silence may last; `None` for no limit.
        retries: What is sent again when the connection breaks or the service is busy.
        transport: How httpx sends, instead of the network; for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        app: AsgiApp | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = 30.0,
        retries: Retries | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        base_url = _address(url, app)
        self._app = None if app is None else ThreadedAppTransport(app)
        http = httpx.Client(
            base_url=base_url, headers=_headers(headers), timeout=timeout, transport=self._app or transport
        )
        self.transport = HttpTransport(http, retries or Retries())
        self.configs: Configs[BaseConfig] = Configs(self.transport, BaseConfig)
        self.jobs = Jobs(self.transport)
        self.tasks = Tasks(self.transport, self.jobs)
        self.schedules = Schedules(self.transport)
        self.system = System(self.transport)

    def health(self) -> HealthStatus:
        """Return the state of the service and of its checks, unhealthy or not."""
        return self.system.health()

    def info(self) -> ServiceDescription:
        """Return what the service says about itself."""
        return self.system.info()

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the plain answer to any request, whatever its status; `options` as `httpx.request` knows them."""
        return self.transport.request(method, path, **options)

    def close(self) -> None:
        """Close the connections, and stop the application if it runs in this process."""
        self.transport.close()

    def __enter__(self) -> Self:
        if self._app is not None:
            self._app.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class AsyncClient:
    """Does the same on the running event loop; with `app`, only between the two ends of its `async with`.

    Args:
        url: Where the service is, without `/api/v1`.
        app: The application instead of a URL.
        headers: Sent with every request, such as an API key.
        timeout: Seconds that connecting and each silence may last; `None` for no limit.
        retries: What is sent again when the connection breaks or the service is busy.
        transport: How httpx sends, instead of the network; for tests.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        app: AsgiApp | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = 30.0,
        retries: Retries | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        base_url = _address(url, app)
        self._app = None if app is None else AppTransport(app)
        http = httpx.AsyncClient(
            base_url=base_url, headers=_headers(headers), timeout=timeout, transport=self._app or transport
        )
        self.transport = AsyncHttpTransport(http, retries or Retries())
        self.configs: AsyncConfigs[BaseConfig] = AsyncConfigs(self.transport, BaseConfig)
        self.jobs = AsyncJobs(self.transport)
        self.tasks = AsyncTasks(self.transport, self.jobs)
        self.schedules = AsyncSchedules(self.transport)
        self.system = AsyncSystem(self.transport)

    async def health(self) -> HealthStatus:
        """Return the state of the service and of its checks, unhealthy or not."""
        return await self.system.health()

    async def info(self) -> ServiceDescription:
        """Return what the service says about itself."""
        return await self.system.info()

    async def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the plain answer to any request, whatever its status; `options` as `httpx.request` knows them."""
        return await self.transport.request(method, path, **options)

    async def close(self) -> None:
        """Close the connections, and stop the application if it runs in this process."""
        await self.transport.close()

    async def __aenter__(self) -> Self:
        if self._app is not None:
            await self._app.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _address(url: str | None, app: AsgiApp | None) -> str:
    if app is not None and url is None:
        return _IN_PROCESS
    if url is None or app is not None:
        raise ConfigurationError("A client needs either the URL of a service or an app", code="client-target-invalid")
    if not url.startswith(("http://", "https://")):
        raise ConfigurationError(
            f"The URL of a service begins with http:// or https://; found {url!r}",
            code="client-url-invalid",
            field="url",
            found=url,
        )
    return url


def _headers(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {"User-Agent": "chapkit-client", **(headers or {})}
