import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chapkit.core.errors import UnprocessableError
from chapkit.data import DataFrame


def column(*cells: str) -> list[Any]:
    made = DataFrame.from_csv("a,b\n" + "".join(f"{cell},x\n" for cell in cells))
    return [row[0] for row in made.data]


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (("1", "-2", "30"), [1, -2, 30]),
        (("1", "2.5", "1e3"), [1.0, 2.5, 1000.0]),
        (("1", "", "NA"), [1, None, None]),
        (("0.1", "NaN"), [0.1, None]),
        (("Inf", "-Inf", "1"), [float("inf"), float("-inf"), 1.0]),
        ((".5", "+1"), [0.5, 1.0]),
        (("TRUE", "False", "true"), [True, False, True]),
        (("true", "1"), ["true", "1"]),
        (("2021-09", "2021-10"), ["2021-09", "2021-10"]),
        (("007", "12"), ["007", "12"]),
        (("+007.5", "12"), ["+007.5", "12"]),
        (("1_000", "2"), ["1_000", "2"]),
        (("٣", "4"), ["٣", "4"]),
        (('"1,2"', "3"), ["1,2", "3"]),
        (("[1]", "{}"), ["[1]", "{}"]),
        (("null", "true"), ["null", "true"]),
        (('"""a"""', "x"), ['"a"', "x"]),
        (("", "NA"), [None, None]),
        (("9007199254740993", "1"), [9007199254740993, 1]),
        (("0", "0.0", "-0"), [0.0, 0.0, 0.0]),
    ],
)
def test_a_column_is_what_all_of_its_cells_are(cells: tuple[str, ...], found: list[Any]) -> None:
    values = column(*cells)
    assert values == found
    assert list(map(type, values)) == list(map(type, found))


def test_cells_are_written_plainly() -> None:
    frame = DataFrame(
        columns=["a", "b,c"],
        data=[
            [1, 'say "x"'],
            [0.1 + 0.2, None],
            [True, "two\nlines"],
            [float("inf"), float("nan")],
            [None, -float("inf")],
        ],
    )
    assert frame.to_csv() == ('a,"b,c"\n1,"say ""x"""\n0.30000000000000004,\nTrue,"two\nlines"\nInf,\n,-Inf\n')


def test_many_rows_come_back(tmp_path: Path) -> None:
    rows = [[number, number / 7, f"place {number % 5}", None if number % 3 else 1.5] for number in range(30_000)]
    frame = DataFrame(columns=list("abcd"), data=rows)
    assert frame.to_csv(tmp_path / "frame.csv") == (tmp_path / "frame.csv").read_text(encoding="utf-8")
    assert DataFrame.from_csv(tmp_path / "frame.csv") == frame
    assert DataFrame.from_csv(str(tmp_path / "frame.csv")) == frame


def test_a_mark_of_byte_order_and_other_line_ends_are_read() -> None:
    assert DataFrame.from_csv("\ufeffa,b\r\n1,x\r\n\r\n2,y") == DataFrame(columns=["a", "b"], data=[[1, "x"], [2, "y"]])


def test_a_single_column_may_have_holes() -> None:
    frame = DataFrame(columns=["a"], data=[[1.5], [None], [2.5]])
    assert DataFrame.from_csv(frame.to_csv()) == frame


@pytest.mark.parametrize(
    ("text", "code"),
    [("\n", "frame-empty"), ("a,a\n1,2\n", "frame-columns-duplicate"), ("a,b\n1\n", "frame-rows-unequal")],
)
def test_a_text_that_is_no_frame_is_refused(text: str, code: str) -> None:
    with pytest.raises(UnprocessableError) as caught:
        DataFrame.from_csv(text)
    assert caught.value.code == code


def test_a_header_alone_is_a_frame_without_rows() -> None:
    assert DataFrame.from_csv("a,b\n") == DataFrame(columns=["a", "b"], data=[])


TEXTS = st.text(st.sampled_from('ab ,"\n\r;é1.'), max_size=5)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.lists(TEXTS, min_size=2, max_size=2), max_size=5))
def test_any_text_is_written_as_the_standard_library_reads_it(rows: list[list[str]]) -> None:
    text = DataFrame(columns=["a", "b"], data=rows).to_csv()
    assert list(csv.reader(io.StringIO(text, newline=""))) == [["a", "b"], *rows]
