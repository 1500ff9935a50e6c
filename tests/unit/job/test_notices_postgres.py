import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from sqlalchemy import make_url, text

from chapkit.core.database import Database
from chapkit.core.dedicated import DedicatedConnection
from chapkit.core.errors import UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.workers import Backoff
from chapkit.job import notices_postgres
from chapkit.job.listeners import PsycopgListener, listener_on
from chapkit.job.notices import News, notices_for
from chapkit.job.notices_postgres import PostgresNotices

pytestmark = pytest.mark.anyio
ANYTHING = News(anything=True)
SOON = Backoff(first=0.01, longest=0.1)


class Ears:
    """Keeps what was heard, all taken together."""

    def __init__(self) -> None:
        self.calls: list[News] = []
        self._event = asyncio.Event()

    def hear(self, news: News) -> None:
        self.calls.append(news)
        self._event.set()

    async def until(self, wanted: News) -> None:
        async with asyncio.timeout(20):
            while not self._covers(wanted):
                self._event.clear()
                await self._event.wait()

    def _covers(self, wanted: News) -> bool:
        return (
            wanted.changed <= frozenset[ULID]().union(*(news.changed for news in self.calls))
            and wanted.canceled <= frozenset[ULID]().union(*(news.canceled for news in self.calls))
            and wanted.topics <= frozenset[str]().union(*(news.topics for news in self.calls))
            and wanted.waiting <= any(news.waiting for news in self.calls)
            and wanted.anything <= any(news.anything for news in self.calls)
        )


@pytest.fixture(params=["asyncpg", "psycopg"])
async def database(request: pytest.FixtureRequest, shared_postgres_url: str) -> AsyncGenerator[Database]:
    url = make_url(shared_postgres_url).set(drivername=f"postgresql+{request.param}")
    database = Database(url.render_as_string(hide_password=False))
    yield database
    await database.dispose()


@asynccontextmanager
async def listening(database: Database, **options: Any) -> AsyncGenerator[tuple[PostgresNotices, Ears]]:
    notices, ears = PostgresNotices(database, SOON, **options), Ears()
    await notices.open(ears.hear)
    try:
        yield notices, ears
    finally:
        await notices.close()


async def _end_listeners(database: Database) -> int:
    async with database.engine.begin() as connection:
        ended = await connection.scalars(
            text(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
                " AND datname = current_database() AND (query LIKE 'LISTEN%' OR query LIKE '%pg_notify%')"
            )
        )
        return len(ended.all())


async def test_the_others_hear_what_one_tells_and_he_himself_does_not(database: Database) -> None:
    news = News(
        waiting=True, changed=frozenset({ULID(), ULID()}), canceled=frozenset({ULID()}), topics=frozenset({"schedules"})
    )
    async with listening(database) as (one, his), listening(database) as (_, hers), listening(database) as (_, third):
        one.publish(news)
        await hers.until(news)
        await third.until(news)
        assert hers.calls == third.calls == [news]
        assert his.calls == []


async def test_both_drivers_understand_each_other(shared_postgres_url: str) -> None:
    url = make_url(shared_postgres_url)
    databases = [
        Database(url.set(drivername=f"postgresql+{name}").render_as_string(hide_password=False))
        for name in ("asyncpg", "psycopg")
    ]
    async with listening(databases[0]) as (one, his), listening(databases[1]) as (other, hers):
        one.publish(News(waiting=True))
        await hers.until(News(waiting=True))
        job = ULID()
        other.publish(News(changed=frozenset({job})))
        await his.until(News(changed=frozenset({job})))
    for database in databases:
        await database.dispose()


async def test_what_happens_at_once_goes_into_one_message(database: Database) -> None:
    jobs = [ULID() for _ in range(100)]
    async with listening(database) as (one, _), listening(database) as (_, hers):
        for job in jobs:
            one.publish(News(changed=frozenset({job})))
        await hers.until(News(changed=frozenset(jobs)))
        assert hers.calls == [News(changed=frozenset(jobs))]


async def test_messages_cross_while_both_sides_send(database: Database) -> None:
    jobs = [ULID() for _ in range(60)]
    async with listening(database) as (one, his), listening(database) as (other, hers):
        for first, second in zip(jobs[::2], jobs[1::2], strict=True):
            one.publish(News(changed=frozenset({first})))
            other.publish(News(changed=frozenset({second})))
            await asyncio.sleep(0.001)
        await hers.until(News(changed=frozenset(jobs[::2])))
        await his.until(News(changed=frozenset(jobs[1::2])))


@pytest.mark.parametrize("number", [300, 2000])
async def test_too_many_names_mean_anything(database: Database, number: int) -> None:
    async with listening(database) as (one, _), listening(database) as (_, hers):
        one.publish(News(changed=frozenset(ULID() for _ in range(number))))
        one.publish(News(waiting=True))
        await hers.until(ANYTHING)
        assert hers.calls == [ANYTHING]


async def test_a_lost_connection_is_made_anew_and_both_sides_look_for_themselves(database: Database) -> None:
    async with listening(database) as (one, his), listening(database) as (other, hers):
        assert await _end_listeners(database) == 2
        await his.until(ANYTHING)
        await hers.until(ANYTHING)
        assert one.losses == other.losses == 1
        job = ULID()
        one.publish(News(changed=frozenset({job})))
        await hers.until(News(changed=frozenset({job})))


async def test_what_is_told_while_the_connection_is_away_makes_the_others_look(database: Database) -> None:
    async with listening(database) as (one, _):
        await _end_listeners(database)
        async with listening(database) as (_, hers):
            one.publish(News(waiting=True))
            await hers.until(ANYTHING)


async def test_a_silent_connection_is_tried_now_and_then(database: Database) -> None:
    async with listening(database, heartbeat=0.02) as (_, his), listening(database) as (_, hers):
        before = await _number_of_messages(database)
        async with asyncio.timeout(10):
            while await _number_of_messages(database) == before:
                await asyncio.sleep(0.01)
        assert his.calls == hers.calls == []


async def _number_of_messages(database: Database) -> Any:
    async with database.engine.connect() as connection:
        return await connection.scalar(
            text(
                "SELECT max(query_start) FROM pg_stat_activity"
                " WHERE datname = current_database() AND query LIKE 'SELECT pg_notify%'"
            )
        )


async def test_what_was_told_last_is_sent_before_the_end(database: Database) -> None:
    async with listening(database) as (_, hers):
        async with listening(database) as (one, _):
            one.publish(News(waiting=True))
        await hers.until(News(waiting=True))


async def test_a_message_that_nobody_understands_may_mean_anything(database: Database) -> None:
    async with listening(database) as (_, hers):
        async with listener_on(database, lambda payload: None, lambda: None) as stranger:
            for payload in ("no json", '"text"', "[]", "{}", '{"from": "x", "changed": ["not an id"]}'):
                await stranger.send(payload)
        async with asyncio.timeout(10):
            while len(hers.calls) < 5:
                await asyncio.sleep(0.001)
    assert hers.calls == [ANYTHING] * 5


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_server_that_is_away_at_the_start_is_waited_for(driver: str, unused_port: int) -> None:
    database = Database(f"postgresql+{driver}://nobody@127.0.0.1:{unused_port}/none")
    async with asyncio.timeout(10):
        async with listening(database) as (notices, ears):
            notices.publish(News(waiting=True))
            while notices.losses < 2:
                await asyncio.sleep(0.001)
    assert ears.calls == []
    await database.dispose()


async def test_a_connection_that_breaks_before_it_listens_is_closed(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(connection: DedicatedConnection, statement: str) -> str:
        raise UnavailableError("The database cannot be reached; try again", code="database-unreachable")

    monkeypatch.setattr(DedicatedConnection, "scalar", fail)
    async with listening(database) as (notices, _):
        assert notices.losses == 1


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


async def test_a_server_that_does_not_answer_does_not_hold_up_the_end(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices_postgres, "_GOODBYE", 0.01)
    hangs = asyncio.Event()

    async def hang(*_: object) -> None:
        hangs.set()
        await asyncio.Event().wait()

    async with asyncio.timeout(10):
        async with listening(database) as (one, _):
            monkeypatch.setattr("chapkit.job.listeners.AsyncpgListener.send", hang)
            monkeypatch.setattr(PsycopgListener, "send", hang)
            one.publish(News(waiting=True))
            await hangs.wait()


async def test_notices_that_were_never_opened_can_be_closed(database: Database) -> None:
    notices = notices_for(database)
    assert isinstance(notices, PostgresNotices)
    await notices.close()
    notices._hear('{"from": "somebody", "waiting": true}')
