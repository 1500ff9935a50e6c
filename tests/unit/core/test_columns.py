from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import text

from chapkit.core.database import Database
from chapkit.core.database_errors import translate
from chapkit.core.ids import ULID
from tests.things import Thing

pytestmark = pytest.mark.anyio


async def _round_trip(database: Database, thing: Thing) -> Thing:
    async with database.session() as session:
        session.add(thing)
        await session.commit()
    async with database.session() as session:
        found = await session.get(Thing, thing.id)
    assert found is not None
    assert found is not thing
    return found


async def test_an_id_comes_back_as_an_id(database: Database) -> None:
    found = await _round_trip(database, Thing(name="a"))
    assert type(found.id) is ULID


async def test_a_text_that_is_no_id_is_not_stored(database: Database) -> None:
    async with database.session() as session:
        session.add(Thing(id="nonsense", name="a"))
        with pytest.raises(Exception) as raised:
            await session.commit()
    assert translate(raised.value).code == "invalid-ulid"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (datetime(2026, 5, 1, 12, 0, 0, 1, tzinfo=UTC), datetime(2026, 5, 1, 12, 0, 0, 1, tzinfo=UTC)),
        (datetime(2026, 5, 1, 12, 0), datetime(2026, 5, 1, 12, 0, tzinfo=UTC)),
        (datetime(2026, 5, 1, 1, tzinfo=timezone(timedelta(hours=2))), datetime(2026, 4, 30, 23, tzinfo=UTC)),
        (datetime(1, 1, 2, tzinfo=UTC), datetime(1, 1, 2, tzinfo=UTC)),
        (
            datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=UTC),
            datetime(9999, 12, 30, 23, 59, 59, 999999, tzinfo=UTC),
        ),
        (None, None),
    ],
)
async def test_a_moment_comes_back_in_utc_to_the_microsecond(
    database: Database, given: datetime | None, stored: datetime | None
) -> None:
    found = await _round_trip(database, Thing(name="a", seen=given))
    assert found.seen == stored
    assert found.seen is None or found.seen.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        {"b": 1, "a": {"deep": [1, None, True, 1.5, "ä 𝛼 \" ' \\ \n"]}},
        10**30,
        0.1,
        "text",
        False,
        {"nul": "\x00"},
        {"": ""},
    ],
)
async def test_json_comes_back_as_it_was_sent(database: Database, value: Any) -> None:
    found = await _round_trip(database, Thing(name="a", extra=value))
    assert found.extra == value
    assert repr(found.extra) == repr(value)


async def test_the_members_of_json_keep_their_order(database: Database) -> None:
    found = await _round_trip(database, Thing(name="a", extra={"z": 1, "a": 2, "m": 3}))
    assert list(found.extra) == ["z", "a", "m"]


async def test_both_times_of_a_new_row_are_the_same(database: Database) -> None:
    found = await _round_trip(database, Thing(name="a"))
    assert found.created_at == found.updated_at
    assert datetime.now(UTC) - found.created_at < timedelta(minutes=1)


async def test_a_change_moves_only_the_second_time_and_always_forward(database: Database) -> None:
    thing = Thing(name="a", updated_at=datetime(2999, 1, 1, tzinfo=UTC))
    found = await _round_trip(database, thing)
    async with database.session() as session:
        found = await session.merge(found)
        created = found.created_at
        found.name = "b"
        await session.commit()
    assert found.created_at == created
    assert found.updated_at > datetime(2999, 1, 1, tzinfo=UTC)


async def test_a_row_that_another_program_wrote_has_no_tags(database: Database) -> None:
    id = ULID()
    async with database.session() as session:
        await session.execute(
            text(
                "INSERT INTO test_things (id, created_at, updated_at, name, ready, extra) "
                "VALUES (:id, '2026-05-01T00:00:00.000000Z', '2026-05-01T00:00:00.000000Z', 'a', false, '{}')"
            ),
            {"id": str(id)},
        )
        await session.commit()
        found = await session.get(Thing, id)
    assert found is not None
    assert found.tags == []
    assert found.created_at == datetime(2026, 5, 1, tzinfo=UTC)
