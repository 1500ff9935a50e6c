import json
from collections.abc import AsyncGenerator
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, ValidationError

from chapkit.config.manager import ConfigManager
from chapkit.config.models import Config
from chapkit.config.repository import ConfigRepository
from chapkit.config.schemas import BaseConfig, ConfigIn
from chapkit.core.database import Database
from chapkit.core.errors import UnprocessableError
from chapkit.core.ids import ULID
from chapkit.core.query import Query

pytestmark = pytest.mark.anyio


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    ratio: float = 0.5
    names: tuple[str, ...] = ()


class Typed(BaseConfig):
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    day: date = date(2026, 1, 1)
    clock: time = time(12)
    lasts: timedelta = timedelta(seconds=1)
    price: Decimal = Decimal(0)
    colour: Colour = Colour.RED
    inner: Inner = Inner()
    many: list[Inner] = []
    by_name: dict[str, Inner] = {}
    uid: UUID = UUID(int=0)
    path: Path = Path("a")
    labels: set[str] = set()
    host: IPv4Address = IPv4Address("127.0.0.1")
    mode: Literal["a", "b"] | None = None
    huge: int = 0


class First(BaseConfig):
    alpha: float


class Second(BaseConfig):
    alpha: float
    beta: int = 5


class Third(BaseConfig):
    gamma: str


class Aliased(BaseConfig):
    rate: float = Field(alias="learning-rate")


@pytest.fixture
async def typed(database: Database) -> AsyncGenerator[ConfigManager[Typed]]:
    async with database.session() as session:
        yield ConfigManager(ConfigRepository(session), Typed)


async def _render(database: Database, data_cls: type[BaseConfig]) -> list[Any]:
    async with database.session() as session:
        manager = ConfigManager(ConfigRepository(session), data_cls)
        return [json.loads(text) for _, text in await manager.render_list(Query())]


async def _create(database: Database, data: BaseConfig, name: str = "c") -> ULID:
    async with database.session() as session:
        manager = ConfigManager(ConfigRepository(session), type(data))
        return (await manager.create(ConfigIn[type(data)](name=name, data=data))).id  # type: ignore[misc]


FULL = Typed(
    at=datetime(2026, 5, 1, 12, 0, 0, 123456, tzinfo=UTC),
    day=date(2024, 2, 29),
    clock=time(23, 59, 59, 999999),
    lasts=timedelta(days=3, seconds=1, microseconds=5),
    price=Decimal("0.10"),
    colour=Colour.BLUE,
    inner=Inner(ratio=0.1, names=("a", "b")),
    many=[Inner(), Inner(ratio=2)],
    by_name={"x": Inner(ratio=3)},
    uid=UUID("12345678-1234-5678-1234-567812345678"),
    path=Path("/data/ä b.csv"),
    labels={"x", "y"},
    host=IPv4Address("10.0.0.1"),
    mode="b",
    huge=10**30,
    free={"any": [1, None, {"deep": True}]},  # type: ignore[call-arg]
)


async def test_every_type_of_field_comes_back_as_it_was(database: Database, typed: ConfigManager[Typed]) -> None:
    made = await typed.create(ConfigIn[Typed](name="c", data=FULL))
    assert made.data == FULL
    async with database.session() as session:
        found = await ConfigManager(ConfigRepository(session), Typed).get(made.id)
    assert found.data == FULL
    assert type(found.data) is Typed
    assert str(found.data.price) == "0.10"
    assert found.data.model_extra == {"free": {"any": [1, None, {"deep": True}]}}


async def test_a_patch_of_one_field_leaves_every_other_type_alone(typed: ConfigManager[Typed]) -> None:
    made = await typed.create(ConfigIn[Typed](name="c", data=FULL))
    changed = await typed.patch(made.id, {"data": {"mode": "a", "inner": {"ratio": 9}}}, ConfigIn[Typed])
    assert changed.data == FULL.model_copy(update={"mode": "a", "inner": Inner(ratio=9, names=("a", "b"))})


async def test_what_is_rendered_is_what_the_schema_says(typed: ConfigManager[Typed]) -> None:
    made = await typed.create(ConfigIn[Typed](name='ä "quoted" \\ \n\x7f 𝛼', data=FULL, tags=["x", "ä"]))
    entity = await typed.repository.get(made.id)
    assert typed.out_schema_cls.model_validate_json(typed.render(entity)) == made
    assert typed.out_schema_cls.model_validate_json((await typed.render_list(Query()))[0][1]) == made
    sent, expected = json.loads(typed.render(entity)), json.loads(made.model_dump_json())
    # A set has no order of its own.
    for document in (sent, expected):
        document["data"]["labels"].sort()
    assert sent == expected
    assert await typed.render_by_id(made.id) == (typed.render(entity), typed.etag(entity))
    assert await typed.render_by_id(ULID()) is None


async def test_a_field_with_an_alias_is_found_again(database: Database) -> None:
    data = Aliased.model_validate({"learning-rate": 0.5})
    id = await _create(database, data)
    async with database.session() as session:
        manager = ConfigManager(ConfigRepository(session), Aliased)
        assert (await manager.get(id)).data.rate == 0.5
        changed = await manager.patch(id, {"name": "d"}, ConfigIn[Aliased])
    assert (changed.name, changed.data.rate) == ("d", 0.5)


async def test_a_newer_schema_fills_in_its_defaults(database: Database) -> None:
    id = await _create(database, First(alpha=1))
    assert [row["data"]["beta"] for row in await _render(database, Second)] == [5]
    async with database.session() as session:
        manager = ConfigManager(ConfigRepository(session), Second)
        assert (await manager.get(id)).data.beta == 5
        entity = await manager.repository.get(id)
        assert json.loads(manager.render(entity))["data"]["beta"] == 5


async def test_an_older_schema_keeps_what_it_does_not_know(database: Database) -> None:
    await _create(database, Second(alpha=1, beta=9))
    assert [row["data"]["beta"] for row in await _render(database, First)] == [9]


async def test_a_row_that_no_longer_fits_does_not_break_the_list(database: Database) -> None:
    await _create(database, Third(gamma="x"), "old")
    await _create(database, First(alpha=1), "new")
    rows = await _render(database, First)
    assert [row["name"] for row in rows] == ["old", "new"]
    assert rows[0]["data"]["gamma"] == "x"


async def test_a_row_that_no_longer_fits_can_be_mended(database: Database) -> None:
    patched, replaced = await _create(database, Third(gamma="x")), await _create(database, Third(gamma="x"))
    async with database.session() as session:
        manager = ConfigManager(ConfigRepository(session), First)
        changed = await manager.patch(patched, {"data": {"alpha": 2}}, ConfigIn[First])
        assert changed.data.model_dump() == {**First(alpha=2).model_dump(), "gamma": "x"}
        await manager.replace(replaced, ConfigIn[First](name="c", data=First(alpha=3)))
        assert (await manager.get(replaced)).data == First(alpha=3)


async def test_the_newest_of_a_name_is_found(database: Database) -> None:
    ids = [await _create(database, First(alpha=number), "same") for number in range(3)]
    async with database.session() as session:
        manager = ConfigManager(ConfigRepository(session), First)
        newest = await manager.find_by_name("same")
        assert newest is not None
        assert newest.id == ids[2]
        assert [config.id for config in await manager.find_all_by_name("same")] == ids[::-1]
        assert await manager.find_by_name("other") is None


async def test_configurations_of_another_kind_are_neither_seen_nor_touched(database: Database) -> None:
    id = await _create(database, First(alpha=1))
    async with database.session() as session:
        other = ConfigManager(ConfigRepository(session, "other"), First)
        made = await other.create(ConfigIn[First](name="theirs", data=First(alpha=2)))
        assert [config.name for config in await other.find_all()] == ["theirs"]
        assert await other.count() == 1
        assert not await other.exists_by_id(id)
        assert await other.find_by_id(id) is None
        assert await other.find_all_by_id([id]) == []
        await other.delete_by_id(id)
        await other.repository.delete_by_id(id)
        await other.repository.delete_all_by_id([id, made.id])
        await other.delete_all()
        await other.repository.delete_all()
        await session.commit()
    assert [row["id"] for row in await _render(database, First)] == [id]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"deep": [1.0, float("-inf")]}])
async def test_a_number_that_json_cannot_hold_is_refused(database: Database, value: Any) -> None:
    data = First.model_validate({"alpha": 1, "free": value})
    with pytest.raises(UnprocessableError) as raised:
        await _create(database, data)
    assert raised.value.code == "number-not-finite"
    assert str(raised.value.extensions["field"]).startswith("data.free")
    with pytest.raises(ValidationError):
        First(alpha=float("nan"))


async def test_a_document_may_be_large(database: Database) -> None:
    data = First.model_validate({"alpha": 1, "blob": "ä" * 1_000_000})
    await _create(database, data)
    assert [len(row["data"]["blob"]) for row in await _render(database, First)] == [1_000_000]


def test_nested_options_are_unpacked_and_a_flat_one_wins() -> None:
    data = Second.model_validate({"alpha": 1, "user_option_values": {"alpha": 2, "beta": 7, "other": "x"}})
    assert data.model_dump(exclude_defaults=True) == {"alpha": 1, "beta": 7, "other": "x"}
    odd = Second.model_validate({"alpha": 1, "user_option_values": 3})
    assert odd.model_extra == {"user_option_values": 3}


def test_the_data_of_a_row_can_be_read_and_set() -> None:
    config = Config(name="a", data={"x": 1})
    assert config.data == {"x": 1}
    config.data = First(alpha=2)  # type: ignore[assignment]
    assert config.data["alpha"] == 2
