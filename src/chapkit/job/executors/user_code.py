"""Functions of the user: never on the event loop that serves requests."""

import inspect
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from chapkit.job.executors.loop import JobLoop
from chapkit.job.executors.thread import ThreadExecutor

if TYPE_CHECKING:
    from chapkit.job.executors.limits import ProcessLimits
    from chapkit.job.executors.process import ProcessExecutor


class UserCode:
    """Runs `async def` functions on the job loop and all others in threads; both in child processes on request."""

    def __init__(
        self,
        processes: "ProcessExecutor | None" = None,
        *,
        process_limit: int | None = None,
        process_limits: "ProcessLimits | None" = None,
    ) -> None:
        # Each job limits its own: one that never answers must not keep the threads of others.
        self.threads = ThreadExecutor(None)
        self.loop = JobLoop()
        self._processes = processes
        self._process_limit = process_limit
        self._process_limits = process_limits

    @property
    def processes(self) -> "ProcessExecutor":
        """Where functions run that must be stoppable or may crash; nothing is started before the first of them."""
        if self._processes is None:
            # Late: most services never need multiprocessing.
            from chapkit.job.executors.process import ProcessExecutor

            self._processes = ProcessExecutor(self._process_limit, self._process_limits)
        return self._processes

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns; a cancelled caller goes on only when the function has ended."""
        if is_coroutine_function(function):
            return await self.loop.run(function, *args, **kwargs)
        result: Any = await self.threads.run(function, *args, **kwargs)
        if inspect.iscoroutine(result):
            # A plain function that hands out a coroutine, such as `lambda: train(data)`.
            return await self.loop.run(lambda: cast("Any", result))
        return result

    async def close(self) -> None:
        """Give up on what still runs; a later call starts anew."""
        await self.threads.close()
        await self.loop.close()
        if self._processes is not None:
            await self._processes.close()


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Tell whether calling it gives a coroutine: `async def`, a partial of one, an object with such a `__call__`."""
    inner: Any = function
    while isinstance(inner, partial):
        inner = inner.func
    return inspect.iscoroutinefunction(inner) or inspect.iscoroutinefunction(type(inner).__call__)
