from collections.abc import AsyncGenerator

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.database import Database
from chapkit.core.errors import NotFoundError
from chapkit.core.ids import ULID
from chapkit.core.query import Filter, Operator, Query, Sort
from chapkit.core.repository import BaseRepository
from tests.things import Thing

pytestmark = pytest.mark.anyio
Things = BaseRepository[Thing]


@pytest.fixture
async def session(database: Database) -> AsyncGenerator[AsyncSession]:
    async with database.session() as session:
        yield session


@pytest.fixture
def things(session: AsyncSession) -> Things:
    return BaseRepository(session, Thing)


async def _fill(things: Things, count: int) -> list[ULID]:
    rows = await things.save_all(Thing(id=ULID(), name=f"thing {number}", size=number) for number in range(count))
    await things.commit()
    return [row.id for row in rows]


async def test_what_is_saved_is_found(things: Things) -> None:
    thing = await things.save(Thing(name="a"))
    await things.commit()
    assert await things.find_by_id(thing.id) is thing
    assert await things.get(thing.id) is thing
    assert await things.exists_by_id(thing.id)


async def test_what_is_not_committed_is_not_kept(database: Database, things: Things) -> None:
    await things.save(Thing(name="a"))
    await things.flush()
    assert await things.count() == 1
    await things.session.rollback()
    async with database.session() as other:
        assert await BaseRepository(other, Thing).count() == 0


async def test_what_is_missing_is_none_or_an_error(things: Things) -> None:
    missing = ULID()
    assert await things.find_by_id(missing) is None
    assert not await things.exists_by_id(missing)
    with pytest.raises(NotFoundError, match=str(missing)):
        await things.get(missing)


async def test_rows_come_in_the_order_of_their_ids(things: Things) -> None:
    ids = [ULID() for _ in range(20)]
    await things.save_all(Thing(id=id, name=str(number)) for number, id in enumerate(reversed(ids)))
    await things.commit()
    assert [row.id for row in await things.find_all()] == ids


async def test_rows_that_are_equal_in_the_order_come_by_id(things: Things) -> None:
    ids = await _fill(things, 20)
    found = await things.list(Query(sort=(Sort(("ready",)),)))
    assert [row.id for row in found] == ids


async def test_pages_are_disjoint_and_complete(things: Things) -> None:
    ids = await _fill(things, 25)
    pages = [await things.find_all_paginated(offset, 10) for offset in (0, 10, 20, 30)]
    assert [len(page) for page in pages] == [10, 10, 5, 0]
    assert [row.id for page in pages for row in page] == ids


async def test_keyset_paging_goes_on_behind_the_last_row(things: Things) -> None:
    ids = await _fill(things, 5)
    found = await things.list(Query(after=ids[1], limit=2))
    assert [row.id for row in found] == ids[2:4]


async def test_more_ids_than_a_statement_holds_are_found_and_deleted(things: Things) -> None:
    ids = await _fill(things, 1_203)
    wanted = [*reversed(ids), ULID()]
    assert [row.id for row in await things.find_all_by_id(wanted)] == ids
    await things.delete_all_by_id(wanted[:1_100])
    assert await things.count() == 103


async def test_no_ids_find_and_delete_nothing(things: Things) -> None:
    await _fill(things, 2)
    assert await things.find_all_by_id([]) == []
    await things.delete_all_by_id([])
    assert await things.count() == 2


async def test_a_row_is_deleted_by_id_and_as_an_object(things: Things) -> None:
    ids = await _fill(things, 3)
    await things.delete_by_id(ids[0])
    await things.delete(await things.get(ids[1]))
    await things.delete_by_id(ULID())
    await things.commit()
    assert [row.id for row in await things.find_all()] == [ids[2]]


async def test_every_row_is_deleted_at_once(things: Things) -> None:
    await _fill(things, 3)
    await things.delete_all()
    await things.commit()
    assert await things.count() == 0


async def test_counting_follows_the_filters(things: Things) -> None:
    await _fill(things, 10)
    assert await things.count(Query(filters=(Filter(("size",), Operator.GE, "7"),), limit=1)) == 3


async def test_a_row_read_for_a_change_is_the_one_that_is_stored_now(database: Database, things: Things) -> None:
    [id] = await _fill(things, 1)
    stale = await things.get(id)
    await things.commit()
    async with database.session() as other:
        (await BaseRepository(other, Thing).get(id)).name = "changed elsewhere"
        await other.commit()
    fresh = await things.find_for_update(id)
    assert fresh is stale
    assert stale.name == "changed elsewhere"


async def test_refreshed_rows_show_what_is_stored(database: Database, things: Things) -> None:
    [id] = await _fill(things, 1)
    row = await things.get(id)
    await things.commit()
    async with database.session() as other:
        (await BaseRepository(other, Thing).get(id)).size = 99
        await other.commit()
    await things.refresh_many([row])
    assert row.size == 99


async def test_a_repository_answers_to_the_names_of_the_first_release(things: Things, database: Database) -> None:
    assert things.s is things.session
    assert things.dialect == database.dialect
