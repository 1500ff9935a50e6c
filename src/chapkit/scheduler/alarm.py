"""What wakes the worker before its time."""

import asyncio


class Alarm:
    """Rung by whoever changes when something is due, from any thread; heard on the event loop that waits."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def ring(self) -> None:
        """Let the waiting one look again."""
        loop = self._loop
        if loop is None or loop.is_closed():
            # Nobody waits; who begins to, looks first.
            return
        loop.call_soon_threadsafe(self._rung.set)

    async def wait(self, timeout: float) -> bool:
        """Return when it rings, or False after `timeout` seconds; what rang since the last time counts."""
        try:
            async with asyncio.timeout(timeout):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True

    def open(self) -> None:
        """Be heard on the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._rung = asyncio.Event()
