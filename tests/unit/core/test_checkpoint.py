import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import text

from chapkit.config.manager import ConfigManager
from chapkit.config.repository import ConfigRepository
from chapkit.config.schemas import BaseConfig, ConfigIn
from chapkit.core.checkpoint import Checkpointer
from chapkit.core.sqlite_builder import SqliteDatabaseBuilder

pytestmark = pytest.mark.anyio

_CANARY = "carried-over-by-a-thread"


async def test_after_enough_transactions_the_log_is_carried_over(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("PRAGMA journal_mode=WAL")
    writer.execute("CREATE TABLE things (name TEXT)")
    writer.execute("INSERT INTO things VALUES (?)", (_CANARY,))
    checkpointer = Checkpointer(path, every=2)
    checkpointer.count()
    await checkpointer.close()
    assert _CANARY.encode() not in path.read_bytes()
    checkpointer.count()
    await checkpointer.close()
    assert _CANARY.encode() in path.read_bytes()
    writer.close()


def test_a_checkpoint_that_cannot_be_made_disturbs_nobody(tmp_path: Path) -> None:
    Checkpointer(tmp_path / "no" / "such" / "folder.db").run()
    assert list(tmp_path.iterdir()) == []


async def test_a_remembered_count_follows_what_this_and_other_connections_commit(tmp_path: Path) -> None:
    database = SqliteDatabaseBuilder.from_file(tmp_path / "counts.db").build()
    await database.init()
    async with database.session() as session:
        manager = ConfigManager(ConfigRepository(session), BaseConfig)
        counts = [await manager.count(), await manager.count()]
        await manager.create(ConfigIn[BaseConfig](name="one", data=BaseConfig()))
        counts.append(await manager.count())
        other = sqlite3.connect(tmp_path / "counts.db")
        with other:
            other.execute("DELETE FROM configs")
        other.close()
        counts.append(await manager.count())
        await session.execute(text("SELECT 1"))
    await database.dispose()
    assert counts == [0, 0, 1, 0]
