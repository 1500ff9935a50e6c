from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy.exc import SQLAlchemyError

from chapkit.core.database import Database
from chapkit.core.database_errors import translate
from chapkit.core.errors import ChapkitError
from chapkit.core.ids import ULID
from chapkit.core.query import Filter, Operator, Query, Sort
from chapkit.core.repository import BaseRepository
from chapkit.web.filters import parse_filters, parse_sort
from tests.things import Thing, filled_database

pytestmark = pytest.mark.anyio
Things = BaseRepository[Thing]
ROWS: list[dict[str, Any]] = [
    {"name": "one", "size": 1, "ratio": 0.5, "extra": {"n": 1, "s": "apple", "flag": True, "deep": {"n": 10}}},
    {"name": "two", "size": 2, "ratio": 1.5, "extra": {"n": 7, "s": "Banana", "flag": False, "deep": {"n": 20}}},
    {"name": "ten", "size": 10, "ready": True, "extra": {"n": 10, "s": "10", "list": [1, 2]}},
    {"name": "none", "size": None, "extra": {"n": None, "s": "it's", 'quo"te': 1, "a.b": 2, "": 3}},
    {"name": "text", "size": 3, "seen": datetime(2026, 5, 1, tzinfo=UTC), "extra": {"n": "7", "s": "100%"}},
]


@pytest.fixture(scope="module")
async def filled(module_url: str) -> AsyncGenerator[Database]:
    async with filled_database(module_url) as database:
        async with database.session() as session:
            session.add_all(Thing(id=ULID(), **row) for row in ROWS)
            await session.commit()
        yield database


@pytest.fixture
async def things(filled: Database) -> AsyncGenerator[Things]:
    # Nothing is committed, so every test finds the same rows.
    async with filled.session() as session:
        yield BaseRepository(session, Thing)


async def _names(things: Things, *texts: str, sort: str | None = None) -> list[str]:
    return [row.name for row in await things.list(Query(filters=parse_filters(texts), sort=parse_sort(sort)))]


async def _code(things: Things, query: Query) -> str:
    try:
        await things.list(query)
    except ChapkitError as error:
        return error.code
    except SQLAlchemyError as error:
        return translate(error).code
    return "none"


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("size:eq:2", ["two"]),
        ("size:ne:2", ["one", "ten", "text"]),
        ("size:lt:3", ["one", "two"]),
        ("size:le:3", ["one", "two", "text"]),
        ("size:gt:3", ["ten"]),
        ("size:ge:3", ["ten", "text"]),
        ("size:in:1,10,99", ["one", "ten"]),
        ("size:null", ["none"]),
        ("size:null:true", ["none"]),
        ("size:null:false", ["one", "two", "ten", "text"]),
        ("ratio:gt:0.5", ["two"]),
        ("ready:eq:true", ["ten"]),
        ("ready:ne:TRUE", ["one", "two", "none", "text"]),
        ("name:like:t%", ["two", "ten", "text"]),
        ("name:like:T%", ["two", "ten", "text"]),
        ("name:like:t%\\", []),
        ("name:in:one,none", ["one", "none"]),
        ("seen:eq:2026-05-01T02:00:00+02:00", ["text"]),
        ("seen:ge:2026-05-01", ["text"]),
        ("seen:lt:2026-05-01", []),
    ],
)
async def test_columns_are_compared(things: Things, condition: str, names: list[str]) -> None:
    assert await _names(things, condition) == names


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("extra.n:eq:1", ["one"]),
        ("extra.n:eq:1.0", ["one"]),
        ("extra.n:eq:7", ["two", "text"]),
        ('extra.n:eq:"7"', ["text"]),
        ("extra.n:ne:7", ["one", "ten"]),
        ("extra.n:lt:8", ["one", "two"]),
        ("extra.n:le:7", ["one", "two"]),
        ("extra.n:gt:1", ["two", "ten"]),
        ("extra.n:ge:7", ["two", "ten"]),
        ("extra.n:gt:9", ["ten"]),
        ("extra.n:in:1,10", ["one", "ten"]),
        ("extra.n:null", ["none"]),
        ("extra.n:null:false", ["one", "two", "ten", "text"]),
        ("extra.flag:eq:true", ["one"]),
        ("extra.flag:eq:false", ["two"]),
        ("extra.flag:null", ["ten", "none", "text"]),
        ("extra.deep.n:eq:20", ["two"]),
        ("extra.deep.n.x:eq:20", []),
        ("extra.deep:null:false", ["one", "two"]),
        ("extra.s:eq:apple", ["one"]),
        ("extra.s:eq:10", ["ten"]),
        ("extra.s:eq:it's", ["none"]),
        ("extra.s:like:%an%", ["two"]),
        ("extra.s:like:b%", ["two"]),
        ("extra.n:eq:true", []),
        ("extra.flag:eq:1", []),
        ("extra.flag:ne:true", ["two"]),
        ("extra.n:eq:null", ["none"]),
        ("extra.n:ne:null", ["one", "two", "ten", "text"]),
        ("extra.flag:gt:false", []),
        ("extra.s:like:10_%", ["text"]),
        ("extra.s:gt:h", ["none"]),
        ("extra.list:eq:[1, 2]", ["ten"]),
        ("extra.missing:eq:1", []),
    ],
)
async def test_members_of_json_are_compared(things: Things, condition: str, names: list[str]) -> None:
    assert await _names(things, condition) == names


async def test_all_conditions_must_hold(things: Things) -> None:
    assert await _names(things, "size:gt:1", "extra.n:eq:7") == ["two", "text"]


@pytest.mark.parametrize(
    ("sort", "names"),
    [
        ("name", ["none", "one", "ten", "text", "two"]),
        ("-name", ["two", "text", "ten", "one", "none"]),
        ("size", ["none", "one", "two", "text", "ten"]),
        ("-size", ["ten", "text", "two", "one", "none"]),
        ("ready,-size", ["text", "two", "one", "none", "ten"]),
        ("extra.deep.n,-name", ["text", "ten", "none", "one", "two"]),
        ("-extra.deep.n", ["two", "one", "ten", "none", "text"]),
    ],
)
async def test_rows_are_sorted_and_nulls_are_the_smallest(things: Things, sort: str, names: list[str]) -> None:
    assert await _names(things, sort=sort) == names


@pytest.mark.parametrize(
    "field", ["nme", "name.x", "size.a.b", "", "id; DROP TABLE test_things", "__class__", "metadata"]
)
async def test_an_unknown_field_is_refused(things: Things, field: str) -> None:
    path = tuple(field.split("."))
    assert await _code(things, Query(filters=(Filter(path, Operator.EQ, "1"),))) == "field-unknown"
    assert await _code(things, Query(sort=(Sort(path),))) == "field-unknown"


async def test_an_unknown_field_is_answered_with_the_likely_one(things: Things) -> None:
    with pytest.raises(ChapkitError) as raised:
        await _names(things, "nme:eq:1")
    assert raised.value.extensions["did_you_mean"] == ["name"]
    assert raised.value.extensions["field"] == "nme"
    assert set(raised.value.extensions["expected"]) >= {"id", "name", "size"}


@pytest.mark.parametrize(
    "condition",
    [
        "size:eq:many",
        "size:gt:1.5",
        "size:in:1,",
        "ratio:lt:x",
        "ready:eq:perhaps",
        "seen:gt:yesterday",
        "extra:eq:{",
    ],
)
async def test_a_value_that_does_not_fit_is_refused(things: Things, condition: str) -> None:
    with pytest.raises(ChapkitError) as raised:
        await _names(things, condition)
    assert raised.value.code == "filter-value-invalid"
    assert raised.value.extensions["field"] == condition.split(":")[0]


async def test_an_id_that_is_none_is_called_so(things: Things) -> None:
    assert await _code(things, Query(filters=parse_filters(["id:eq:nonsense"]))) == "invalid-ulid"


@pytest.mark.parametrize("number", ["99999999999999999999", "-99999999999999999999", "1e400", "NaN", "Infinity"])
@pytest.mark.parametrize("field", ["size", "ratio", "extra.n"])
async def test_a_number_beyond_the_database_is_no_crash(things: Things, field: str, number: str) -> None:
    code = await _code(things, Query(filters=parse_filters([f"{field}:eq:{number}"])))
    assert code in ("none", "filter-value-invalid")


@pytest.mark.parametrize(
    "value", ["[" * 50_000, "\x00", '"\\u0000"', '{"a":', "'; DROP TABLE test_things; --", "9" * 5_000, ""]
)
@pytest.mark.parametrize("operator", ["eq", "ne", "gt", "like", "in"])
async def test_no_value_for_a_member_crashes_or_finds_anything(things: Things, operator: str, value: str) -> None:
    code = await _code(things, Query(filters=(Filter(("extra", "s"), Operator(operator), value),)))
    assert code in ("none", "filter-value-invalid")
    assert await things.count() == len(ROWS)


@pytest.mark.parametrize(
    ("key", "names"),
    [
        ("a.b", ["none"]),
        ("", ["none"]),
        ("x' OR 1=1 --", []),
        ("x'", []),
        ("$", []),
        ("*", []),
        ("[0]", []),
        ("{n}", []),
        ("%", []),
    ],
)
async def test_a_strange_key_is_only_a_key(things: Things, key: str, names: list[str]) -> None:
    query = Query(filters=(Filter(("extra", key), Operator.NULL, "false"),))
    assert [row.name for row in await things.list(query)] == names
    assert len(await things.list(Query(sort=(Sort(("extra", key)),)))) == len(ROWS)


@pytest.mark.parametrize("key", ['quo"te', 'x" OR 1=1 --', "\x00", "a\\b", "a\nb"])
async def test_a_key_that_no_path_reaches_is_refused(things: Things, key: str) -> None:
    assert await _code(things, Query(filters=(Filter(("extra", key), Operator.EQ, "1"),))) == "field-unknown"
    assert await _code(things, Query(sort=(Sort(("extra", key)),))) == "field-unknown"


async def test_one_row_with_a_nul_character_does_not_break_a_filter(things: Things) -> None:
    await things.save(Thing(name="nul", extra={"s": "\x00", "n": 1}))
    await things.flush()
    assert "one" in await _names(things, "extra.n:eq:1")


async def test_a_document_can_be_compared_as_a_whole(things: Things) -> None:
    await things.save(Thing(name="empty", extra={}))
    await things.flush()
    assert await _names(things, "extra:eq:{}") == ["empty"]


async def test_offset_and_limit_cut_a_window(things: Things) -> None:
    rows = await things.list(Query(sort=(Sort(("name",)),), limit=2, offset=1))
    assert [row.name for row in rows] == ["one", "ten"]
