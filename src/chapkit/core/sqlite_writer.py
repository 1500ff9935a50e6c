"""Transactions of SQLite that go past SQLAlchemy, for what is written several times for each job."""

import sqlite3
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

from sqlalchemy.exc import OperationalError

from chapkit.core.faults import reach
from chapkit.core.inline import InlineConnection


class SqliteWriter:
    """A connection of its own; who uses it must be the only writer of this process meanwhile."""

    def __init__(self, connect: Callable[[], InlineConnection]) -> None:
        self._connect = connect
        self._connection: InlineConnection | None = None

    @asynccontextmanager
    async def transaction(
        self, begin: Callable[[InlineConnection], Awaitable[None]]
    ) -> AsyncGenerator[InlineConnection]:
        """Begin a transaction that writes, commit it at the end of the block, roll it back if that raises."""
        if self._connection is None:
            self._connection = await self._connect()
        connection = self._connection
        try:
            await _say("BEGIN IMMEDIATE", begin(connection))
            yield connection
            reach("scope.before-commit")
            await _say("COMMIT", connection.run("COMMIT", ()))
            reach("scope.after-commit")
        except BaseException:
            self._roll_back(connection)
            raise

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    def _roll_back(self, connection: InlineConnection) -> None:
        if connection.in_transaction:
            try:
                connection.roll_back()
            except sqlite3.Error:
                # Whatever state it is in, the next transaction gets another one.
                connection.stop()
                self._connection = None


async def _say(word: str, saying: Awaitable[None]) -> None:
    try:
        await saying
    except sqlite3.OperationalError as error:
        raise OperationalError(word, None, error, hide_parameters=True) from error
