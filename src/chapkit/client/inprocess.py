"""Talks to an application in this process: its start-up and shutdown included, without a socket."""

import asyncio
import atexit
import threading
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from typing import Any, TypeAlias

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from chapkit.client.errors import ClientError

AsgiApp: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]


class Lifespan:
    """The `lifespan` of an application, running in a task of its own between `start` and `stop`."""

    def __init__(self, app: AsgiApp) -> None:
        self.state: dict[str, Any] = {}
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self._failure: str | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether the application has started and not been stopped."""
        return self._task is not None

    async def start(self) -> None:
        """Start the application; what its start-up raises is raised here."""
        self._failure = None
        self._asked = False
        self._stopping = asyncio.Event()
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        task = asyncio.create_task(self._run(), name="chapkit.client.lifespan")
        try:
            await self._started
        except BaseException:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        self._task = task

    async def stop(self) -> None:
        """Stop the application and wait until it has let go of everything."""
        task, self._task = self._task, None
        if task is not None:
            self._stopping.set()
            await task

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": self.state}
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            if self._started.done():
                raise
            self._started.set_exception(error)
            return
        if self._failure is not None and not self._started.done():
            self._started.set_exception(ClientError(f"The application did not start: {self._failure}"))
        elif not self._started.done():
            self._started.set_result(None)

    async def _receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "lifespan.startup"}
        await self._stopping.wait()
        return {"type": "lifespan.shutdown"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "lifespan.startup.complete" and not self._started.done():
            self._started.set_result(None)
        elif message["type"] == "lifespan.startup.failed":
            # Most applications raise the error itself right after; that one is better.
            self._failure = str(message.get("message", ""))


class AppTransport(httpx.AsyncBaseTransport):
    """Sends requests to an application on the running event loop."""

    def __init__(self, app: AsgiApp) -> None:
        self._app = app
        self._lifespan = Lifespan(app)
        self._asgi = httpx.ASGITransport(app=self._call, raise_app_exceptions=False)

    async def start(self) -> None:
        """Start the application, unless it runs already."""
        if not self._lifespan.is_running:
            await self._lifespan.start()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the whole answer of the application."""
        if not self._lifespan.is_running:
            raise ClientError(
                "The application is not running; use 'async with AsyncClient(app=app) as client:'",
                code="app-not-running",
            )
        try:
            async with asyncio.timeout(request.extensions.get("timeout", {}).get("read")):
                return await self._asgi.handle_async_request(request)
        except TimeoutError as error:
            raise httpx.ReadTimeout("the application did not answer", request=request) from error

    async def aclose(self) -> None:
        """Stop the application."""
        await self._lifespan.stop()

    async def _call(self, scope: Any, receive: Any, send: Any) -> None:
        await self._app({**scope, "state": dict(self._lifespan.state)}, receive, send)


class ThreadedAppTransport(httpx.BaseTransport):
    """Runs an application on an event loop in a thread of its own, from the first request until `close`."""

    def __init__(self, app: AsgiApp) -> None:
        self._transport = AppTransport(app)
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def start(self) -> BlockingPortal:
        """Start thread and application, unless they run already."""
        with self._lock:
            if self._portal is None:
                with ExitStack() as stack:
                    portal = stack.enter_context(start_blocking_portal(name="chapkit.client"))
                    portal.call(self._transport.start)
                    stack.callback(portal.call, self._transport.aclose)
                    self._stack = stack.pop_all()
                self._portal = portal
                atexit.register(self.close)
            return self._portal

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the whole answer of the application."""
        request.read()
        return self.start().call(self._exchange, request)

    def close(self) -> None:
        """Stop application and thread."""
        with self._lock:
            if self._portal is not None:
                self._portal = None
                atexit.unregister(self.close)
                self._stack.close()

    async def _exchange(self, request: httpx.Request) -> httpx.Response:
        response = await self._transport.handle_async_request(request)
        content = b"".join([part async for part in response.aiter_raw()])
        # The stream of the answer belongs to the other event loop, so a new answer is made.
        return httpx.Response(response.status_code, headers=response.headers, stream=httpx.ByteStream(content))
