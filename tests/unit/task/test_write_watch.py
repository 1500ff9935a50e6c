import asyncio
import time

import pytest
from structlog.testing import capture_logs

from chapkit.task.write_watch import WriteWatch, writes

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "  select * from updates",
        "WITH a AS (SELECT 1) SELECT * FROM a",
        "PRAGMA user_version",
        "EXPLAIN QUERY PLAN DELETE FROM a",
        "VALUES (1)",
        "\nSHOW server_version",
    ],
)
async def test_these_only_read(sql: str) -> None:
    assert not writes(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO a VALUES (1)",
        "update a set b = 1",
        "DELETE FROM a",
        "REPLACE INTO a VALUES (1)",
        "WITH a AS (SELECT 1) INSERT INTO b SELECT * FROM a",
        "CREATE TABLE a (b)",
        "SAVEPOINT sa_savepoint_1",
        "-- a comment\nINSERT INTO a VALUES (1)",
        "SELECT * FROM a FOR UPDATE",
        "SELECT * FROM a FOR NO KEY UPDATE SKIP LOCKED",
    ],
)
async def test_these_may_write(sql: str) -> None:
    assert writes(sql)


async def test_a_transaction_that_is_held_is_told_while_it_is() -> None:
    watch = WriteWatch("climate.download", limit=0.01)
    with capture_logs() as lines:
        watch.begin()
        watch.begin()
        async with asyncio.timeout(10):
            while not lines:
                await asyncio.sleep(0.005)
        watch.end()
        watch.end()
    [line] = lines
    assert (line["event"], line["function"], line["log_level"]) == (
        "task.transaction_held",
        "climate.download",
        "warning",
    )
    assert line["seconds"] >= 0


async def test_one_that_kept_the_loop_busy_is_told_at_its_end() -> None:
    watch = WriteWatch("climate.download", limit=0.01)
    with capture_logs() as lines:
        watch.begin()
        time.sleep(0.02)
        watch.end()
    assert len(lines) == 1


async def test_a_short_one_is_not_told() -> None:
    watch = WriteWatch("climate.download", limit=60.0)
    with capture_logs() as lines:
        watch.intends = True
        watch.begin()
        watch.end()
        watch.end()
    assert lines == []
    assert not watch.intends
