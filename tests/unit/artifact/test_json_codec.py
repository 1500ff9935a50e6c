import math
from collections import OrderedDict, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from chapkit.artifact.json_codec import carries, decode_json, encode_json, is_small, require_json
from chapkit.core.errors import UnprocessableError
from chapkit.core.ids import ULID

Pair = namedtuple("Pair", "left right")


class Point(BaseModel):
    x: Any


@dataclass
class Run:
    values: Any


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=30,
)


@given(JSON)
def test_every_json_value_comes_back_equal(value: Any) -> None:
    assert carries(value)
    assert decode_json(encode_json(value)) == value


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        (1, 2),
        Pair(1, 2),
        OrderedDict(a=1),
        Point(x=1),
        Run([1]),
        datetime.now(UTC),
        Decimal("1.5"),
        Path("a"),
        ULID("01M8GDCZBQ1FTFJZND52SRV3G5"),
        [Run({"a": (1,)})],
    ],
)
def test_what_has_a_form_in_json_is_carried(value: Any) -> None:
    assert carries(value)
    encode_json(value)


@pytest.mark.parametrize(
    "value",
    [
        {1, 2},
        b"bytes",
        [b"bytes"],
        {"a": {1}},
        {1: 2},
        np.zeros(2),
        Point(x=np.zeros(2)),
        Run(b"bytes"),
        object(),
        Run,
        len,
    ],
)
def test_what_would_come_back_as_something_else_is_not(value: Any) -> None:
    assert not carries(value)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_refused_with_its_place(number: float) -> None:
    with pytest.raises(UnprocessableError) as caught:
        encode_json({"rows": [{"value": 1.0}, {"value": number}]})
    assert caught.value.code == "number-not-finite"
    assert caught.value.extensions["field"] == "content.rows.1.value"


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "the NaN problem"])
def test_a_text_that_looks_like_such_a_number_is_kept(text: str) -> None:
    assert decode_json(encode_json({text: [text]})) == {text: [text]}


def test_half_a_character_is_refused() -> None:
    with pytest.raises(UnprocessableError) as caught:
        encode_json("\ud800")
    assert caught.value.code == "content-not-json"


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(UnprocessableError) as caught:
        carries(endless)
    assert caught.value.code == "content-not-json"


def test_deep_nesting_comes_back() -> None:
    deep: Any = 1
    for _ in range(230):
        deep = [deep]
    assert decode_json(encode_json(deep)) == deep


@pytest.mark.parametrize("content", [b"", b"{", b"[1,]", b"\xff"])
def test_bytes_that_are_no_json_are_refused(content: bytes) -> None:
    with pytest.raises(UnprocessableError) as caught:
        require_json(content)
    assert caught.value.code == "content-not-json"


@pytest.mark.parametrize("content", [b"NaN", b"[Infinity]"])
def test_bytes_with_a_number_that_is_not_finite_are_refused(content: bytes) -> None:
    with pytest.raises(UnprocessableError) as caught:
        require_json(content)
    assert caught.value.code == "number-not-finite"


@pytest.mark.parametrize("value", [None, 1, "short", b"short", {"a": [1, {"b": 2}]}, [1.0] * 100])
def test_little_is_small(value: Any) -> None:
    assert is_small(value)


@pytest.mark.parametrize("value", ["x" * 100_000, [[1] * 10] * 100, list(range(10_000)), np.zeros(1), Point(x=1)])
def test_much_and_the_unknown_are_not_small(value: Any) -> None:
    assert not is_small(value)
