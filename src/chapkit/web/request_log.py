"""Request ids and one line a request, as pure ASGI."""

import re
import time
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bind_contextvars, reset_contextvars

from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger

_sane = re.compile(rb"[A-Za-z0-9._:/+=-]{1,128}").fullmatch
_HEADER = b"x-request-id"


class RequestIdMiddleware:
    """Gives every request an id: the caller's `X-Request-ID` if it is sane, else a new one."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with the id, and keep it as `request.state.request_id`."""
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        request_id = _read_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), (_HEADER, request_id.encode())]
            await send(message)

        tokens = bind_contextvars(request_id=request_id)
        try:
            await self.app(scope, receive, send_with_id)
        finally:
            reset_contextvars(**tokens)


class RequestLogMiddleware:
    """Writes one line for each request, when its last byte was sent; stands inside of the request id."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Time the request and log what became of it; headers and bodies are never logged."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 0

        async def send_and_look(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        error: str | None = None
        try:
            await self.app(scope, receive, send_and_look)
        except BaseException as failure:
            error = type(failure).__name__
            raise
        finally:
            _log(scope, status or 500, time.perf_counter() - started, error)


def _log(scope: Scope, status: int, seconds: float, error: str | None) -> None:
    values: dict[str, Any] = {
        "method": scope["method"],
        "path": scope["path"],
        "status_code": status,
        "duration_ms": round(seconds * 1000, 2),
    }
    client = scope.get("client")
    if client is not None:
        values["client_host"] = client[0]
    if error is not None:
        get_logger().error("http.request.error", error=error, **values)
    else:
        get_logger().info("http.request.complete", **values)


def _read_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == _HEADER and _sane(value):
            return str(value.decode())
    return str(ULID())
