"""In threads: for functions that compute or block."""

import asyncio
import concurrent.futures
import contextvars
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from chapkit.job.executors.containment import contained, settle

MOST_THREADS = 40


class ThreadExecutor:
    """A thread for each call, at most `limit` at once, or any number if it is `None`.

    The threads are daemons: one that never ends must not hold up the end of the process, as the
    threads of the standard library's pool would.
    """

    def __init__(self, limit: int | None = MOST_THREADS) -> None:
        self._limit = sys.maxsize if limit is None else limit
        self._slots: asyncio.Semaphore | None = None
        self._running: set[asyncio.Future[Any]] = set()

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns; a cancelled caller goes on only when the function has ended."""
        if self._slots is None:
            self._slots = asyncio.Semaphore(self._limit)
        async with self._slots:
            call = partial(contextvars.copy_context().run, contained, function, *args, **kwargs)
            return await settle(self._start(call), ask=lambda: None)

    async def close(self) -> None:
        """Give up on the threads that still run; what they return is dropped."""
        for future in list(self._running):
            future.cancel()
        self._slots = None

    def _start(self, call: Callable[[], Any]) -> asyncio.Future[Any]:
        outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
        outcome.set_running_or_notify_cancel()
        future = asyncio.wrap_future(outcome)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        threading.Thread(target=_work, args=(outcome, call), name="chapkit-job", daemon=True).start()
        return future


def _work(outcome: concurrent.futures.Future[Any], call: Callable[[], Any]) -> None:
    try:
        result = call()
    except Exception as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(result)
