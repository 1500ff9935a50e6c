"""A connection to PostgreSQL that does one thing for as long as the process lives: it listens, or holds a lock."""

import asyncio
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from chapkit.core.database import Database
from chapkit.core.database_errors import translate
from chapkit.core.logging import get_logger

PATIENCE = 5.0
"""Seconds to wait for the server to say goodbye."""


class DedicatedConnection:
    """Stands beside the pool, which may open another one in its place; each statement commits by itself."""

    def __init__(self, connection: AsyncConnection, driver: Any) -> None:
        self.driver = driver
        self._connection = connection

    @classmethod
    async def open(cls, database: Database) -> "DedicatedConnection":
        """Connect to the server of the database.

        Raises:
            UnavailableError: It cannot be reached.
        """
        try:
            connection = await database.engine.connect()
            driver = (await connection.get_raw_connection()).driver_connection
            await connection.execution_options(isolation_level="AUTOCOMMIT")
            await connection.run_sync(lambda sync: sync.detach())
        except SQLAlchemyError as error:
            raise translate(error) from error
        return cls(connection, driver)

    async def scalar(self, statement: str, **values: Any) -> Any:
        """Carry out a statement and return the first value of its answer.

        Raises:
            UnavailableError: The connection is lost.
        """
        try:
            return await self._connection.scalar(text(statement), values)
        except SQLAlchemyError as error:
            raise translate(error) from error

    async def close(self) -> None:
        """Let go of the connection, whether or not the server still answers."""
        try:
            # SQLAlchemy itself leaves a detached connection of psycopg open.
            async with asyncio.timeout(PATIENCE):
                await self.driver.close()
        except Exception as error:
            # The driver has let go of the socket all the same.
            get_logger("chapkit.database").debug("database.not_closed", error=str(error))
        await self._connection.invalidate()
        await self._connection.close()
