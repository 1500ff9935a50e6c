"""A limit for the size of requests."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chapkit.web.problems import TOO_LARGE, problem


class BodyLimitMiddleware:
    """Refuses larger requests with a problem, whether they tell their length or not."""

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look at the announced length, then count what arrives."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        if _announced(scope) > self.max_bytes:
            answer = problem(Request(scope), "too-large", TOO_LARGE, code="body-too-large")
            await answer(scope, receive, send)
            return
        arrived = 0

        async def receive_and_count() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self.max_bytes:
                # FastAPI lets no other error through while it reads a body.
                raise HTTPException(413)
            return message

        await self.app(scope, receive_and_count, send)


def _announced(scope: Scope) -> int:
    text: bytes = dict(scope["headers"]).get(b"content-length", b"")
    return int(text) if text.isdigit() else 0
