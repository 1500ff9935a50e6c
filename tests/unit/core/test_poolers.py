"""A pooler that gives each transaction another session is found when a service starts."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import URL, literal, make_url, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from chapkit.core import poolers
from chapkit.core.database_errors import translate
from chapkit.core.errors import ConfigurationError
from tests.postgres_server import free_port, somebody
from tests.things import open_database

pytestmark = pytest.mark.anyio
CODE = "database-pooler-unsuitable"
PATIENCE = 30.0
_SETTINGS = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {own_port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
"""


class _ServerError(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__(sqlstate)
        self.sqlstate = sqlstate


@pytest.fixture(params=["transaction", "session"])
def pooled(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> Iterator[tuple[URL, str]]:
    """Yield a URL that leads to the server by way of a pooler, and how that pools."""
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    url, mode, own_port = make_url(postgres_url), request.param, free_port()
    settings = _SETTINGS.format(host=url.host, port=url.port or 5432, user=url.username, own_port=own_port, mode=mode)
    file = tmp_path / "pgbouncer.ini"
    file.write_text(settings)
    with file.open() as settings_file:
        # Whoever it is run as need not be able to read the folder.
        process = subprocess.Popen(
            [program, "/dev/stdin"], stdin=settings_file, stderr=subprocess.DEVNULL, user=somebody()
        )
    try:
        _wait_for(own_port)
        yield url.set(host="127.0.0.1", port=own_port), mode
    finally:
        process.kill()
        process.wait()


def _wait_for(port: int) -> None:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    raise TimeoutError(f"nobody listens on port {port}")


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_only_a_pooler_that_leaves_a_session_with_its_client_is_accepted(
    pooled: tuple[URL, str], driver: str
) -> None:
    url, mode = pooled
    database = open_database(url.set(drivername=f"postgresql+{driver}").render_as_string(hide_password=False))
    if mode == "session":
        await database.init([])
    else:
        with pytest.raises(ConfigurationError) as caught:
            await database.init([])
        assert caught.value.code == CODE
    await database.dispose()


async def test_two_connections_with_the_same_session_are_refused(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await poolers.require_own_session(make_url(postgres_url))
    monkeypatch.setattr(poolers, "_SESSION", select(literal(7)))
    with pytest.raises(ConfigurationError) as caught:
        await poolers.require_own_session(make_url(postgres_url))
    assert caught.value.code == CODE


@pytest.mark.parametrize("state", poolers.PREPARED_ELSEWHERE)
async def test_statements_that_another_client_has_prepared_tell_of_a_pooler(
    postgres_url: str, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = DBAPIError("SELECT 1", None, _ServerError(state))
    assert translate(error).code == CODE

    async def fail(engine: AsyncEngine) -> bool:
        raise error

    monkeypatch.setattr(poolers, "_share_a_session", fail)
    with pytest.raises(ConfigurationError) as caught:
        await poolers.require_own_session(make_url(postgres_url))
    assert caught.value.code == CODE


async def test_another_error_is_what_it_is(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error = DBAPIError("SELECT 1", None, _ServerError("57P03"))

    async def fail(engine: AsyncEngine) -> bool:
        raise error

    monkeypatch.setattr(poolers, "_share_a_session", fail)
    with pytest.raises(DBAPIError) as caught:
        await poolers.require_own_session(make_url(postgres_url))
    assert caught.value is error
