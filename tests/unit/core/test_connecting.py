"""Nobody waits for long for a PostgreSQL server that answers nothing at all."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from sqlalchemy import text

from chapkit.core import connecting
from chapkit.core.database import Database
from chapkit.core.database_errors import translating
from chapkit.core.errors import UnavailableError
from tests.things import open_database

pytestmark = pytest.mark.anyio
_MORE_THAN_WAIT = 4


@pytest.fixture
def silent_port() -> Iterator[int]:
    """Yield a port where so many wait to be accepted that the system does not answer others."""
    with ExitStack() as stack:
        server = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(_MORE_THAN_WAIT):
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.mark.parametrize(
    ("scheme", "patience", "query"),
    [("asyncpg", 1, ""), ("psycopg", 1, ""), ("psycopg", 10_000, "?connect_timeout=1")],
)
async def test_a_server_that_does_not_even_refuse_is_given_up(
    silent_port: int, scheme: str, patience: int, query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connecting, "CONNECT_TIMEOUT", patience)
    database = open_database(f"postgresql+{scheme}://somebody@127.0.0.1:{silent_port}/x{query}")
    with pytest.raises(UnavailableError) as caught:
        await _ask(database)
    assert caught.value.code == "database-unreachable"
    await database.dispose()


async def _ask(database: Database) -> None:
    with translating():
        async with database.engine.connect() as connection:
            await connection.scalar(text("SELECT 1"))
