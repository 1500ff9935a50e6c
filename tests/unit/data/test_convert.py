import inspect
import json
from dataclasses import dataclass
from typing import Annotated, Any, Optional

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from chapkit.core.errors import ConfigurationError, UnprocessableError
from chapkit.data import DataFrame, FrameConverters, default_converters

FRAME = DataFrame(columns=["a", "b"], data=[[1, "x"], [2, None]])
DOCUMENT = {"columns": ["a", "b"], "data": [[1, "x"], [2, None]]}


@dataclass
class Table:
    rows: list[dict[str, Any]]


class WideTable(Table):
    pass


def with_tables() -> FrameConverters:
    converters = default_converters()
    converters.register(Table, lambda frame: Table(frame.to_records()), lambda table: table.rows)
    return converters


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (inspect.Parameter.empty, pd.DataFrame),
        (Any, pd.DataFrame),
        (None, pd.DataFrame),
        (pd.DataFrame, pd.DataFrame),
        (DataFrame, DataFrame),
        (pa.Table, pa.Table),
        (pl.DataFrame, pl.DataFrame),
        (pd.DataFrame | None, pd.DataFrame),
        (Optional[pl.DataFrame], pl.DataFrame),  # noqa: UP045
        (Annotated[pa.Table, "note"], pa.Table),
    ],
)
def test_a_frame_is_handed_over_as_the_annotation_says(annotation: Any, kind: type) -> None:
    converters = default_converters()
    converters.check(annotation)
    assert type(converters.to(annotation, FRAME)) is kind


def test_the_frame_itself_is_handed_over_as_it_is() -> None:
    assert default_converters().to(DataFrame, FRAME) is FRAME


@pytest.mark.parametrize("annotation", [int, "pd.DataFrame", pd.DataFrame | pl.DataFrame, list[int], pd.Series, 5])
def test_an_unknown_annotation_is_refused_with_the_known_ones(annotation: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        with_tables().check(annotation)
    assert caught.value.code == "frame-type-unknown"
    assert caught.value.extensions["expected"][:4] == [
        "pandas.DataFrame",
        "chapkit.data.DataFrame",
        "pyarrow.Table",
        "polars.DataFrame",
    ]
    assert caught.value.extensions["expected"][4].endswith("Table")


def test_a_registered_type_goes_both_ways() -> None:
    converters = with_tables()
    table = converters.to(Table, FRAME)
    assert table == Table([{"a": 1, "b": "x"}, {"a": 2, "b": None}])
    assert json.loads(converters.from_value(table)) == DOCUMENT
    assert json.loads(converters.from_value(WideTable(table.rows))) == DOCUMENT


def test_two_services_do_not_share_their_types() -> None:
    with_tables()
    with pytest.raises(ConfigurationError):
        default_converters().check(Table)


@pytest.mark.parametrize(
    "value",
    [FRAME, FRAME.to_pandas(), FRAME.to_arrow(), FRAME.to_polars(), FRAME.to_records(), DOCUMENT, FRAME.model_dump()],
)
def test_whatever_frame_a_function_returns_is_encoded(value: Any) -> None:
    found = json.loads(default_converters().from_value(value))
    assert {name: found[name] for name in DOCUMENT} == DOCUMENT


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (None, "NoneType"),
        (5, "int"),
        ([], "list"),
        ([[1]], "list"),
        ({"a": [1]}, "dict"),
        (np.zeros(2), "numpy.ndarray"),
        (pd.Series([1]), "pandas.Series"),
    ],
)
def test_what_is_no_frame_is_refused_with_its_type(value: Any, found: str) -> None:
    with pytest.raises(UnprocessableError) as caught:
        default_converters().from_value(value)
    assert caught.value.code == "prediction-not-a-frame"
    assert caught.value.extensions["found"] == found


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ({"columns": ["a"], "data": 5}, "frame-invalid"),
        ({"columns": ["a"], "data": [[1, 2]]}, "frame-rows-unequal"),
        (pd.DataFrame({1: [1]}), "frame-columns-not-text"),
        (pd.DataFrame({"a": [1j]}), "frame-not-encodable"),
    ],
)
def test_a_frame_with_a_fault_is_refused_with_the_fault(value: Any, code: str) -> None:
    with pytest.raises(UnprocessableError) as caught:
        default_converters().from_value(value)
    assert caught.value.code == code
