from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Mapped, Session, mapped_column

from chapkit.core.clock import utc_now
from chapkit.core.columns import UtcDateTime
from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError
from chapkit.core.manager import BaseManager
from chapkit.core.models import Entity
from chapkit.core.repository import BaseRepository
from chapkit.core.schemas import EntityIn, EntityOut
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase
from chapkit.core.sqlite_builder import SqliteDatabaseBuilder

pytestmark = pytest.mark.anyio


class PlainThing(Entity):
    __tablename__ = "plain_things"

    name: Mapped[str]
    looked_at: Mapped[datetime | None] = mapped_column(UtcDateTime, onupdate=utc_now)


class ThingIn(EntityIn):
    name: str


class ThingOut(EntityOut):
    name: str
    looked_at: datetime | None


Things = BaseManager[PlainThing, ThingIn, ThingOut]


@pytest.fixture
async def database() -> AsyncIterator[SqliteDatabase]:
    database = SqliteDatabaseBuilder.in_memory().build()
    await database.init()
    yield database
    await database.dispose()


def things(session: Any) -> Things:
    return Things(BaseRepository(session, PlainThing), PlainThing, ThingOut)


async def test_a_column_that_changes_with_every_update_still_does(database: SqliteDatabase) -> None:
    async with database.session() as session:
        made = await things(session).create(ThingIn(name="a"))
        changed = await things(session).replace(made.id, ThingIn(name="b"))
    assert made.looked_at is None
    assert changed.looked_at is not None


@pytest.mark.parametrize("name", ["after_insert", "before_insert", "before_update"])
async def test_a_listener_that_comes_later_sees_every_write(database: SqliteDatabase, name: str) -> None:
    seen: list[bool] = []

    def listen(mapper: Any, connection: Any, target: Any) -> None:
        seen.append(connection is not None)

    async with database.session() as session:
        await things(session).create(ThingIn(name="before"))
        event.listen(PlainThing, name, listen)
        try:
            made = await things(session).create(ThingIn(name="a"))
            await things(session).replace(made.id, ThingIn(name="b"))
        finally:
            event.remove(PlainThing, name, listen)
    assert seen == [True]


async def test_a_listener_of_the_flush_sees_every_write(database: SqliteDatabase) -> None:
    seen: list[str] = []

    def listen(session: Session, context: Any, instances: Any) -> None:
        seen.append("flush")

    async with database.session() as session:
        event.listen(session.sync_session, "before_flush", listen)
        await things(session).create(ThingIn(name="a"))
    assert seen == ["flush"]


async def test_nothing_can_be_written_where_it_would_be_lost(database: SqliteDatabase) -> None:
    services = Services()
    services.add(Database, database)
    async with services.scope.read() as scope:
        with pytest.raises(ConfigurationError, match="only reads") as caught:
            await things(scope.session).create(ThingIn(name="a"))
    assert caught.value.code == "scope-reads-only"
    with pytest.raises(ConfigurationError, match="only reads"):
        async with services.scope.read() as scope:
            scope.session.add(PlainThing(name="b"))
    async with services.scope.read() as scope:
        assert await things(scope.session).count() == 0
