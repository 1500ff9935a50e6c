"""An entity of a user, with everything that belongs to it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import String, delete
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Mapped, mapped_column

from chapkit.core.columns import JsonType, UtcDateTime
from chapkit.core.database import Database
from chapkit.core.manager import BaseManager
from chapkit.core.models import Base, Entity
from chapkit.core.repository import BaseRepository
from chapkit.core.schemas import EntityIn, EntityOut
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase


class Thing(Entity):
    __tablename__ = "test_things"

    name: Mapped[str] = mapped_column(String, unique=True)
    size: Mapped[int | None]
    ratio: Mapped[float | None]
    ready: Mapped[bool] = mapped_column(default=False)
    seen: Mapped[datetime | None] = mapped_column(UtcDateTime)
    extra: Mapped[Any] = mapped_column(JsonType, default=dict)


class ThingIn(EntityIn):
    name: str = Field(min_length=1)
    size: int | None = 7
    ratio: float | None = None
    ready: bool = False
    seen: datetime | None = None
    extra: dict[str, Any] = Field(default_factory=dict)


class ThingOut(EntityOut):
    name: str
    size: int | None
    ratio: float | None
    ready: bool
    seen: datetime | None
    extra: dict[str, Any]


class Note(BaseModel):
    """What a hook saw."""

    step: str
    name: str
    detail: Any = None


class ThingManager(BaseManager[Thing, ThingIn, ThingOut]):
    """Writes down its hooks, and fails in the one it is told to fail in."""

    def __init__(self, session: AsyncSession) -> None:
        super().__init__(BaseRepository(session, Thing), Thing, ThingOut)
        self.notes: list[Note] = []
        self.fails_in = ""
        self.fails_for = ""

    @property
    def steps(self) -> list[str]:
        return [note.step for note in self.notes]

    async def pre_save(self, entity: Thing, data: ThingIn) -> None:
        self._note("pre_save", entity, data.name)

    async def post_save(self, entity: Thing) -> None:
        self._note("post_save", entity)

    async def pre_update(self, entity: Thing, data: ThingIn, old_values: dict[str, Any]) -> None:
        self._note("pre_update", entity, old_values)

    async def post_update(self, entity: Thing, changes: dict[str, tuple[Any, Any]]) -> None:
        self._note("post_update", entity, changes)

    async def pre_delete(self, entity: Thing) -> None:
        self._note("pre_delete", entity)

    async def post_delete(self, entity: Thing) -> None:
        self._note("post_delete", entity)

    def _note(self, step: str, entity: Thing, detail: Any = None) -> None:
        self.notes.append(Note(step=step, name=entity.name, detail=detail))
        if step == self.fails_in and self.fails_for in ("", entity.name):
            raise RuntimeError(f"{step} of {entity.name} failed")


def open_database(url: str) -> Database:
    return SqliteDatabase(url) if url.startswith("sqlite") else Database(url)


@asynccontextmanager
async def filled_database(url: str) -> AsyncGenerator[Database]:
    """Yield a database with its tables, and leave them empty."""
    database = open_database(url)
    try:
        await database.init()
        yield database
        async with database.session() as session:
            for table in reversed(Base.metadata.sorted_tables):
                await session.execute(delete(table))
            await session.commit()
    finally:
        await database.dispose()


def services_over(database: Database) -> Services:
    services = Services()
    services.add(Database, database)
    services.scoped(ThingManager, lambda scope: ThingManager(scope.session))
    return services
