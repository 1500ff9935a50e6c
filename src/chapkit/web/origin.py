"""Let what a request causes say where it comes from."""

import re
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from chapkit.core.origin import REQUESTER, TRACE_PARENT, working_on_behalf
from chapkit.web.methods import is_reading

_HEADER = b"traceparent"
_is_trace_parent = re.compile(rb"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}").fullmatch


class OriginMiddleware:
    """Keeps the `traceparent` of W3C Trace Context, and the name of the user whom an authentication has found.

    The user is `scope["user"]`, where Starlette's `AuthenticationMiddleware` and its like put it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request; `current_origin` tells of it meanwhile."""
        origin = {} if scope["type"] != "http" or is_reading(scope) else _read(scope)
        if not origin:
            await self.app(scope, receive, send)
            return
        with working_on_behalf(origin):
            await self.app(scope, receive, send)


def _read(scope: Scope) -> dict[str, str]:
    origin: dict[str, str] = {}
    for name, value in scope["headers"]:
        if name == _HEADER and _is_trace_parent(value):
            origin[TRACE_PARENT] = value.decode()
    user: Any = scope.get("user")
    if getattr(user, "is_authenticated", False):
        origin[REQUESTER] = str(user.display_name)
    return origin
