"""A pool of connections in which nobody is overtaken."""

import asyncio
from typing import Any, TypeVar

from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.util import await_only, memoized_property
from sqlalchemy.util.queue import AsyncAdaptedQueue, Empty

T = TypeVar("T")


class FairQueue(AsyncAdaptedQueue[T]):
    """Hands out what comes back in the order in which it was asked for.

    The one of SQLAlchemy lets whoever comes at the right moment take what another one was woken for, who then waits
    at the end again: under load some callers wait until their time is over while others are served many times.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._waiting = 0

    def get(self, block: bool = True, timeout: float | None = None) -> T:
        """Return an item, after those who wait already; `Empty` after `timeout` seconds."""
        if not block:
            return self.get_nowait()
        if self._waiting == 0 and not self.empty():
            return self.get_nowait()
        self._waiting += 1
        try:
            return await_only(self._take_in_turn(timeout))
        except TimeoutError as error:
            raise Empty from error
        finally:
            self._waiting -= 1

    async def _take_in_turn(self, timeout: float | None) -> T:
        async with asyncio.timeout(timeout), self._turn:
            return await self._queue.get()

    @memoized_property
    def _turn(self) -> asyncio.Lock:
        # Made when it is first needed, like the queue: then the loop is the right one.
        return asyncio.Lock()


class FairPool(AsyncAdaptedQueuePool):
    """The usual pool over a fair queue."""

    # SQLAlchemy names the logger of a pool by its module; what it tells is no news of chapkit.
    __module__ = AsyncAdaptedQueuePool.__module__

    _queue_class: Any = FairQueue
