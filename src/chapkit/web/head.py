"""HEAD for everything that answers GET."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send


class _Answered(Exception):
    """The headers are out; the rest of a stream is not wanted."""


class HeadMiddleware:
    """Runs a HEAD request as a GET and keeps the body back."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send status and headers of the GET."""
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self.app(scope, receive, send)
            return
        answered = False

        async def send_head(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                await send(message)
                await send({"type": "http.response.body", "body": b"", "more_body": False})
                answered = True
            elif message.get("more_body"):
                raise _Answered

        try:
            await self.app({**scope, "method": "GET"}, receive, send_head)
        except _Answered:
            pass
