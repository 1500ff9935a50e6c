"""Neither a service nor its PostgreSQL server waits for hours for the other side when the way between them is cut."""

import os
import socket
from types import SimpleNamespace

import pytest
from sqlalchemy import make_url, text

from chapkit.core.keepalive import SERVER_SETTINGS, _descriptor, keep_alive
from tests.things import open_database

pytestmark = pytest.mark.anyio
_OPTIONS = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
_SETTINGS = text("SELECT name, setting FROM pg_settings WHERE name LIKE 'tcp%'")


async def _look(url: str, driver: str, **query: str) -> tuple[list[int], dict[str, str]]:
    """Return what a new connection has been told, on this side and on the other one."""
    wanted = make_url(url).set(drivername=f"postgresql+{driver}").update_query_dict(query)
    database = open_database(wanted.render_as_string(hide_password=False))
    async with database.engine.connect() as connection:
        descriptor = _descriptor((await connection.get_raw_connection()).driver_connection)
        assert descriptor is not None
        with socket.socket(fileno=os.dup(descriptor)) as way:
            assert way.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
            here = [way.getsockopt(socket.IPPROTO_TCP, option) for option in _OPTIONS]
        there = {row.name: row.setting for row in await connection.execute(_SETTINGS)}
    await database.dispose()
    return here, there


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_both_ends_of_a_connection_ask_whether_the_other_one_is_there(postgres_url: str, driver: str) -> None:
    assert await _look(postgres_url, driver) == ([5, 5, 3, 20_000], SERVER_SETTINGS)


async def test_what_the_url_says_stays(postgres_url: str) -> None:
    here, _ = await _look(postgres_url, "psycopg", keepalives_idle="60", tcp_user_timeout="70000")
    assert here == [60, 5, 3, 70_000]


async def test_what_was_set_on_the_server_stays(postgres_url: str) -> None:
    database = open_database(postgres_url)
    async with database.engine.begin() as connection:
        name = make_url(postgres_url).database
        await connection.execute(text(f'ALTER DATABASE "{name}" SET tcp_keepalives_idle = 90'))
    await database.dispose()
    _, there = await _look(postgres_url, "asyncpg")
    assert there == {**SERVER_SETTINGS, "tcp_keepalives_idle": "90"}


def test_a_socket_within_the_machine_needs_no_watch() -> None:
    one, other = socket.socketpair()
    with one, other:
        keep_alive(SimpleNamespace(driver_connection=one), None)
        assert one.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0


def test_a_driver_that_shows_no_socket_is_left_alone() -> None:
    keep_alive(SimpleNamespace(driver_connection=object()), None)
