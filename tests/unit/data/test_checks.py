from typing import Any

import pytest

from chapkit.core.errors import UnprocessableError
from chapkit.data import DataFrame


def refusal(columns: list[str], data: list[list[Any]], **options: Any) -> UnprocessableError:
    with pytest.raises(UnprocessableError) as caught:
        DataFrame(columns=columns, data=data).check(**options)
    return caught.value


def test_a_good_frame_is_returned() -> None:
    frame = DataFrame(columns=["a"], data=[[1]])
    assert frame.check(required=["a"], allow_no_rows=False) is frame


def test_the_first_uneven_row_is_named() -> None:
    error = refusal(["a", "b"], [[1, 2], [1, 2, 3], [1]], name="historic")
    assert error.code == "frame-rows-unequal"
    assert error.extensions == {"frame": "historic", "row": 1, "expected": 2, "found": 3}
    assert error.detail == "row 1 of the frame 'historic' has 3 cells, but there are 2 columns"


def test_columns_that_stand_twice_are_named() -> None:
    error = refusal(["a", "b", "a", "c", "c"], [])
    assert (error.code, error.extensions["field"]) == ("frame-columns-duplicate", ["a", "c"])


def test_a_frame_without_columns_is_refused() -> None:
    error = refusal([], [])
    assert (error.code, error.extensions["missing"]) == ("frame-empty", "columns")


def test_a_frame_without_rows_is_refused_only_when_asked() -> None:
    DataFrame(columns=["a"], data=[]).check()
    error = refusal(["a"], [], allow_no_rows=False)
    assert (error.code, error.extensions["missing"]) == ("frame-empty", "rows")


def test_missing_columns_come_with_a_guess() -> None:
    error = refusal(["rainfal", "x"], [], required=["rainfall", "disease_cases", "x"])
    assert error.code == "frame-columns-missing"
    assert error.extensions == {
        "frame": "data",
        "field": ["rainfall", "disease_cases"],
        "expected": ["rainfall", "disease_cases", "x"],
        "found": ["rainfal", "x"],
        "did_you_mean": {"rainfall": "rainfal"},
    }
