"""In child processes: for functions that must be stoppable, or may crash."""

import asyncio
import atexit
import os
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager, nullcontext
from typing import Any

from chapkit.core.errors import ConfigurationError
from chapkit.job.claims import Usage
from chapkit.job.current import RunningJob
from chapkit.job.executors.containment import settle
from chapkit.job.executors.keeper import Call, Child, NotTakenError
from chapkit.job.executors.limits import ProcessLimits

CALLS_PER_CHILD = 100
"""A child that has answered so many calls is replaced, with all that has piled up in it."""


class ProcessExecutor:
    """Calls functions in spawned processes, at most `limit` at once; those that are done wait for the next call.

    Args:
        limit: Children at once; the number of processors if it is left out.
        limits: Memory and processor time of each call.
        idle: Children that are kept waiting; `limit` if it is left out.
        calls_per_child: Calls after which a child is replaced.

    Raises:
        ConfigurationError: A number leaves nothing to work with (`process-limits-invalid`).
    """

    def __init__(
        self,
        limit: int | None = None,
        limits: ProcessLimits | None = None,
        *,
        idle: int | None = None,
        calls_per_child: int = CALLS_PER_CHILD,
    ) -> None:
        self.limit = _checked("limit", limit if limit is not None else processors())
        self.limits = limits or ProcessLimits()
        self._max_idle = self.limit if idle is None else idle
        self._calls_per_child = _checked("calls_per_child", calls_per_child)
        self._slots: asyncio.Semaphore | None = None
        self._children: set[Child] = set()
        self._idle: list[Child] = []
        self._running: set[asyncio.Future[Any]] = set()
        self._process_id = 0

    def warm(self, *functions: Callable[..., Any]) -> None:
        """Start a first child in the background, which imports the modules of `functions` ahead."""
        if not self._children:
            child = self._new_child()
            if functions:
                child.submit(Call(_meet, functions))
            self._idle.append(child)

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns; a cancelled caller goes on when the child has been killed."""
        return await self.call(function, args, kwargs)

    async def call(
        self,
        function: Callable[..., Any],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        *,
        job: RunningJob | None = None,
        on_usage: Callable[[Usage], object] | None = None,
        waiting: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> Any:
        """Return what the function returns, awaited if it is a coroutine; errors of the function are raised here.

        A cancelled caller goes on when the child and all that it has started have been killed.

        Args:
            function: Must be importable in a fresh process.
            args: Sent to the child as pickles, as is the result.
            job: What `current_job()` stands for in the child.
            on_usage: Told what the call has used, as far as that is known.
            waiting: Entered while all children are busy with other calls.

        Raises:
            ProcessDiedError: The child has ended by itself.
            ArgumentsNotPicklableError: The function or its arguments cannot be sent.
            ResultNotPicklableError: The result cannot be sent back.
        """
        async with self._turn(waiting):
            while True:
                child = self._take()
                call = Call(function, tuple(args), dict(kwargs), job)
                child.submit(call)
                try:
                    return await self._outcome(child, call)
                except NotTakenError as error:
                    if child.calls == 1:
                        raise error.reason from None
                finally:
                    self._put_back(child)
                    if on_usage is not None and call.usage is not None:
                        on_usage(Usage(*call.usage))

    async def close(self) -> None:
        """Kill all children; a later call starts anew."""
        for future in list(self._running):
            future.cancel()
        children = list(self._children)
        self._kill_all()
        self._idle.clear()
        self._slots = None
        await asyncio.gather(*(asyncio.wrap_future(child.ended) for child in children))
        atexit.unregister(self._kill_all)

    @asynccontextmanager
    async def _turn(self, waiting: Callable[[], AbstractContextManager[None]]) -> AsyncGenerator[None]:
        """Wait until one more child may work, which it may until the end of the block."""
        if self._slots is None:
            self._slots = asyncio.Semaphore(self.limit)
        slots = self._slots
        with waiting():
            await slots.acquire()
        try:
            yield
        finally:
            slots.release()

    async def _outcome(self, child: Child, call: Call) -> Any:
        future = asyncio.wrap_future(call.outcome)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return await settle(future, ask=child.stop)

    def _take(self) -> Child:
        while self._idle:
            child = self._idle.pop()
            if child.is_usable:
                return child
        return self._new_child()

    def _put_back(self, child: Child) -> None:
        is_fresh = child.is_usable and child.calls < self._calls_per_child
        if is_fresh and len(self._idle) < self._max_idle and child in self._children:
            self._idle.append(child)
        else:
            child.kill()

    def _new_child(self) -> Child:
        if not self._children:
            # Runs before the exit handlers of multiprocessing, which would wait for the children.
            atexit.unregister(self._kill_all)
            atexit.register(self._kill_all)
            self._process_id = os.getpid()
        child = Child(self.limits)
        self._children.add(child)
        child.ended.add_done_callback(lambda _: self._children.discard(child))
        return child

    def _kill_all(self) -> None:
        # A process that was forked off must not kill what belongs to this one.
        if os.getpid() == self._process_id:
            for child in list(self._children):
                child.kill()


def processors() -> int:
    """Return the number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _meet(*functions: Callable[..., Any]) -> None:
    """Do nothing: the modules of the functions were imported when they came."""


def _checked(name: str, number: int) -> int:
    if number < 1:
        raise ConfigurationError(
            f"ProcessExecutor({name}={number}) could run nothing; give 1 or more",
            code="process-limits-invalid",
            field=name,
            found=number,
        )
    return number
