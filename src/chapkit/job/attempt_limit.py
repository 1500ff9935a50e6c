"""The seconds that one attempt at a job may take."""

import asyncio
from collections.abc import Callable, Generator
from contextlib import contextmanager


class AttemptLimit:
    """Tells when the time of an attempt is over; what it waits for its turn does not count.

    Args:
        seconds: How long the attempt may take.
        on_over: Called when it has taken that long.
    """

    def __init__(self, seconds: float, on_over: Callable[[], object]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_over = on_over
        self._waiting = 0
        self._left = seconds
        self._timer: asyncio.TimerHandle | None = self._loop.call_later(seconds, on_over)

    @contextmanager
    def paused(self) -> Generator[None]:
        """Let the time inside of the block not count."""
        if self._timer is not None:
            self._left = max(0.0, self._timer.when() - self._loop.time())
            self.cancel()
        self._waiting += 1
        try:
            yield
        finally:
            self._waiting -= 1
            if not self._waiting:
                self._timer = self._loop.call_later(self._left, self._on_over)

    def cancel(self) -> None:
        """Tell nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
