import datetime as dt
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from chapkit.core.errors import UnprocessableError
from chapkit.data import DataFrame, decode_frame, encode_frame

MOMENTS = [dt.datetime(2021, 7, 1, 12, 30, 5, 123456), None]
ROWS: dict[str, list[Any]] = {
    "whole": [2**60 + 1, -1],
    "holes": [2**60 + 1, None],
    "float": [0.5, None],
    "flag": [True, False],
    "flags": [True, None],
    "text": ["ø", None],
    "moment": MOMENTS,
    "date": [dt.date(2021, 7, 1), None],
    "span": [dt.timedelta(seconds=5), None],
    "bytes": [b"\x00\xff", None],
    "list": [[1, 2], None],
}


def arrow() -> pa.Table:
    zoned = pa.array(MOMENTS, type=pa.timestamp("us", "Europe/Oslo"))
    columns = {name: pa.array(cells) for name, cells in ROWS.items()}
    return pa.table({**columns, "zoned": zoned, "category": pa.array(["x", None]).dictionary_encode()})


def polars() -> pl.DataFrame:
    zoned = pl.Series(MOMENTS, dtype=pl.Datetime("us", "UTC")).dt.convert_time_zone("Europe/Oslo")
    return pl.DataFrame(
        {
            **ROWS,
            "small": pl.Series([1, 2], dtype=pl.Int8),
            "small holes": pl.Series([1, None], dtype=pl.UInt16),
            "float32": pl.Series([0.1, None], dtype=pl.Float32),
            "zoned": zoned,
            "nothing": pl.Series([None, None]),
            "category": pl.Series(["x", None], dtype=pl.Categorical()),
            "ordered": pl.Series(["x", None], dtype=pl.Enum(["y", "x"])),
        }
    )


def types(frame: DataFrame) -> dict[str, str]:
    return {field.name: field.type for field in frame.fields or ()}


EXPECTED = {
    "whole": "int64",
    "holes": "Int64",
    "float": "float64",
    "flag": "bool",
    "flags": "boolean",
    "text": "str",
    "moment": "datetime64[us]",
    "date": "date",
    "span": "timedelta64[us]",
    "bytes": "bytes",
    "list": "object",
    "zoned": "datetime64[us, Europe/Oslo]",
    "category": "category",
}


def test_the_types_of_arrow_are_kept() -> None:
    assert types(DataFrame.from_arrow(arrow())) == EXPECTED


def test_an_arrow_table_comes_back() -> None:
    found = DataFrame.from_arrow(arrow()).to_arrow()
    assert found.to_pylist() == arrow().to_pylist()
    for name in set(found.column_names) - {"text", "category"}:
        assert found.schema.field(name).type == arrow().schema.field(name).type


def test_the_types_of_polars_are_kept() -> None:
    more = {
        "small": "int8",
        "small holes": "UInt16",
        "float32": "float32",
        "nothing": "object",
        "ordered": "category",
    }
    assert types(DataFrame.from_polars(polars())) == EXPECTED | more


def test_a_polars_frame_comes_back() -> None:
    found = DataFrame.from_polars(polars()).to_polars()
    assert found.to_dicts() == polars().to_dicts()
    assert found.schema == polars().schema


def test_frames_of_other_libraries_are_written_like_their_pandas_frames() -> None:
    body = encode_frame(arrow())
    assert encode_frame(DataFrame.from_arrow(arrow())) == body
    assert encode_frame(polars()) == encode_frame(DataFrame.from_polars(polars()))
    assert decode_frame(body)["holes"].tolist() == [2**60 + 1, pd.NA]


def test_empty_frames_come_back() -> None:
    assert DataFrame.from_arrow(pa.table({})).shape == (0, 0)
    assert DataFrame.from_polars(pl.DataFrame()).shape == (0, 0)
    assert DataFrame.from_polars(pl.DataFrame({"a": []}, schema={"a": pl.Int8})).to_polars().schema == {"a": pl.Int8}
    assert DataFrame.from_arrow(pa.table({"a": pa.array([], pa.int8())})).to_arrow().num_rows == 0


def test_pandas_types_of_every_kind_become_polars() -> None:
    source = pd.DataFrame(
        {
            "s": pd.Series(pd.to_datetime(["2021-01-01"]).as_unit("s")),
            "string": pd.array(["x"], dtype="string"),
            "Float32": pd.array([0.5], dtype="Float32"),
            "numbers": pd.Series(pd.Categorical([3])),
        }
    )
    found = DataFrame.from_pandas(source).to_polars()
    assert found.schema == {"s": pl.Datetime("ms"), "string": pl.String, "Float32": pl.Float32, "numbers": pl.Int64}


def test_a_column_that_stands_twice_in_a_table_is_refused() -> None:
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"])
    for use in (DataFrame.from_arrow, encode_frame):
        with pytest.raises(UnprocessableError) as caught:
            use(table)
        assert caught.value.code == "frame-columns-duplicate"
