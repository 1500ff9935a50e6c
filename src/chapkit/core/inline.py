"""An aiosqlite connection that executes in the caller instead of in a thread.

A statement of this library takes tens of microseconds; handing it to a thread and back takes
several times as long. Scans, exports and migrations use connections with a thread.
"""

import asyncio
import sqlite3
import time
from collections.abc import Callable, Generator, Sequence
from typing import Any

import aiosqlite

_FIRST_PAUSE = 0.001
_LONGEST_PAUSE = 0.05
_BEGIN = "BEGIN IMMEDIATE"


class InlineConnection(aiosqlite.Connection):
    """Waits for other processes' locks without blocking the event loop."""

    def __init__(self, connector: Callable[[], sqlite3.Connection], patience: float) -> None:
        super().__init__(connector, iter_chunk_size=64)
        self._patience = patience

    def __await__(self) -> Generator[Any, None, "InlineConnection"]:
        # Delegating to nothing makes this a generator, which is what an awaitable has to return.
        yield from ()
        self._connection = self._connector()
        return self

    async def run(self, sql: str, parameters: tuple[Any, ...]) -> None:
        """Execute one statement that returns nothing."""
        if self._connection is None:
            raise ValueError("Connection closed")
        await self._execute(self._connection.execute, sql, parameters)

    async def fetch(self, sql: str, parameters: tuple[Any, ...]) -> list[Any]:
        """Execute one statement and return its rows."""
        if self._connection is None:
            raise ValueError("Connection closed")
        cursor = await self._execute(self._connection.execute, sql, parameters)
        rows: list[Any] = cursor.fetchall()
        return rows

    async def run_many(self, sql: str, parameters: Sequence[tuple[Any, ...]]) -> None:
        """Execute one statement for each of several sets of parameters."""
        if self._connection is None:
            raise ValueError("Connection closed")
        await self._execute(self._connection.executemany, sql, parameters)

    async def begin(self, until: float) -> None:
        """Begin a transaction that writes; wait for another one to end until then, by `time.monotonic`."""
        if self._connection is None:
            raise ValueError("Connection closed")
        try:
            self._connection.execute(_BEGIN)
        except sqlite3.OperationalError as error:
            if not is_held(error):
                raise
            await self._execute_patiently(until, self._connection.execute, _BEGIN)

    def roll_back(self) -> None:
        """Undo what the present transaction has written."""
        if self._connection is not None:
            self._connection.rollback()

    async def close(self) -> None:
        """Close the connection."""
        self.stop()

    def stop(self) -> None:
        """Close the connection at once."""
        self._running = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def _execute(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self._connection is None:
            raise ValueError("Connection closed")
        try:
            return fn(*args, **kwargs)
        except sqlite3.OperationalError as error:
            if not is_held(error):
                raise
        return await self._execute_patiently(time.monotonic() + self._patience, fn, *args, **kwargs)

    async def _execute_patiently(self, until: float, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        pause = _FIRST_PAUSE
        while True:
            await asyncio.sleep(pause)
            try:
                return fn(*args, **kwargs)
            except sqlite3.OperationalError as error:
                if not is_held(error) or time.monotonic() > until:
                    raise
            pause = min(pause * 2, _LONGEST_PAUSE)


def is_held(error: sqlite3.OperationalError) -> bool:
    """Tell whether somebody else holds what is needed, and may let go of it."""
    # A reader whose snapshot is stale can never become a writer, however long it waits.
    return error.sqlite_errorcode in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_BUSY_RECOVERY, sqlite3.SQLITE_LOCKED)
