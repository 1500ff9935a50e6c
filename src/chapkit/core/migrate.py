"""Bring a schema up to date, once, however many processes start."""

from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Table, inspect, text
from sqlalchemy.ext.asyncio import AsyncEngine

from chapkit.core.errors import ConfigurationError
from chapkit.core.faults import reach
from chapkit.core.lock_waits import WAIT_FOR_EVER
from chapkit.core.models import Base
from chapkit.core.transactions import WRITE_OPTION

_VERSION_TABLE = "alembic_version"
_LOCK_NUMBER = 0x636861706B6974


class Migration:
    """One pass over a database: packaged revisions, then the user's missing tables."""

    def __init__(self, engine: AsyncEngine, alembic_dir: Path | None, auto_migrate: bool) -> None:
        self._engine = engine
        self._alembic_dir = alembic_dir
        self._auto_migrate = auto_migrate
        # By name, because the package names every models module and so lies above this layer.
        self._package: Any = import_module("chapkit.migrations")

    async def run(self, tables: Iterable[Table] | None) -> None:
        """Do what is missing; a database that is up to date is only looked at."""
        bundled: list[Table] = self._package.bundled_tables()
        wanted = [
            table for table in (Base.metadata.sorted_tables if tables is None else tables) if table not in bundled
        ]
        if await self._is_current(wanted):
            return
        async with self._engine.execution_options(**{WRITE_OPTION: True}).begin() as connection:
            await connection.run_sync(self._migrate, bundled, wanted)
            reach("migrate.before-commit")
        reach("migrate.after-commit")

    async def _is_current(self, wanted: list[Table]) -> bool:
        if self._alembic_dir is not None:
            return False
        async with self._engine.connect() as connection:
            names = await connection.run_sync(_table_names)
            current = await connection.run_sync(_read_revision, names) == self._package.HEAD
        return current and all(table.name in names for table in wanted)

    def _migrate(self, connection: Connection, bundled: list[Table], wanted: list[Table]) -> None:
        if connection.dialect.name == "postgresql":
            # Another process may be at it, with much to change.
            connection.execute(WAIT_FOR_EVER)
            connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK_NUMBER})
        reach("migrate.locked")
        names = _table_names(connection)
        if self._alembic_dir is not None:
            self._upgrade(connection, self._alembic_dir)
        elif not self._auto_migrate:
            Base.metadata.create_all(connection, tables=bundled)
        else:
            self._bring_to_head(connection, bundled, names)
        Base.metadata.create_all(connection, tables=wanted)

    def _bring_to_head(self, connection: Connection, bundled: list[Table], names: set[str]) -> None:
        revision = _read_revision(connection, names)
        if revision == self._package.HEAD:
            return
        if revision is None and not names & {table.name for table in bundled}:
            # An empty database needs no history, and so no Alembic; a test holds both ways equal.
            Base.metadata.create_all(connection, tables=bundled)
            reach("migrate.before-stamp")
            connection.execute(text(f"CREATE TABLE {_VERSION_TABLE} (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
            connection.execute(
                text(f"INSERT INTO {_VERSION_TABLE} (version_num) VALUES (:head)"), {"head": self._package.HEAD}
            )
            reach("migrate.after-stamp")
            return
        if revision not in self._package.revisions():
            raise ConfigurationError(
                f"The database has the schema revision {revision!r}, which this version of chapkit does not know; "
                "it was made by another release: use that release, or start with a new database file",
                code="schema-revision-unknown",
                found=revision,
                expected=self._package.HEAD,
            )
        self._upgrade(connection, Path(self._package.__file__).parent)

    def _upgrade(self, connection: Connection, directory: Path) -> None:
        # Lazy: Alembic takes longer to import than most services take to start.
        from alembic import command
        from alembic.config import Config

        config = Config()
        config.set_main_option("script_location", str(directory).replace("%", "%%"))
        config.attributes["connection"] = connection
        reach("migrate.before-upgrade")
        command.upgrade(config, "head")
        reach("migrate.after-upgrade")


def _table_names(connection: Connection) -> set[str]:
    return set(inspect(connection).get_table_names())


def _read_revision(connection: Connection, names: set[str]) -> str | None:
    if _VERSION_TABLE not in names:
        return None
    return connection.execute(text(f"SELECT version_num FROM {_VERSION_TABLE}")).scalar()
