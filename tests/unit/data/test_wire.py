import datetime as dt
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chapkit.core.errors import BadRequestError, UnprocessableError
from chapkit.data import DataFrame, decode_frame, encode_frame

NUMBERS = [f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)]


def refuse(literal: str) -> None:
    raise AssertionError(f"{literal} is not JSON")


def document(body: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(body, parse_constant=refuse)
    return found


def refusal(value: Any) -> UnprocessableError:
    with pytest.raises(UnprocessableError) as caught:
        encode_frame(value)
    assert caught.value.code == "frame-not-encodable"
    return caught.value


def ends(kind: str) -> list[int]:
    info = np.iinfo(kind.lower())
    return [int(info.min), int(info.max), 1]


def series() -> dict[str, Any]:
    days: Any = pd.to_datetime(pd.Series(["2021-01-01", None, "2020-01-01"]))
    moments: Any = ["2021-03-04T05:06:07", None, "1969-12-31T23:59:59"]
    return {
        **{kind: pd.Series(ends(kind), dtype=kind) for kind in NUMBERS},
        **{f"nullable {kind}": pd.array([*ends(kind)[:2], None], dtype=nullable(kind)) for kind in NUMBERS},
        "float16": pd.Series([0.1, np.nan, np.inf], dtype="float16"),
        "float32": pd.Series([0.1, np.nan, -np.inf], dtype="float32"),
        "float64": pd.Series([0.1 + 0.2, np.nan, np.inf]),
        "finite": pd.Series([5e-324, 1.7976931348623157e308, -0.0]),
        "Float64": pd.array([0.1, None, np.inf], dtype="Float64"),
        "Float32": pd.array([0.1, None, 2.5], dtype="Float32"),
        "bool": pd.Series([True, False, True]),
        "boolean": pd.array([True, None, False], dtype="boolean"),
        "str": pd.Series(["Infinity", None, "NaN"], dtype="str"),
        "string": pd.array(["ø", None, ""], dtype="string"),
        "text of objects": pd.Series(["x", None, "y"], dtype=object),
        "objects": pd.Series([{"a": [1, 2.5, None]}, None, [True, "x"]], dtype=object),
        "mixed": pd.Series([1, "x", 2.5], dtype=object),
        "huge": pd.Series([2**70, -(2**70), None], dtype=object),
        "nothing": pd.Series([None, None, None], dtype=object),
        "bytes": pd.Series([b"\x00\xff", None, b""], dtype=object),
        "date": pd.Series([dt.date(2021, 2, 3), None, dt.date(1, 1, 1)], dtype=object),
        "month": pd.Series(pd.PeriodIndex(["2021-01", None, "1950-12"], freq="M")),
        "week": pd.Series(pd.PeriodIndex(["2021-01-04", None, "2020-12-31"], freq="W-SUN")),
        "quarter": pd.Series(pd.PeriodIndex(["2021Q1", "2021Q4", None], freq="Q-DEC")),
        **{f"moment {unit}": pd.Series(np.array(moments, dtype=f"M8[{unit}]")) for unit in ("s", "ms", "us", "ns")},
        "very far": pd.Series(np.array([2**60, -(2**60), -62167219200000001], dtype="int64").view("M8[us]")),
        "far": pd.Series(np.array(["9999-01-01", "0001-01-01", "NaT"], dtype="M8[s]")),
        "utc": pd.Series(pd.to_datetime(moments, utc=True).as_unit("us")),
        "oslo": pd.Series(pd.to_datetime(moments, utc=True).as_unit("ms")).dt.tz_convert("Europe/Oslo"),
        "offset": pd.Series(pd.to_datetime(moments, utc=True).tz_convert(dt.timezone(dt.timedelta(hours=2)))),
        **{f"span {unit}": pd.Series(np.array([-1, "NaT", 2**40], dtype=f"m8[{unit}]")) for unit in ("s", "us", "ns")},
        "category": pd.Series(pd.Categorical(["b", None, "a"], categories=["b", "a", "unused"])),
        "ordered": pd.Series(pd.Categorical(["b", None, "a"], categories=["b", "a"], ordered=True)),
        "category of numbers": pd.Series(pd.Categorical([3, None, 1])),
        "category of floats": pd.Series(pd.Categorical([np.inf, None, 1.5])),
        "category of moments": pd.Series(pd.Categorical(days)),
    }


def nullable(kind: str) -> Any:
    return kind.replace("uint", "UInt") if kind.startswith("u") else kind.replace("int", "Int")


@pytest.mark.parametrize("name", sorted(series()))
def test_a_column_comes_back_with_its_type(name: str) -> None:
    source = pd.DataFrame({"a": series()[name]})
    for body in (encode_frame(source), encode_frame(DataFrame.from_pandas(source))):
        assert list(document(body)) == ["columns", "data", "schema"]
        pd.testing.assert_frame_equal(decode_frame(body), source, check_freq=False)


def test_all_columns_come_back_together() -> None:
    source = pd.DataFrame(series())
    pd.testing.assert_frame_equal(decode_frame(encode_frame(source)), source)
    assert encode_frame(DataFrame.from_pandas(source)) == encode_frame(source)


def test_many_rows_come_back() -> None:
    count = 30_001
    source = pd.DataFrame({"a": np.arange(count), "b": np.arange(count) / 7, "c": [f"x{n % 9}" for n in range(count)]})
    source.loc[::5, "b"] = np.nan
    source.loc[17, "b"] = np.inf
    pd.testing.assert_frame_equal(decode_frame(encode_frame(source)), source)
    pd.testing.assert_frame_equal(decode_frame(encode_frame(DataFrame.from_pandas(source))), source)


@pytest.mark.parametrize("kind", ["float64", "float32", "int64", "bool"])
def test_a_matrix_of_one_type_comes_back(kind: Any) -> None:
    source = pd.DataFrame(np.arange(60_000).reshape(-1, 4) % 251, columns=list("abcd")).astype(kind)
    pd.testing.assert_frame_equal(decode_frame(encode_frame(source)), source)
    if kind.startswith("float"):
        source.iloc[3, 1] = np.nan
        pd.testing.assert_frame_equal(decode_frame(encode_frame(source)), source)
        source.iloc[4, 2] = -np.inf
        pd.testing.assert_frame_equal(decode_frame(encode_frame(source)), source)


def test_infinities_and_holes_stand_as_json() -> None:
    assert document(encode_frame(pd.DataFrame({"a": [np.inf, -np.inf, np.nan]}))) == {
        "columns": ["a"],
        "data": [["Infinity"], ["-Infinity"], [None]],
        "schema": [{"name": "a", "type": "float64"}],
    }


def test_empty_frames_come_back() -> None:
    for source in (
        pd.DataFrame({"a": pd.Series([], dtype="float32"), "b": pd.Series([], dtype="category")}),
        pd.DataFrame(index=range(3)),
        pd.DataFrame({"a": pd.Series([], dtype="int64")}),
    ):
        pd.testing.assert_frame_equal(
            decode_frame(encode_frame(source)), source, check_column_type=False, check_categorical=False
        )


def test_a_frame_without_schema_is_written_without_it() -> None:
    assert encode_frame(DataFrame(columns=["a"], data=[[1], [None]])) == b'{"columns":["a"],"data":[[1],[null]]}'


def test_an_infinity_in_a_frame_without_schema_brings_the_type_along() -> None:
    body = encode_frame(DataFrame(columns=["a", "b"], data=[[1, "x"], [float("inf"), "y"], [float("nan"), None]]))
    assert document(body)["schema"] == [{"name": "a", "type": "float64"}]
    expected = pd.DataFrame({"a": [1.0, np.inf, np.nan], "b": ["x", "y", None]})
    pd.testing.assert_frame_equal(decode_frame(body), expected)


@pytest.mark.parametrize("other", ["text", True, [1]])
def test_an_infinity_among_other_things_is_refused(other: Any) -> None:
    assert refusal(DataFrame(columns=["a"], data=[[float("inf")], [other]])).extensions["field"] == "a"


@pytest.mark.parametrize("cell", [[float("nan")], {"x": [float("inf")]}, (float("inf"),), np.float32("inf")])
def test_an_infinity_inside_of_a_cell_is_refused(cell: Any) -> None:
    assert refusal(DataFrame(columns=["x", "a"], data=[["", cell]])).extensions["field"] == "a"


def test_other_cells_are_written_beside_an_infinity() -> None:
    body = encode_frame(DataFrame(columns=["x", "a"], data=[[float("inf"), [1, "NaN"]], [np.float64("nan"), (2,)]]))
    assert document(body)["data"] == [["Infinity", [1, "NaN"]], [None, [2]]]


def test_records_are_written() -> None:
    assert document(encode_frame([{"a": 1}, {"b": np.int64(2)}])) == {
        "columns": ["a", "b"],
        "data": [[1, None], [None, 2]],
    }


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        ([Decimal(1)], "decimal.Decimal"),
        ([pd.Timestamp(2021, 1, 1)], "pandas.Timestamp"),
        ([{1: 2}], "a dict with the key 1"),
        ([(1, 2)], "builtins.tuple"),
        ([b"x", "y"], "builtins.bytes"),
        ([[np.float64(1)]], "numpy.float64"),
        ([float("inf")], "inf"),
        ([[float("nan")]], "nan"),
    ],
)
def test_an_object_that_json_cannot_carry_is_refused(cells: list[Any], found: str) -> None:
    error = refusal(
        pd.DataFrame({"good": [1], "bad": pd.Series([cells[0]], dtype=object)})
        if len(cells) == 1
        else pd.DataFrame({"bad": pd.Series(cells, dtype=object)})
    )
    assert (error.extensions["field"], error.extensions["found"]) == ("bad", found)


@pytest.mark.parametrize(
    "column",
    [
        pd.Series([1 + 2j]),
        pd.arrays.SparseArray([1, 0]),
        pd.interval_range(0, 2),
        pd.array([1], dtype="int64[pyarrow]"),
        pd.Series(["x"]).astype(pd.ArrowDtype(pa.string())),
        pd.Series(np.array([1], dtype=np.longdouble)),
    ],
)
def test_a_type_that_json_cannot_carry_is_refused(column: Any) -> None:
    assert refusal(pd.DataFrame({"a": column})).extensions["field"] == "a"


def test_text_that_is_no_text_is_refused() -> None:
    assert refusal(DataFrame(columns=["x", "a"], data=[[1, "\ud800"]])).extensions["field"] == "a"
    assert refusal(DataFrame(columns=["\ud800"], data=[[1]])).code == "frame-not-encodable"
    assert refusal(DataFrame(columns=["a"], data=[[object()]])).extensions["found"] == "object"


def test_numbers_of_numpy_among_objects_are_numbers() -> None:
    source = pd.DataFrame({"a": pd.Series([np.int32(1), np.float64(2.5), np.nan, np.bool_(True)], dtype=object)})
    assert document(encode_frame(source))["data"] == [[1], [2.5], [None], [True]]


@pytest.mark.parametrize("value", [None, 5, "text", {"a": [1]}, [[1]], np.zeros(3)])
def test_what_is_no_frame_is_refused(value: Any) -> None:
    assert "is not a frame" in refusal(value).detail


def test_uneven_rows_are_not_written() -> None:
    with pytest.raises(UnprocessableError) as caught:
        encode_frame(DataFrame(columns=["a"], data=[[1], []]))
    assert caught.value.code == "frame-rows-unequal"


@pytest.mark.parametrize(
    "body", [b"[]", b"5", b'{"columns":["a"]}', b'{"columns":[1],"data":[]}', b'{"columns":[],"data":[5]}']
)
def test_a_document_that_is_no_frame_is_refused(body: bytes) -> None:
    with pytest.raises(UnprocessableError) as caught:
        decode_frame(body)
    assert caught.value.code == "frame-invalid"


def test_a_body_that_is_no_json_is_refused() -> None:
    with pytest.raises(BadRequestError) as caught:
        decode_frame(b'{"columns":["a"],"data":[[NaN]]}')
    assert caught.value.code == "json-invalid"


CELLS = st.one_of(
    st.lists(st.floats(), min_size=3, max_size=3).map(lambda v: pd.Series(v, dtype="float64")),
    st.lists(st.floats(width=32), min_size=3, max_size=3).map(lambda v: pd.Series(v, dtype="float32")),
    st.lists(st.integers(-(2**63), 2**63 - 1), min_size=3, max_size=3).map(lambda v: pd.Series(v, dtype="int64")),
    st.lists(st.none() | st.text(st.characters(codec="utf-8")), min_size=3, max_size=3).map(
        lambda v: pd.Series(v, dtype="str")
    ),
    st.lists(st.integers(-(2**62), 2**62), min_size=3, max_size=3).map(lambda v: pd.Series(np.array(v).view("M8[us]"))),
    st.lists(st.none() | st.booleans(), min_size=3, max_size=3).map(lambda v: pd.Series(v, dtype="boolean")),
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.text(st.characters(codec="utf-8")), CELLS, min_size=1, max_size=5))
def test_any_frame_comes_back(columns: dict[str, Any]) -> None:
    source = pd.DataFrame(columns)
    body = encode_frame(source)
    document(body)
    pd.testing.assert_frame_equal(decode_frame(body), source, check_exact=True)
    pd.testing.assert_frame_equal(decode_frame(encode_frame(DataFrame.from_pandas(source))), source, check_exact=True)
