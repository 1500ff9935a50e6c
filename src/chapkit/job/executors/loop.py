"""On an event loop of its own: for `async def` functions, which may block it as long as they like."""

import asyncio
import concurrent.futures
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

from chapkit.job.executors.containment import contained_async, settle

_JOIN_SECONDS = 1.0


class JobLoop:
    """A thread with an event loop, started when it is first needed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._running: dict[asyncio.Future[Any], _Work] = {}

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the coroutine returns; a cancelled caller cancels it and goes on when it has ended."""
        work = _Work(function, args, kwargs)
        future = asyncio.wrap_future(work.outcome)
        self._running[future] = work
        future.add_done_callback(self._running.pop)
        work.send_to(self._started())
        return await settle(future, ask=work.cancel)

    def leave_if_blocked(self) -> None:
        """Begin a new thread, if a coroutine that was asked to stop blocks this one; what has not begun moves there."""
        loop, works = self._loop, [work for work in self._running.values() if work.loop is self._loop]
        if loop is None or not any(work.is_unheard for work in works):
            return
        self._loop = self._thread = None
        asyncio.run_coroutine_threadsafe(_stop_when_idle(), loop)
        for work in works:
            if not work.has_begun and not work.is_unheard:
                work.send_to(self._started())

    async def close(self) -> None:
        """Cancel what still runs and stop the thread, unless a coroutine blocks it."""
        loop, thread = self._loop, self._thread
        self._loop = self._thread = None
        for future, work in list(self._running.items()):
            work.cancel()
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
    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.outcome: concurrent.futures.Future[Any] = concurrent.futures.Future()
        self.outcome.set_running_or_notify_cancel()
        self.loop: asyncio.AbstractEventLoop | None = None
        self.is_unheard = False
        """Whether it was asked to stop and its loop has not come to that yet."""
        self._call = (function, args, kwargs)
        self._context = contextvars.copy_context()
        self._beginning = threading.Lock()
        self._task: asyncio.Task[Any] | None = None

    @property
    def has_begun(self) -> bool:
        return self._beginning.locked()

    def send_to(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        loop.call_soon_threadsafe(self._start, context=self._context.copy())

    def _start(self) -> None:
        # Once: it may have been sent to a second loop just when the first one went on.
        if self._beginning.acquire(blocking=False):
            function, args, kwargs = self._call
            self._task = asyncio.get_running_loop().create_task(contained_async(function, *args, **kwargs))
            self._task.add_done_callback(self._finish)

    def cancel(self) -> None:
        task = self._task
        loop = self.loop if task is None else task.get_loop()
        self.is_unheard = True
        # A loop that was left and has nothing more to do is closed.
        with suppress(RuntimeError):
            # Comes behind `_start` in the queue of the loop, so the task is there.
            cast("asyncio.AbstractEventLoop", loop).call_soon_threadsafe(self._hear)

    def _hear(self) -> None:
        self.is_unheard = False
        if self._task is not None:
            self._task.cancel()

    def _finish(self, task: asyncio.Task[Any]) -> None:
        if task.cancelled():
            self.outcome.set_exception(asyncio.CancelledError())
        elif (error := task.exception()) is not None:
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


async def _stop_when_idle() -> None:
    while others := asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.wait(others)
    asyncio.get_running_loop().stop()


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
