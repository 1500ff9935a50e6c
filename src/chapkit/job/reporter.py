"""Write what a running job tells, now and then."""

import asyncio
from collections.abc import Callable

from chapkit.job.context import JobContext
from chapkit.job.errors import StaleAttemptError
from chapkit.job.recording import Recorder

_PAUSE = 0.1
"""Seconds between two writings, so that a busy loop does not flood the database."""


class Reporter:
    """A task that is there as long as there is something to write."""

    def __init__(self, recorder: Recorder, context: JobContext, on_stale: Callable[[], None]) -> None:
        self._recorder = recorder
        self._context = context
        self._on_stale = on_stale
        self._task: asyncio.Task[None] | None = None
        # Cancelled in the middle, the task would lose what it has taken from the context.
        self._writing = asyncio.Lock()

    def start(self) -> None:
        """Begin to write, unless that goes on already."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._report())
            self._task.add_done_callback(_retrieve)

    async def stop(self) -> None:
        """Return when nothing is being written any more."""
        task = self._task
        if task is None:
            return
        async with self._writing:
            task.cancel()
        await asyncio.wait({task})

    def cancel(self) -> None:
        """Write no more."""
        if self._task is not None:
            self._task.cancel()

    async def _report(self) -> None:
        try:
            async with self._writing:
                await self._recorder.report(self._context)
        except StaleAttemptError:
            # Nobody waits for this attempt any more.
            self._on_stale()
        await asyncio.sleep(_PAUSE)
        self._task = None
        if self._context.has_reports:
            self.start()


def _retrieve(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
