"""Carry SQLite's write-ahead log over into the database file without letting anybody wait for the disk."""

import asyncio
import contextlib
import sqlite3
from pathlib import Path

from chapkit.core.faults import reach
from chapkit.core.logging import get_logger

EVERY = 200
"""Transactions after which the log is carried over; small ones have made it grow by about a megabyte."""


class Checkpointer:
    """Counts transactions and runs a checkpoint in a thread now and then.

    SQLite would do it by itself inside of a commit, which then takes as long as the disk needs to sync. It still
    does so when the log grows large all the same.
    """

    def __init__(self, path: Path, every: int = EVERY) -> None:
        self._path = path
        self._every = every
        self._transactions = 0
        self._running: asyncio.Future[None] | None = None

    def count(self) -> None:
        """Take note of one transaction that wrote."""
        self._transactions += 1
        if self._transactions >= self._every and (self._running is None or self._running.done()):
            self._transactions = 0
            self._running = asyncio.get_running_loop().run_in_executor(None, self.run)

    def run(self) -> None:
        """Carry over what no reader needs any more; blocks."""
        try:
            with contextlib.closing(sqlite3.connect(self._path, timeout=0)) as connection:
                reach("checkpoint.before")
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
                reach("checkpoint.after")
        except sqlite3.Error as error:
            # The next one will do, or SQLite itself.
            get_logger("chapkit.database").warning("database.checkpoint_failed", error=str(error))

    async def close(self) -> None:
        """Wait for a checkpoint that runs."""
        if self._running is not None:
            await self._running
            self._running = None
