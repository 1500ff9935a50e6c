import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pydantic
import pytest

from chapkit.core.errors import UnprocessableError
from chapkit.data import DataFrame, FrameField, PandasDataFrame


def frame(*rows: list[Any]) -> DataFrame:
    return DataFrame(columns=["a", "b"], data=list(rows))


def dtypes(value: Any) -> list[str]:
    return [str(dtype) for dtype in value.dtypes]


def test_making_a_frame_does_not_copy_its_rows() -> None:
    rows = [[1, 2], [3, 4]]
    assert DataFrame(columns=["a", "b"], data=rows).data is rows


def test_rows_may_be_tuples() -> None:
    assert DataFrame.model_validate({"columns": ["a"], "data": [(1,), [2]]}).data == [[1], [2]]


@pytest.mark.parametrize("data", [5, "text", {"a": 1}, [5], [[1], "x"], None])
def test_data_that_is_no_list_of_rows_is_refused(data: Any) -> None:
    with pytest.raises(pydantic.ValidationError):
        DataFrame(columns=["a"], data=data)


def test_extra_members_are_ignored() -> None:
    document = {"columns": ["a"], "data": [[1]], "index": [0], "schema": [{"name": "a", "type": "int8", "note": 1}]}
    assert DataFrame.model_validate(document).fields == [FrameField(name="a", type="int8")]


def test_a_frame_without_schema_is_written_without_it() -> None:
    assert frame([1, None]).model_dump() == {"columns": ["a", "b"], "data": [[1, None]]}
    assert frame([1, None]).model_dump_json() == '{"columns":["a","b"],"data":[[1,null]]}'


def test_a_frame_can_be_made_of_what_it_wrote() -> None:
    made = DataFrame.from_pandas(pd.DataFrame({"a": pd.Series([1], dtype="int8")}))
    assert made.model_dump() == {"columns": ["a"], "data": [[1]], "schema": [{"name": "a", "type": "int8"}]}
    again = DataFrame(**made.model_dump())
    assert again == made
    assert dtypes(again.to_pandas()) == ["int8"]


@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_the_json_schema_names_columns_and_rows(mode: Any) -> None:
    properties = DataFrame.model_json_schema(mode=mode)["properties"]
    assert properties["columns"]["items"] == {"type": "string"}
    assert properties["data"]["items"]["type"] == "array"
    assert "schema" in properties


def test_frames_are_equal_by_value() -> None:
    assert frame([1, "x"]) == frame([1, "x"])
    assert frame([1, "x"]) != frame([2, "x"])
    assert frame([1, "x"]) != {"columns": ["a", "b"], "data": [[1, "x"]]}


def test_a_frame_knows_its_size_and_is_never_false() -> None:
    assert (len(frame([1, 2])), frame([1, 2]).shape) == (1, (1, 2))
    assert bool(frame())


def test_whole_numbers_stay_whole_beside_other_columns() -> None:
    made = DataFrame.from_pandas(pd.DataFrame({"i": [1, 2**60 + 1], "f": [0.5, 1.0], "s": ["x", "y"]}))
    assert made.data == [[1, 0.5, "x"], [2**60 + 1, 1.0, "y"]]
    assert [type(cell) for cell in made.data[0]] == [int, float, str]


def test_what_is_missing_becomes_null() -> None:
    source = pd.DataFrame(
        {
            "f": [1.5, np.nan],
            "s": ["x", None],
            "n": pd.array([1, None], dtype="Int64"),
            "t": pd.to_datetime(pd.Series(["2021-01-01", None])),
            "o": pd.Series([{"a": 1}, pd.NaT], dtype=object),
        }
    )
    assert DataFrame.from_pandas(source).data[1] == [None] * 5


def test_an_infinity_stays_a_number_in_memory() -> None:
    assert DataFrame.from_pandas(pd.DataFrame({"a": [np.inf, -np.inf]})).data == [[np.inf], [-np.inf]]


def test_moments_become_text_with_their_type() -> None:
    made = DataFrame.from_pandas(pd.DataFrame({"t": pd.to_datetime(["2021-02-03"]).as_unit("us")}))
    assert made.data == [["2021-02-03T00:00:00.000000"]]
    assert made.fields == [FrameField(name="t", type="datetime64[us]")]


def test_the_index_is_left_out() -> None:
    made = DataFrame.from_pandas(pd.DataFrame({"a": [1, 2]}, index=["x", "y"]))
    assert made.to_pandas().index.tolist() == [0, 1]


def test_names_that_are_no_text_are_named() -> None:
    with pytest.raises(UnprocessableError) as caught:
        DataFrame.from_pandas(pd.DataFrame({1: [1], "a": [2], ("x", "y"): [3]}))
    assert caught.value.code == "frame-columns-not-text"
    assert caught.value.extensions["found"] == ["1", "('x', 'y')"]


def test_a_column_that_stands_twice_is_refused() -> None:
    with pytest.raises(UnprocessableError) as caught:
        DataFrame.from_pandas(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    assert caught.value.code == "frame-columns-duplicate"


def test_something_else_than_a_pandas_frame_is_a_type_error() -> None:
    wrong: Any = [1]
    with pytest.raises(TypeError, match="found list"):
        DataFrame.from_dataframe(wrong)


def test_types_are_read_off_the_cells_as_pandas_does() -> None:
    columns = {
        "float": [1.5, 2.0, None],
        "whole": [1, 2, 3],
        "holes": [1, None, 3],
        "mixed numbers": [1, 2.5, 3],
        "text": ["x", None, "z"],
        "flags": [True, False, True],
        "flags and numbers": [1.0, True, 0.0],
        "numbers and flags": [1, 0, True],
        "text of numbers": [1.5, "2.5", 3.5],
        "nothing": [None, None, None],
        "late": [None, 1.5, 2.5],
        "large": [2**63, 1, 2],
        "huge": [2**70, 1, 2],
        "huge in floats": [1.5, 2**70, 10**400],
        "nested": [[1], {"a": 2}, None],
    }
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    found = DataFrame(columns=list(columns), data=rows).to_pandas()
    pd.testing.assert_frame_equal(found, pd.DataFrame(rows, columns=list(columns)))


def test_types_are_read_off_many_rows_too() -> None:
    rows: list[list[Any]] = [[number, number / 7, f"x{number}", number % 2 == 0] for number in range(60_000)]
    rows[59_000][1] = None
    found = DataFrame(columns=list("abcd"), data=rows).to_pandas()
    pd.testing.assert_frame_equal(found, pd.DataFrame(rows, columns=list("abcd")))


def test_a_late_change_of_type_is_seen() -> None:
    rows: list[list[Any]] = [[1, 1.5, 1] for _ in range(60_000)]
    rows[59_999] = ["x", True, 1.5]
    found = DataFrame(columns=list("abc"), data=rows).to_pandas()
    pd.testing.assert_frame_equal(found, pd.DataFrame(rows, columns=list("abc")))


def test_the_pandas_frame_can_be_written_to() -> None:
    found = frame([1, 2.5]).to_pandas()
    found.loc[0, "a"] = 7
    found["b"] += 1
    assert found.to_numpy().tolist() == [[7.0, 3.5]]


def test_an_unknown_type_of_a_schema_is_read_off_the_cells() -> None:
    made = DataFrame(columns=["a"], data=[[1.5]], fields=[FrameField(name="a", type="number")])
    assert dtypes(made.to_pandas()) == ["float64"]


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("int64", 1.5),
        ("int64", None),
        ("int8", 300),
        ("float64", "1.5"),
        ("bool", 1),
        ("bool", None),
        ("str", 5),
        ("boolean", "x"),
        ("Int64", "x"),
        ("datetime64[us]", "today"),
        ("datetime64[us]", "2021-01-01T00:00:00+02:00"),
        ("datetime64[us]", 5),
        ("datetime64[us, UTC]", "soon"),
        ("datetime64[us, Nowhere/Land]", "2021-01-01T00:00:00Z"),
        ("timedelta64[s]", "x"),
        ("date", "x"),
        ("bytes", "%"),
        ("category", "x"),
        ("category", [1]),
        ("period[M]", "x"),
        ("period[Q]", 5.5),
        ("period[nonsense]", "2021"),
    ],
)
def test_a_cell_of_another_type_than_the_schema_says_is_refused(kind: str, cell: Any) -> None:
    made = DataFrame(columns=["a"], data=[[cell]], fields=[FrameField(name="a", type=kind)])
    with pytest.raises(UnprocessableError) as caught:
        made.to_pandas()
    assert caught.value.code == "frame-cell-invalid"
    assert caught.value.extensions["field"] == "a"
    assert caught.value.extensions["expected"] == kind


def test_whole_floats_are_read_as_whole_numbers() -> None:
    made = DataFrame(columns=["a"], data=[[9.0], [1]], fields=[FrameField(name="a", type="int64")])
    assert made.to_pandas()["a"].tolist() == [9, 1]


def test_moments_with_other_zones_are_read() -> None:
    field = FrameField(name="a", type="datetime64[s, Europe/Oslo]")
    made = DataFrame(columns=["a"], data=[["2021-07-01T12:00:00+05:00"], [None]], fields=[field])
    found = made.to_pandas()["a"]
    assert str(found.dtype) == "datetime64[s, Europe/Oslo]"
    assert found[0].isoformat() == "2021-07-01T09:00:00+02:00"
    assert found[1] is pd.NaT


def test_uneven_rows_are_never_converted() -> None:
    uneven = frame([1, 2], [3])
    for convert in (uneven.to_pandas, uneven.to_records, uneven.to_dict, uneven.to_csv, uneven.to_arrow):
        with pytest.raises(UnprocessableError) as caught:
            convert()
        assert caught.value.code == "frame-rows-unequal"


def test_frames_without_rows_or_columns_are_converted() -> None:
    assert frame().to_pandas().columns.tolist() == ["a", "b"]
    assert DataFrame(columns=[], data=[[], []]).to_pandas().shape == (2, 0)
    assert DataFrame.from_pandas(pd.DataFrame(index=range(3))).data == [[], [], []]
    typed = DataFrame.from_pandas(pd.DataFrame({"a": pd.Series([], dtype="int8"), "b": pd.Series([], dtype="str")}))
    assert dtypes(typed.to_pandas()) == ["int8", "str"]


def test_columns_become_a_frame_and_a_frame_columns() -> None:
    made = DataFrame.from_dict({"a": [1, 2], "b": ["x", None]})
    assert made.data == [[1, "x"], [2, None]]
    assert made.to_dict() == {"a": [1, 2], "b": ["x", None]}


def test_columns_of_different_length_are_refused() -> None:
    with pytest.raises(UnprocessableError) as caught:
        DataFrame.from_dict({"a": [1, 2], "b": [1]})
    assert caught.value.code == "frame-rows-unequal"


def test_records_become_a_frame_and_a_frame_records() -> None:
    made = DataFrame.from_records([{"a": 1}, {"b": 2, "a": 3}])
    assert made.columns == ["a", "b"]
    assert made.to_records() == [{"a": 1, "b": None}, {"a": 3, "b": 2}]


def test_the_names_of_the_first_release_work() -> None:
    source = pd.DataFrame({"a": [1]})
    assert PandasDataFrame is DataFrame
    pd.testing.assert_frame_equal(PandasDataFrame.from_dataframe(source).to_dataframe(), source)


def test_no_heavy_package_is_imported_by_the_layer() -> None:
    script = (
        "import sys; from chapkit.data import *; import chapkit.data.convert, chapkit.data.decode;"
        "found = sorted({'pandas', 'numpy', 'pyarrow', 'polars', 'fastapi', 'sqlalchemy'} & set(sys.modules));"
        "FrameConverters().check(int | None) if found else print(found)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
