"""A database that is empty, or that an older release has left."""

from pathlib import Path

from alembic import command
from alembic.config import Config as AlembicConfig
from sqlalchemy import Connection, Inspector, Table, inspect, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

import chapkit.migrations
from chapkit.core.database import parse_url
from chapkit.migrations import HEAD, bundled_tables

FIRST = "0001"
ROWS = 50
_OLD_JOB = text(
    "INSERT INTO jobs (id, handler, kind, payload, labels, queue, priority, status, durable, run_after, attempt, "
    "cancel_requested, submitted_at) VALUES (:id, 'old', 'old', '{}', '{}', 'default', 0, 'completed', :yes, "
    "CURRENT_TIMESTAMP, 1, :no, CURRENT_TIMESTAMP)"
)


class Schema:
    """The tables of one database."""

    def __init__(self, url: str) -> None:
        self._url = parse_url(url)
        self._is_sqlite = make_url(url).get_backend_name() == "sqlite"

    async def make(self, *, with_rows: bool) -> None:
        """Leave nothing there; then, if wanted, what the first release has left."""
        if self._is_sqlite:
            for end in ("", "-wal", "-shm"):
                Path(f"{self._url.database}{end}").unlink(missing_ok=True)
        engine = create_async_engine(self._url)
        async with engine.begin() as connection:
            if not self._is_sqlite:
                await connection.execute(text("DROP SCHEMA public CASCADE"))
                await connection.execute(text("CREATE SCHEMA public"))
            if with_rows:
                await connection.run_sync(_make_old)
        await engine.dispose()

    async def find_problems(self, *, with_rows: bool) -> list[str]:
        """Return what is not as it is in a database of today."""
        engine = create_async_engine(self._url)
        async with engine.connect() as connection:
            problems = await connection.run_sync(_find_problems, ROWS if with_rows else 0)
        await engine.dispose()
        return problems


def _make_old(connection: Connection) -> None:
    config = AlembicConfig()
    config.set_main_option("script_location", str(Path(chapkit.migrations.__file__).parent))
    config.attributes["connection"] = connection
    command.upgrade(config, FIRST)
    values = [{"id": f"{number:026}", "yes": True, "no": False} for number in range(ROWS)]
    connection.execute(_OLD_JOB, values)


def _find_problems(connection: Connection, rows: int) -> list[str]:
    problems: list[str] = []
    inspector = inspect(connection)
    revisions = connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all()
    if revisions != [HEAD]:
        problems.append(f"the database has the revisions {revisions}")
    for table in bundled_tables():
        problems += _missing(inspector, table)
    found = connection.execute(text("SELECT count(*) FROM jobs")).scalar_one()
    if found != rows:
        problems.append(f"there are {found} old jobs, not {rows}")
    return problems


def _missing(inspector: Inspector, table: Table) -> list[str]:
    if not inspector.has_table(table.name):
        return [f"table {table.name} is missing"]
    present = {column["name"] for column in inspector.get_columns(table.name)}
    return [f"column {table.name}.{column.name} is missing" for column in table.c if column.name not in present]
