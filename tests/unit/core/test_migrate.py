import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config as AlembicConfig
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

import chapkit.migrations
from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError
from chapkit.core.transactions import WRITE_OPTION
from chapkit.migrations import HEAD, bundled_tables, revisions
from tests.things import open_database

pytestmark = pytest.mark.anyio
HISTORY = Path(chapkit.migrations.__file__).parent

START_SIX = """
import asyncio, os, sys, traceback
from chapkit.core.database import Database
from chapkit.core.sqlite import SqliteDatabase

async def start(url):
    database = SqliteDatabase(url) if url.startswith("sqlite") else Database(url)
    await database.init([])
    await database.dispose()

def run(gate):
    os.read(gate, 1)
    try:
        asyncio.run(start(sys.argv[1]))
        return 2 if "alembic" in sys.modules else 0
    except BaseException:
        traceback.print_exc()
        return 1

gate, opener = os.pipe()
children = []
for _ in range(6):
    child = os.fork()
    if child == 0:
        os.close(opener)
        os._exit(run(gate))
    children.append(child)
os.close(opener)
print([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children])
"""


def _alembic() -> AlembicConfig:
    config = AlembicConfig()
    config.set_main_option("script_location", str(HISTORY))
    return config


def _upgrade(connection: Connection) -> None:
    config = _alembic()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _downgrade(connection: Connection) -> None:
    config = _alembic()
    config.attributes["connection"] = connection
    command.downgrade(config, "base")


def _describe(connection: Connection) -> dict[str, Any]:
    inspector = inspect(connection)
    return {
        table: {
            "columns": sorted(
                (c["name"], str(c["type"]), c["nullable"], str(c["default"]), c.get("primary_key"))
                for c in inspector.get_columns(table)
            ),
            "primary_key": inspector.get_pk_constraint(table)["constrained_columns"],
            "foreign_keys": sorted(
                (key["constrained_columns"], key["referred_table"], key["referred_columns"], str(key["options"]))
                for key in inspector.get_foreign_keys(table)
            ),
            "indexes": sorted(
                (str(i["name"]), bool(i["unique"]), str(i.get("column_names")), str(i.get("expressions")))
                for i in inspector.get_indexes(table)
            ),
            "unique": sorted(c["column_names"] for c in inspector.get_unique_constraints(table)),
        }
        for table in sorted(inspector.get_table_names())
    }


async def _on(database: Database, function: Any) -> Any:
    async with database.engine.execution_options(**{WRITE_OPTION: True}).begin() as connection:
        return await connection.run_sync(function)


async def test_a_new_schema_is_that_of_the_history(empty_url: str) -> None:
    database = open_database(empty_url)
    await database.init([])
    fresh = await _on(database, _describe)
    assert {table.name for table in bundled_tables()} | {"alembic_version"} == set(fresh)
    await _on(database, _downgrade)
    assert set(await _on(database, _describe)) == {"alembic_version"}
    await _on(database, _upgrade)
    grown = await _on(database, _describe)
    await database.dispose()
    assert grown == fresh


async def test_an_older_database_is_brought_up_to_date(empty_url: str) -> None:
    database = open_database(empty_url)
    await _on(database, _upgrade)
    await database.init([])
    assert await _on(database, _revision) == HEAD
    await database.dispose()


def _revision(connection: Connection) -> Any:
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalars().one()


async def test_the_head_is_the_one_that_alembic_finds() -> None:
    script = ScriptDirectory.from_config(_alembic())
    assert script.get_heads() == [HEAD]
    assert {revision.revision for revision in script.walk_revisions()} == revisions()


async def test_a_revision_of_another_release_is_refused(empty_url: str) -> None:
    database = open_database(empty_url)
    await database.init([])
    await _on(database, lambda c: c.execute(text("UPDATE alembic_version SET version_num = 'f00'")))
    with pytest.raises(ConfigurationError, match="'f00'") as raised:
        await database.init([])
    assert raised.value.code == "schema-revision-unknown"
    assert raised.value.extensions == {"found": "f00", "expected": HEAD}
    assert await _on(database, _revision) == "f00"
    await database.dispose()


async def test_tables_without_a_history_are_refused(empty_url: str) -> None:
    database = open_database(empty_url)
    await _on(database, lambda c: c.execute(text("CREATE TABLE configs (id VARCHAR(26))")))
    with pytest.raises(ConfigurationError) as raised:
        await database.init([])
    assert raised.value.code == "schema-revision-unknown"
    await database.dispose()


async def test_a_database_with_tables_of_another_program_is_fine(empty_url: str) -> None:
    database = open_database(empty_url)
    await _on(database, lambda c: c.execute(text("CREATE TABLE theirs (id VARCHAR(26))")))
    await database.init([])
    assert "theirs" in await _on(database, _describe)
    await database.dispose()


async def test_six_processes_that_start_at_once_migrate_once(empty_url: str) -> None:
    # Each of the six waits until all are there. Neither a new database nor one that is up to date needs Alembic.
    result = subprocess.run(
        [sys.executable, "-c", START_SIX, empty_url], capture_output=True, text=True, check=False, timeout=60
    )
    assert (result.stdout, result.stderr) == ("[0, 0, 0, 0, 0, 0]\n", "")
    database = open_database(empty_url)
    assert await _on(database, _revision) == HEAD
    await database.dispose()


async def test_a_history_of_the_users_own_is_run(tmp_path: Path) -> None:
    (tmp_path / "own" / "versions").mkdir(parents=True)
    (tmp_path / "own" / "env.py").write_text((HISTORY / "env.py").read_text())
    (tmp_path / "own" / "versions" / "one.py").write_text(
        "from alembic import op\nimport sqlalchemy as sa\nrevision = 'one'\ndown_revision = None\n"
        "def upgrade():\n    op.create_table('own', sa.Column('id', sa.Integer, primary_key=True))\n"
        "def downgrade():\n    op.drop_table('own')\n"
    )
    from chapkit.core.sqlite import SqliteDatabase

    database = SqliteDatabase(f"sqlite:///{tmp_path / 'a.db'}", alembic_dir=tmp_path / "own")
    await database.init([])
    await database.init([])
    assert await _on(database, _revision) == "one"
    assert "own" in await _on(database, _describe)
    await database.dispose()
