"""Requests whose frames are parsed without holding up other requests."""

import json
from collections.abc import Callable, Coroutine
from typing import Any

from anyio.to_thread import run_sync
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from chapkit.core.errors import BadRequestError
from chapkit.data.parse import loads_chunked
from chapkit.ml.polygons import with_places

_THREAD_FROM = 64 * 1024


def parse_request(body: bytes) -> Any:
    """Return the parsed body of a training or a prediction.

    Raises:
        json.JSONDecodeError: It is no JSON; FastAPI answers this error like that of any other body.
    """
    try:
        return with_places(loads_chunked(body))
    except BadRequestError as error:
        raise json.JSONDecodeError(error.detail, "", error.extensions.get("position", 0)) from error


class FrameRequest(Request):
    """A request whose JSON is parsed in pieces, large ones in a thread."""

    async def json(self) -> Any:
        """Return the parsed body."""
        if not hasattr(self, "_json"):
            body = await self.body()
            large = len(body) > _THREAD_FROM
            self._json = await run_sync(parse_request, body) if large else parse_request(body)
        return self._json


class FrameRoute(APIRoute):
    """A route whose endpoint gets a `FrameRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler around FastAPI's own."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(FrameRequest(request.scope, request.receive))

        return handle
