import base64
import dataclasses
import ipaddress
import math
from collections import OrderedDict, deque, namedtuple
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from chapkit.core.errors import ConfigurationError, UnprocessableError
from chapkit.core.ids import ULID
from chapkit.data import DataFrame
from chapkit.task import register_serializer
from chapkit.task.errors import ValueNotSerializableError
from chapkit.task.serializers import Serializers


class Point:
    def __init__(self, x: float, y: float) -> None:
        self.x, self.y = x, y

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Point) and (self.x, self.y) == (other.x, other.y)

    def __hash__(self) -> int:
        return hash((self.x, self.y))


class Corner(Point):
    """Written as its base."""


class Color(Enum):
    RED = "red"
    ODD = Decimal("1.5")


class Size(IntEnum):
    SMALL = 1


class Word(StrEnum):
    YES = "yes"


class Inner(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    when: datetime
    where: Any = None


@dataclasses.dataclass
class Record:
    name: str
    inner: Inner | None = None
    points: list[Point] = dataclasses.field(default_factory=list)


@pydantic.dataclasses.dataclass
class Checked:
    day: date


class Pair(NamedTuple):
    first: int
    second: date


@pytest.fixture
def serializers() -> Serializers:
    serializers = Serializers()
    serializers.register(Point, lambda point: [point.x, point.y], lambda value: Point(*value))
    return serializers


def test_what_json_knows_stays_as_it_is(serializers: Serializers) -> None:
    value = {"a": [1, 2.5, "x", True, None, [], {}], "b": {"c": 10**30}}
    assert serializers.to_json(value) == value


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Color.RED, "red"),
        (Color.ODD, "1.5"),
        (Size.SMALL, 1),
        (Word.YES, "yes"),
        (Decimal("1.10"), "1.10"),
        (Path("a/b"), "a/b"),
        (PurePosixPath("/a"), "/a"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (b"\xfb\xff", "+/8="),
        (bytearray(b"a"), "YQ=="),
        (memoryview(b"a"), "YQ=="),
        (date(2024, 2, 29), "2024-02-29"),
        (time(1, 2), "01:02:00"),
        (timedelta(minutes=90), "PT1H30M"),
        (datetime(2024, 1, 1), "2024-01-01T00:00:00"),
        (datetime(2024, 1, 1, tzinfo=UTC), "2024-01-01T00:00:00Z"),
        (datetime(2024, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2024-01-01T00:00:00+02:00"),
        (datetime(2024, 7, 1, tzinfo=ZoneInfo("Europe/Oslo")), "2024-07-01T00:00:00+02:00"),
        ((1, "a"), [1, "a"]),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset("ba"), ["a", "b"]),
        (deque([1]), [1]),
        (OrderedDict(a=1), {"a": 1}),
        (Pair(1, date(2024, 1, 1)), [1, "2024-01-01"]),
        ({2: "a", True: "b", Word.YES: "c"}, {"2": "a", "true": "b", "yes": "c"}),
        ({None: 1, 2.5: 2, date(2024, 1, 1): 3, UUID(int=0): 4}, {
            "null": 1, "2.5": 2, "2024-01-01": 3, "00000000-0000-0000-0000-000000000000": 4,
        }),
        (ipaddress.ip_address("1.1.1.1"), "1.1.1.1"),
        (Point(1, 2), [1, 2]),
        (Corner(1, 2), [1, 2]),
        ([Point(1, 2)], [[1, 2]]),
        (Record("a", Inner(when=datetime(2024, 1, 1)), [Point(0, 1)]), {
            "name": "a", "inner": {"when": "2024-01-01T00:00:00", "where": None}, "points": [[0, 1]],
        }),
        (Inner(when=datetime(2024, 1, 1), where=Point(1, 2)), {"when": "2024-01-01T00:00:00", "where": [1, 2]}),
        (Checked(date(2024, 1, 1)), {"day": "2024-01-01"}),
        (DataFrame(columns=["a"], data=[[1]]), {"columns": ["a"], "data": [[1]]}),
    ],
)  # fmt: skip
def test_values_of_python_are_written_as_json(serializers: Serializers, value: Any, expected: Any) -> None:
    assert serializers.to_json(value) == expected


def test_identifiers_are_plain_text(serializers: Serializers) -> None:
    written = serializers.to_json(ULID())
    assert type(written) is str
    assert ULID(written) == written


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int8(3), 3),
        (np.uint64(2**64 - 1), 2**64 - 1),
        (np.float32(1.5), 1.5),
        (np.float64(1.5), 1.5),
        (np.longdouble(1.5), 1.5),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.bytes_(b"a"), "YQ=="),
        (np.datetime64("2024-01-01T12"), "2024-01-01T12"),
        (np.datetime64("NaT"), None),
        (np.timedelta64(1, "D"), "P1D"),
        (np.array([[1, 2]], dtype="int8"), [[1, 2]]),
        (np.array([1.0, np.nan]), [1.0, None]),
        (np.array([]), []),
        (np.array(5), 5),
        (np.array(["a"]), ["a"]),
        (np.array([Point(1, 2), None], dtype=object), [[1, 2], None]),
        (np.array(["2024-01-01"], dtype="datetime64[D]"), ["2024-01-01"]),
        (np.array([1], dtype="timedelta64[D]"), ["P1D"]),
        (np.array([1 + 2j]), ["1+2j"]),
        (pd.Timestamp("2024-01-01", tz="UTC"), "2024-01-01T00:00:00Z"),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Timedelta("1D"), "P1D"),
        (pd.Series([1, 2], name="a"), {
            "columns": ["a"], "data": [[1], [2]], "schema": [{"name": "a", "type": "int64"}],
        }),
        (pd.Series([1.5]), {"columns": ["0"], "data": [[1.5]], "schema": [{"name": "0", "type": "float64"}]}),
        (pd.DataFrame({"a": [1, None]}), {
            "columns": ["a"], "data": [[1.0], [None]], "schema": [{"name": "a", "type": "float64"}],
        }),
    ],
)  # fmt: skip
def test_values_of_numpy_and_pandas_are_written_as_json(serializers: Serializers, value: Any, expected: Any) -> None:
    written = serializers.to_json({"value": value})["value"]
    assert written == expected
    assert type(written) is type(expected)


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, -math.inf, np.float64("inf"), np.array([np.inf]), Decimal("1E400")]
)
def test_numbers_that_json_does_not_have_are_refused(serializers: Serializers, value: Any) -> None:
    if isinstance(value, Decimal):
        assert serializers.to_json(value) == "1E+400"
        return
    with pytest.raises(UnprocessableError, match="use None for what is missing") as caught:
        serializers.to_json({"rates": [0, value]})
    assert caught.value.code == "number-not-finite"
    assert caught.value.extensions["field"].startswith("rates.1")


class Opaque:
    """Nobody knows it."""


def test_an_unknown_type_is_named_with_its_place_and_the_way_out(serializers: Serializers) -> None:
    with pytest.raises(ValueNotSerializableError) as caught:
        serializers.to_json({"a": [1, {"b": Opaque()}]}, "result")
    assert caught.value.code == "value-not-serializable"
    assert caught.value.detail == (
        "result.a.1.b is of the type tests.unit.task.test_serializers.Opaque, which JSON cannot carry; "
        "say how with register_serializer(Opaque, to_json, from_json)"
    )
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize(
    "value",
    [
        Opaque(),
        {Opaque(): 1},
        {(1, 2): 3},
        Inner(when=datetime(2024, 1, 1), where=Opaque()),
        Record("a", Inner(when=datetime(2024, 1, 1), where=[Opaque()])),
        range(3),
        ValueError("x"),
        Opaque,
        print,
        object(),
        Inner(when=datetime(2024, 1, 1), where=b"\xff"),
        np.array([Opaque()]),
    ],
)
def test_what_json_cannot_carry_is_refused(serializers: Serializers, value: Any) -> None:
    with pytest.raises(ValueNotSerializableError):
        serializers.to_json(value)


def test_values_that_contain_themselves_are_refused(serializers: Serializers) -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(ValueNotSerializableError, match="contains itself"):
        serializers.to_json(endless)
    serializers.register(Opaque, lambda value: value, lambda value: Opaque())
    with pytest.raises(ValueNotSerializableError, match="its to_json returns the same type"):
        serializers.to_json(Opaque())
    deep: Any = 1
    for _ in range(150):
        deep = [deep]
    assert serializers.to_json(deep) == deep


def test_a_serializer_of_the_user_wins() -> None:
    serializers = Serializers()
    serializers.register(Decimal, float, lambda value: Decimal(str(value)))
    serializers.register(pd.DataFrame, lambda frame: frame.to_dict("records"), pd.DataFrame)
    assert serializers.to_json([Decimal("1.5"), pd.DataFrame({"a": [1]})]) == [1.5, [{"a": 1}]]
    assert serializers.from_json(Decimal, 1.5) == Decimal("1.5")
    assert serializers.from_json(list[pd.DataFrame], [[{"a": 1}]])[0].equals(pd.DataFrame({"a": [1]}))


def test_serializers_that_make_no_sense_are_refused(serializers: Serializers) -> None:
    wrong: Any = "Point"
    nothing: Any = None
    for attempt in (
        lambda: serializers.register(wrong, str, str),
        lambda: serializers.register(Opaque, nothing, str),
        lambda: serializers.register(Opaque, str, lambda value: Opaque(), name="Point"),
    ):
        with pytest.raises(ConfigurationError) as caught:
            attempt()
        assert caught.value.code == "serializer-invalid"
    # The same type again replaces, as when a module is loaded again.
    serializers.register(Point, lambda point: "p", lambda value: Point(0, 0))
    assert serializers.to_json(Point(1, 2)) == "p"


def test_services_start_with_what_modules_have_registered_and_share_nothing_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Serializers, "shared", Serializers())
    register_serializer(Point, lambda point: [point.x, point.y], lambda value: Point(*value))
    first, second = Serializers.for_service(), Serializers.for_service()
    first.register(Opaque, lambda value: "opaque", lambda value: Opaque())
    assert first.to_json([Point(1, 2), Opaque()]) == [[1, 2], "opaque"]
    with pytest.raises(ValueNotSerializableError):
        second.to_json(Opaque())
    register_serializer(Opaque, lambda value: "late", lambda value: Opaque())
    with pytest.raises(ValueNotSerializableError):
        second.to_json(Opaque())


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (np.int64, np.int64(3)),
        (np.uint8, np.uint8(3)),
        (np.float32, np.float32(1.5)),
        (np.bool_, np.bool_(True)),
        (np.str_, np.str_("a")),
        (np.datetime64, np.datetime64("2024-01-01")),
        (np.timedelta64, np.timedelta64(90, "s")),
        (memoryview, memoryview(b"ab")),
        (bytearray, bytearray(b"ab")),
        (bytes, b"\xfb\xff"),
    ],
)
def test_scalars_come_back(serializers: Serializers, kind: Any, value: Any) -> None:
    back = serializers.from_json(kind, serializers.to_json(value))
    assert type(back) is type(value)
    assert back == value
    assert serializers.from_json(kind, value) is value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (np.int64, 1.5),
        (np.int64, "1"),
        (np.int64, True),
        (np.int8, 300),
        (np.bool_, 1),
        (np.bool_, "yes"),
        (np.float64, "1"),
        (np.datetime64, "yesterday"),
        (np.timedelta64, "long"),
        (np.ndarray, 3),
        (np.ndarray, [[1], [1, 2]]),
        (np.ndarray, [{"a": 1}]),
        (NDArray[np.int64], [1.5]),
        (pd.DataFrame, {"columns": ["a"], "data": [[1, 2]]}),
        (pd.Series, 3),
        (bytes, "ä"),
        (bytes, 3),
        (bytes, "YQ"),
    ],
)
def test_json_that_is_no_such_value_is_refused(serializers: Serializers, kind: Any, value: Any) -> None:
    with pytest.raises(pydantic.ValidationError, match="Input should be"):
        serializers.from_json(kind, value)


def test_frames_and_arrays_come_back(serializers: Serializers) -> None:
    frame = pd.DataFrame({"a": [1, 2], "when": pd.to_datetime(["2024-01-01", None]), "c": ["x", None]})
    back = serializers.from_json(pd.DataFrame, serializers.to_json(frame))
    pd.testing.assert_frame_equal(back, frame)
    series = pd.Series([1.5, None], name="rate")
    pd.testing.assert_series_equal(serializers.from_json(pd.Series, serializers.to_json(series)), series)
    nameless = pd.Series([1, 2])
    pd.testing.assert_series_equal(serializers.from_json(pd.Series, serializers.to_json(nameless)), nameless)
    table = pa.table({"a": [1, 2]})
    assert serializers.from_json(pa.Table, serializers.to_json(table)).equals(table)
    polars = pl.DataFrame({"a": [1, 2]})
    assert serializers.from_json(pl.DataFrame, serializers.to_json(polars)).equals(polars)
    assert serializers.from_json(NDArray[np.float32], [1, 2]).dtype == np.float32
    moments = np.array(["2024-01-01"], dtype="datetime64[us]")
    assert (serializers.from_json(NDArray[np.datetime64], serializers.to_json(moments)) == moments).all()


def test_classes_of_attrs_come_back(serializers: Serializers) -> None:
    attrs: Any = pytest.importorskip("attrs")

    @attrs.define
    class Site:
        name: str
        where: date
        _code: int = 3
        notes: list[str] = attrs.field(factory=list)
        made: int = attrs.field(init=False, default=1)

    site = Site("a", date(2024, 1, 1), code=5, notes=["x"])
    written = serializers.to_json(site)
    assert written == {"name": "a", "where": "2024-01-01", "_code": 5, "notes": ["x"], "made": 1}
    assert serializers.from_json(Site, written) == site
    assert serializers.from_json(Site, {"name": "a", "where": "2024-01-01"}) == Site("a", date(2024, 1, 1))
    with pytest.raises(pydantic.ValidationError):
        serializers.from_json(Site, {"name": "a", "where": "nowhere"})


_texts = st.text(st.characters(codec="utf-8"))
_moments = st.datetimes(timezones=st.just(UTC))


@given(value=st.lists(st.floats(allow_infinity=False, width=64), max_size=20))
def test_any_array_of_numbers_comes_back(value: list[float]) -> None:
    serializers = Serializers()
    array = np.array(value, dtype=float)
    back = serializers.from_json(np.ndarray, serializers.to_json(array))
    np.testing.assert_array_equal(back, array)


@given(content=st.binary())
def test_any_bytes_come_back(content: bytes) -> None:
    serializers = Serializers()
    written = serializers.to_json(content)
    assert base64.b64decode(written) == content
    assert serializers.from_json(bytes, written) == content
    assert serializers.from_json(bytes, base64.urlsafe_b64encode(content).decode()) == content


@given(
    record=st.builds(
        Record,
        _texts,
        st.none() | st.builds(Inner, when=_moments, where=st.none() | _texts),
        st.lists(st.builds(Point, st.floats(allow_nan=False, allow_infinity=False), st.integers()), max_size=3),
    )
)
def test_any_record_comes_back(record: Record) -> None:
    serializers = Serializers()
    serializers.register(Point, lambda point: [point.x, point.y], lambda value: Point(*value))

    class Sent(BaseModel):
        name: str
        inner: Inner | None
        points: list[Any]

    written = serializers.to_json(record)
    sent = Sent.model_validate(written)
    points = serializers.from_json(list[Point], sent.points)
    assert Record(sent.name, sent.inner, points) == record


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=20,
)


@given(value=_json)
def test_any_json_is_written_as_it_is(value: Any) -> None:
    written = Serializers().to_json(value)
    assert written == value
    assert _types(written) == _types(value)


def _types(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _types(item) for key, item in value.items()}
    return [_types(item) for item in value] if isinstance(value, list) else type(value)


@given(
    pairs=st.lists(st.tuples(st.integers(), _moments, st.decimals(allow_nan=False, allow_infinity=False)), max_size=4)
)
def test_any_tuple_of_values_comes_back(pairs: list[tuple[int, datetime, Decimal]]) -> None:
    serializers = Serializers()
    kind = list[tuple[int, datetime, Decimal]]
    assert serializers.from_json(kind, serializers.to_json(pairs)) == pairs


def test_a_plain_namedtuple_is_a_list(serializers: Serializers) -> None:
    plain = namedtuple("plain", "a b")
    assert serializers.to_json(plain(1, Point(1, 2))) == [1, [1, 2]]
