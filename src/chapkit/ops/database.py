"""The database as a feature of a service."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from sqlalchemy import Table, literal_column, select

from chapkit.core.database import Database, parse_url
from chapkit.core.models import Base
from chapkit.core.quick import Prepared
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase, is_in_memory_url
from chapkit.web.feature import Feature, HealthChecks, SystemSections


@dataclass(frozen=True)
class DatabaseFeature(Feature):
    """Opens a database for as long as the service runs; a given one is used as it is and left open."""

    kind: ClassVar[str] = "database"

    url: str = "sqlite+aiosqlite:///:memory:"
    instance: Database | None = None
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    entities: tuple[type[Base], ...] = ()

    def models(self) -> Iterable[type[Base]]:
        """Return the user's own entities."""
        return self.entities

    def register(self, services: Services) -> None:
        """Add the check of the database to `/health`, and what a commit survives to `/api/v1/system`."""
        services.add(DatabaseFeature, self)
        services.get(HealthChecks).add("database", _check)
        services.get(SystemSections).add("durability", _durability)

    @property
    def is_in_memory(self) -> bool:
        """Tell whether the data end with this process, and no other one can reach them."""
        if self.instance is not None:
            return self.instance.is_in_memory()
        return _is_sqlite(self.url) and is_in_memory_url(self.url)

    def open(self) -> Database:
        """Return the database; nothing is connected yet."""
        if self.instance is not None:
            return self.instance
        return (SqliteDatabase if _is_sqlite(self.url) else Database)(self.url, **self.options)

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncGenerator[None]:
        """Open the database, bring its schema up to date, and close it at the end."""
        database = self.open()
        services.add(Database, database)
        try:
            await database.init(services.find(OwnTables))
            yield
        finally:
            if self.instance is None:
                await database.dispose()


class OwnTables(list[Table]):
    """Port: the tables of the entities that a service declares; without one, all that are mapped."""


def _is_sqlite(url: str) -> bool:
    return parse_url(url).drivername.startswith("sqlite")


_PING = Prepared(select(literal_column("1")))


async def _check(services: Services) -> tuple[str, str | None]:
    async with services.scope.read() as scope:
        await _PING.fetch(scope.session)
    database = services.get(Database)
    held_for = database.held_for if isinstance(database, SqliteDatabase) else None
    if held_for is None:
        return "healthy", None
    return "degraded", (
        f"The last write found the database held by another process for {held_for:.0f} seconds and gave up; "
        "a process that is stopped, or a program that has the file open, may be in the middle of a transaction"
    )


async def _durability(services: Services) -> str:
    return services.get(Database).durability
