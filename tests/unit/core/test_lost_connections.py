"""A server of PostgreSQL that ends connections says so a moment before it does it."""

import asyncio

import pytest
from sqlalchemy import literal, make_url, select, text

from chapkit.core.database import Database
from chapkit.core.direct import Direct
from chapkit.core.errors import UnavailableError
from chapkit.core.services import Services
from tests.postgres_relay import PostgresRelay, relaying
from tests.things import open_database

pytestmark = pytest.mark.anyio
_QUESTION = text("SELECT 1")
_SELECT = Direct(select(literal(1).label("number")))


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_connection_whose_end_was_told_is_replaced(postgres_url: str, driver: str) -> None:
    async with relaying(make_url(postgres_url).set(drivername=f"postgresql+{driver}")) as (relay, url):
        database = open_database(url.render_as_string(hide_password=False))
        async with database.session() as session:
            await session.scalar(_QUESTION)
        relay.tell_of_the_end()
        await _heard()
        async with database.session() as session:
            assert await session.scalar(_QUESTION) == 1
        await database.dispose()


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_whoever_works_on_a_connection_whose_end_was_told_can_try_again(postgres_url: str, driver: str) -> None:
    async with relaying(make_url(postgres_url).set(drivername=f"postgresql+{driver}")) as (relay, url):
        database = open_database(url.render_as_string(hide_password=False))
        services = Services()
        services.add(Database, database)
        with pytest.raises(UnavailableError) as caught:
            await _ask_before_and_after_the_end(services, relay)
        assert caught.value.code == "database-unreachable"
        async with services.scope.write() as scope:
            assert await scope.session.scalar(_QUESTION) == 1
        await database.dispose()


async def test_a_new_connection_whose_end_is_told_at_once_is_a_reason_to_try_again(postgres_url: str) -> None:
    async with relaying(make_url(postgres_url)) as (relay, url):
        database = open_database(url.render_as_string(hide_password=False))
        async with database.engine.connect() as first:
            await first.scalar(_QUESTION)
            relay.ends_new_ones = True
            with pytest.raises(UnavailableError) as caught:
                await _ask(database)
            assert caught.value.code == "database-unreachable"
            await _ask(database)
        await database.dispose()


async def _ask(database: Database) -> None:
    async with database.writing() as session:
        assert await _SELECT.fetch(session, {})


async def _ask_before_and_after_the_end(services: Services, relay: PostgresRelay) -> None:
    async with services.scope.write() as scope:
        await scope.session.scalar(_QUESTION)
        relay.tell_of_the_end()
        await _heard()
        await scope.session.scalar(_QUESTION)


async def _heard() -> None:
    """Let the message through: the relay writes to a socket that the driver reads in one of the next turns."""
    for _ in range(5):
        await asyncio.sleep(0.01)
