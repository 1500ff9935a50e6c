"""Build a SQLite database step by step."""

from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

from chapkit.core.durability import Durability, check_durability
from chapkit.core.errors import ConfigurationError
from chapkit.core.sqlite import SqliteDatabase


class SqliteDatabaseBuilder:
    """Builds a `SqliteDatabase` step by step."""

    def __init__(self, url: str | None = None) -> None:
        self._url = url
        self._options: dict[str, Any] = {}

    @classmethod
    def in_memory(cls) -> Self:
        """Start with a database that ends with the process."""
        return cls("sqlite+aiosqlite:///:memory:")

    @classmethod
    def from_file(cls, path: str | Path) -> Self:
        """Start with a database in the file at `path`."""
        # A URL reads "%41" as "A" and ends at "?"; a path means what it says.
        return cls(f"sqlite+aiosqlite:///{quote(str(path), safe='/:')}")

    def with_echo(self, enabled: bool = True) -> Self:
        """Log every statement."""
        return self._with(echo=enabled)

    def with_migrations(self, enabled: bool = True, alembic_dir: Path | None = None) -> Self:
        """Switch migrations, or use an Alembic directory of your own in place of the packaged one."""
        return self._with(auto_migrate=enabled, alembic_dir=alembic_dir)

    def with_pool(self, size: int = 5, max_overflow: int = 10, recycle: int = 3600, pre_ping: bool = True) -> Self:
        """Set the size of the connection pool."""
        return self._with(pool_size=size, max_overflow=max_overflow, pool_recycle=recycle, pool_pre_ping=pre_ping)

    def with_durability(self, durability: Durability) -> Self:
        """Let commits survive the end of the process (`process`, the default) or a power cut as well (`power`)."""
        return self._with(durability=check_durability(durability))

    def with_data_dir(self, path: str | Path) -> Self:
        """Keep large contents in this folder; beside the database file, if not called."""
        return self._with(data_dir=path)

    def build(self) -> SqliteDatabase:
        """Return the database; nothing is opened before `init`."""
        if self._url is None:
            raise ConfigurationError(
                "Database URL not configured; start with in_memory() or from_file(path)", code="database-url-missing"
            )
        return SqliteDatabase(self._url, **self._options)

    def _with(self, **options: Any) -> Self:
        self._options.update(options)
        return self
