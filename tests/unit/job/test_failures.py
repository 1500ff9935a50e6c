import pytest

from chapkit.core.errors import NotFoundError
from chapkit.data import DataFrame
from chapkit.job.executors.containment import contained
from chapkit.job.failures import describe_failure


def fit(rows: int) -> None:
    secret = "value of a variable"
    raise ValueError(f"{rows} rows are too few") from KeyError(len(secret))


def convert() -> None:
    DataFrame(columns=["a", "a"], data=[]).to_pandas()


def text_of(function: object, *args: object) -> str:
    with pytest.raises(Exception) as caught:
        contained(function, *args)  # type: ignore[arg-type]
    return describe_failure(caught.value)


def test_the_lines_of_the_function_are_told_and_nothing_of_what_called_it() -> None:
    text = text_of(fit, 3)
    assert "in fit" in text
    assert "contained" not in text
    assert "KeyError: 19" in text
    assert text.endswith("ValueError: 3 rows are too few\n")
    assert "value of a variable" not in text.replace('secret = "value of a variable"', "")


def test_an_error_of_the_library_below_the_function_shows_the_way_to_it() -> None:
    text = text_of(convert)
    assert "in convert" in text
    assert "frame-columns-duplicate" not in text


def test_an_error_of_the_service_is_told_without_its_lines() -> None:
    assert describe_failure(NotFoundError("Config a not found")).strip().endswith("Config a not found")
    assert "line" not in describe_failure(NotFoundError("Config a not found"))


def test_text_that_no_database_takes_is_made_storable() -> None:
    assert describe_failure(ValueError("a\0b \ud800")) == "ValueError: a\ufffdb ?\n"
