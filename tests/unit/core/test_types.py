import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, ValidationError

from chapkit.core.clock import SystemClock, to_text, utc_now
from chapkit.core.types import MAX_TAGS, JsonSafe, Tags, UtcDatetime, describe_value


class Row(BaseModel):
    at: UtcDatetime = datetime(2026, 1, 1, tzinfo=UTC)
    tags: Tags = []
    value: JsonSafe = None


def test_a_moment_without_a_zone_is_utc() -> None:
    assert Row(at=datetime(2026, 5, 1, 12)).at == datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_moment_of_another_zone_is_moved_to_utc() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    row = Row(at=datetime(2026, 5, 1, 1, tzinfo=zone))
    assert row.at.utcoffset() == timedelta(0)
    assert json.loads(row.model_dump_json())["at"] == "2026-04-30T19:30:00.000000Z"


def test_a_moment_has_six_digits_of_a_second_on_the_wire() -> None:
    assert to_text(datetime(2026, 5, 1, microsecond=7, tzinfo=UTC)) == "2026-05-01T00:00:00.000007Z"
    assert to_text(datetime(2026, 5, 1, tzinfo=UTC)) == "2026-05-01T00:00:00.000000Z"


def test_the_two_moments_of_a_repeated_hour_are_written_apart() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    first, second = (datetime(2026, 10, 25, 2, 30, tzinfo=berlin, fold=fold) for fold in (0, 1))
    assert (to_text(first), to_text(second)) == ("2026-10-25T00:30:00.000000Z", "2026-10-25T01:30:00.000000Z")


def test_the_clocks_are_aware() -> None:
    assert utc_now().tzinfo is UTC
    assert SystemClock().now().tzinfo is UTC


@pytest.mark.parametrize("tags", [["a"], ["a-b_1", "Ä", "数据"], ["x" * 100], [str(i) for i in range(MAX_TAGS)]])
def test_good_tags_are_kept(tags: list[str]) -> None:
    assert Row(tags=tags).tags == tags


@pytest.mark.parametrize(
    "tags", [[""], ["a b"], ["a,b"], ["x" * 101], ["a", "a"], [str(i) for i in range(MAX_TAGS + 1)], ["<b>"], [1]]
)
def test_bad_tags_are_refused(tags: Any) -> None:
    with pytest.raises(ValidationError):
        Row(tags=tags)


@pytest.mark.parametrize("value", [None, 1, 1.5, "ä", [1, [2]], {"a": {"b": None}}])
def test_a_value_that_json_can_carry_stays(value: Any) -> None:
    assert json.loads(Row(value=value).model_dump_json())["value"] == value


def test_a_value_that_json_cannot_carry_is_described() -> None:
    described = json.loads(Row(value={1, 2}).model_dump_json())["value"]
    assert described["_type"] == "set"
    assert described["_module"] == "builtins"
    assert described["_repr"] == "{1, 2}"
    assert described["_serialization_error"]


def test_only_the_member_that_json_cannot_carry_is_described() -> None:
    document = json.loads(Row(value={"good": 1, "bad": object()}).model_dump_json())["value"]
    assert document["good"] == 1
    assert document["bad"]["_type"] == "object"


def test_a_value_that_holds_itself_is_described() -> None:
    ring: list[Any] = []
    ring.append(ring)
    assert json.loads(Row(value=ring).model_dump_json())["value"]["_type"] == "list"


def test_the_description_of_a_long_value_is_cut() -> None:
    assert len(describe_value("x" * 10_000)["_repr"]) == 203
