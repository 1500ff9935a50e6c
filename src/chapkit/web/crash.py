"""The last resort: an error that nobody foresaw becomes one log entry and one problem."""

import asyncio

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chapkit.core.errors import UnavailableError
from chapkit.core.logging import describe_error, get_logger
from chapkit.web.problems import problem, problem_of

IS_STOPPING = "is_stopping"
"""Member of the application's state: whether the process was asked to stop."""


class CrashMiddleware:
    """Answers 500 with a problem; the traceback goes to the log, and only there."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the request and catch what it raises, as long as no answer has begun."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def send_and_look(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self.app(scope, receive, send_and_look)
        except asyncio.CancelledError:
            # The server is about to end and waits no longer for those who still work.
            if not started and getattr(scope["app"].state, IS_STOPPING, False):
                stopping = UnavailableError("The service stops; try again", code="service-stopping")
                await problem_of(stopping, Request(scope))(scope, receive, send)
            raise
        except Exception as error:
            if started:
                raise
            get_logger("chapkit.web").error("request.crashed", error=type(error).__name__, **describe_error(error))
            answer = problem(
                Request(scope),
                "internal",
                "Something went wrong inside of the service; its log tells more under this trace_id",
            )
            await answer(scope, receive, send)
