"""One writer of this process after the other, and each of them at the lock that all processes share."""

import asyncio
import sqlite3
import time

from chapkit.core.inline import InlineConnection, is_held


class WriteGate:
    """Lets the writers of this process go on in the order in which they came.

    Where one of them waits for another process in vain, those behind it wait for the same process. They are refused
    when the time since they came is over, all of them, and not one after the other.
    """

    def __init__(self, patience: float) -> None:
        self.held_for: float | None = None
        """Seconds that the last writer has waited for another process in vain; `None` if it could write."""
        self._patience = patience
        self._lock = asyncio.Lock()

    async def acquire(self) -> float:
        """Wait for the turn of this writer; return since when it waits for other processes."""
        came = time.monotonic()
        await self._lock.acquire()
        # Behind a writer of this process that could write, the wait for another one begins only now.
        return time.monotonic() if self.held_for is None else came

    def release(self) -> None:
        """Let the next one go on."""
        self._lock.release()

    async def begin(self, connection: InlineConnection, since: float) -> None:
        """Begin the transaction of the writer whose turn it is and who waits `since` then."""
        try:
            await connection.begin(since + self._patience)
        except sqlite3.OperationalError as error:
            if is_held(error):
                self.held_for = time.monotonic() - since
            raise
        self.held_for = None

    async def __aenter__(self) -> float:
        return await self.acquire()

    async def __aexit__(self, *_: object) -> None:
        self.release()
