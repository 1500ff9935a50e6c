"""Let requests that change something begin one after the other, so that those which only ask come between."""

import asyncio
from collections import deque

from starlette.types import ASGIApp, Receive, Scope, Send

from chapkit.web.methods import is_reading


class TurnMiddleware:
    """Starts at most one such request in each turn of the event loop.

    What a request does between two real waits holds up the loop. When many arrive at once, a question that comes
    behind them would wait for all of them; so it waits for one. Nothing is held: a request that has begun may take
    as long as it likes.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_taken = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request when it is its turn."""
        if scope["type"] == "http" and not is_reading(scope):
            await self._turn()
        await self.app(scope, receive, send)

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # An application may be started again, and what waited on a loop of before is gone.
            self._loop, self._is_taken = loop, False
            self._waiting.clear()
        if not self._is_taken:
            self._is_taken = True
            loop.call_soon(self._call_next)
            return
        mine: asyncio.Future[None] = loop.create_future()
        self._waiting.append(mine)
        await mine

    def _call_next(self) -> None:
        while self._waiting:
            next_one = self._waiting.popleft()
            if not next_one.done():
                next_one.set_result(None)
                asyncio.get_running_loop().call_soon(self._call_next)
                return
        self._is_taken = False
