"""A connection to PostgreSQL that listens, whichever driver the database uses."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

from chapkit.core.database import Database
from chapkit.core.dedicated import DedicatedConnection

PATIENCE = 5.0
"""Seconds to wait for the server's answer to a message."""
_PREFIX = "chapkit_jobs_"


class Listener(Protocol):
    """Hears the messages of one channel, and sends some."""

    is_lost: bool

    async def start(self) -> None:
        """Hear from now on."""
        ...

    async def send(self, payload: str) -> None:
        """Send one message, at most 7,999 bytes of it."""
        ...

    def stop(self) -> None:
        """Hear no more."""
        ...


class AsyncpgListener:
    """Hears with asyncpg, which reads all the time."""

    def __init__(self, driver: Any, channel: str, heard: Callable[[str], None], lost: Callable[[], None]) -> None:
        self.is_lost = False
        self._driver = driver
        self._channel = channel
        self._heard = heard
        self._lost = lost

    async def start(self) -> None:
        """Hear from now on."""
        self._driver.add_termination_listener(self._end)
        await self._driver.add_listener(self._channel, self._hear)

    async def send(self, payload: str) -> None:
        """Send one message."""
        await self._driver.execute("SELECT pg_notify($1, $2)", self._channel, payload, timeout=PATIENCE)

    def stop(self) -> None:
        """Hear no more."""
        self._driver.remove_termination_listener(self._end)

    def _hear(self, connection: object, pid: int, channel: str, payload: str) -> None:
        self._heard(payload)

    def _end(self, connection: object) -> None:
        self.is_lost = True
        self._lost()


class PsycopgListener:
    """Hears with psycopg, which reads only when it is told to: here whenever something has arrived."""

    def __init__(self, driver: Any, channel: str, heard: Callable[[str], None], lost: Callable[[], None]) -> None:
        self.is_lost = False
        self._driver = driver
        self._channel = channel
        self._heard = heard
        self._lost = lost
        self._socket: int = driver.fileno()

    async def start(self) -> None:
        """Hear from now on."""
        # For what arrives together with the answer to a statement.
        self._driver.add_notify_handler(self._hear)
        await self._driver.execute(f'LISTEN "{self._channel}"')
        self._watch()

    async def send(self, payload: str) -> None:
        """Send one message."""
        # The driver watches the same socket until it has its answer.
        self.stop()
        async with asyncio.timeout(PATIENCE):
            await self._driver.execute("SELECT pg_notify(%s, %s)", (self._channel, payload))
        self._watch()

    def stop(self) -> None:
        """Hear no more."""
        asyncio.get_running_loop().remove_reader(self._socket)

    def _hear(self, notice: Any) -> None:
        self._heard(notice.payload)

    def _watch(self) -> None:
        asyncio.get_running_loop().add_reader(self._socket, self._read)
        self._read()

    def _read(self) -> None:
        connection = self._driver.pgconn
        payloads: list[str] = []
        try:
            connection.consume_input()
            while (notice := connection.notifies()) is not None:
                payloads.append(notice.extra.decode())
        except Exception:
            # The error of a driver that need not be installed: the connection is gone.
            self.is_lost = True
            self.stop()
            self._lost()
        for payload in payloads:
            self._heard(payload)


@asynccontextmanager
async def listener_on(
    database: Database, heard: Callable[[str], None], lost: Callable[[], None]
) -> AsyncGenerator[Listener]:
    """Open a connection beside the pool, and hear on the channel of the database's schema until the block ends."""
    connection = await DedicatedConnection.open(database)
    listener: Listener | None = None
    try:
        channel = _PREFIX + _digest(str(await connection.scalar("SELECT current_schema()")))
        kind = AsyncpgListener if database.engine.driver == "asyncpg" else PsycopgListener
        listener = kind(connection.driver, channel, heard, lost)
        await listener.start()
        yield listener
    finally:
        if listener is not None:
            listener.stop()
        await connection.close()


def _digest(schema: str) -> str:
    return hashlib.blake2b(schema.encode(), digest_size=8).hexdigest()
