"""Stands between a service and its PostgreSQL server, and says what the server says in rare moments."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress

from sqlalchemy import URL

_WORDS = b"SFATAL\0VFATAL\0C57P01\0Mterminating connection due to administrator command\0\0"
_END = b"E" + (len(_WORDS) + 4).to_bytes(4) + _WORDS
_READY = b"Z\0\0\0\5I"
_MOST = 65536


class PostgresRelay:
    """Hands on what both sides say."""

    def __init__(self, server: URL) -> None:
        self.ends_new_ones = False
        """Tell the next connection of its end as soon as it is open."""
        self._server = server
        self._clients: list[asyncio.StreamWriter] = []
        self._tasks: list[asyncio.Task[None]] = []

    def tell_of_the_end(self) -> None:
        """Tell every connection that is open that the server ends it; the connections stay open."""
        for client in self._clients:
            client.write(_END)
        self._clients.clear()

    def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Hand on one connection until one of the sides ends it."""
        self._clients.append(writer)
        self._tasks.append(asyncio.create_task(self._serve(reader, writer)))

    async def close(self) -> None:
        """End what is still open."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(self._server.host, self._server.port or 5432)
        try:
            await asyncio.gather(_hand_on(reader, back), _hand_on(there, writer, self._add))
        finally:
            for end in (writer, back):
                end.close()
                with suppress(ConnectionError):
                    await end.wait_closed()

    def _add(self, said: bytes) -> bytes:
        if self.ends_new_ones and said.endswith(_READY):
            self.ends_new_ones = False
            return said + _END
        return said


@asynccontextmanager
async def relaying(server: URL) -> AsyncGenerator[tuple[PostgresRelay, URL]]:
    """Open a relay before a server; yield it, and the URL of the server behind it."""
    relay = PostgresRelay(server)
    async with await asyncio.start_server(relay.accept, "127.0.0.1", 0) as listener:
        try:
            yield relay, server.set(host="127.0.0.1", port=listener.sockets[0].getsockname()[1])
        finally:
            await relay.close()


async def _hand_on(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, change: Callable[[bytes], bytes] = bytes
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(_MOST):
            writer.write(change(data))
            await writer.drain()
        writer.close()
