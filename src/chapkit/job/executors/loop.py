"""On an event loop of its own: for `async def` functions, which may block it as long as they like."""

import asyncio
import concurrent.futures
import threading
from collections.abc import Callable
from typing import Any

from chapkit.job.executors.containment import contained_async, settle

_JOIN_SECONDS = 1.0


class JobLoop:
    """A thread with an event loop, started when it is first needed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._running: set[asyncio.Future[Any]] = set()

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the coroutine returns; a cancelled caller cancels it and goes on when it has ended."""
        loop = self._started()
        work = _Work(loop, function, args, kwargs)
        future = asyncio.wrap_future(work.outcome)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        # Takes the caller's context variables along.
        loop.call_soon_threadsafe(work.start)
        return await settle(future, ask=work.cancel)

    async def close(self) -> None:
        """Cancel what still runs and stop the thread, unless a coroutine blocks it."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        for future in list(self._running):
            future.cancel()
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            await asyncio.to_thread(thread.join, _JOIN_SECONDS)

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=_serve, args=(self._loop,), name="chapkit-job-loop", daemon=True)
            self._thread.start()
        return self._loop


class _Work:
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self.outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self.outcome.set_running_or_notify_cancel()
        self._loop = loop
        self._call = (function, args, kwargs)
        self._task: asyncio.Task[Any] | None = None

    def start(self) -> None:
        function, args, kwargs = self._call
        self._task = self._loop.create_task(contained_async(function, *args, **kwargs))
        self._task.add_done_callback(self._finish)

    def cancel(self) -> None:
        # Comes behind `start` in the queue of the loop, so the task is there.
        self._loop.call_soon_threadsafe(lambda: self._task is not None and self._task.cancel())

    def _finish(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.outcome.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        loop.close()
