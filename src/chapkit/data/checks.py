"""Checks of a frame before anything is done with it."""

import difflib
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from chapkit.core.errors import UnprocessableError


def check_names(columns: Sequence[str], frame: str = "data") -> None:
    """Refuse names that stand twice.

    Raises:
        UnprocessableError: `frame-columns-duplicate`, the names in `field`.
    """
    if len(set(columns)) == len(columns):
        return
    twice = [name for name, count in Counter(columns).items() if count > 1]
    raise UnprocessableError(
        f"the frame '{frame}' has more than one column named {_listed(twice)}",
        code="frame-columns-duplicate",
        frame=frame,
        field=twice,
    )


def check_text_names(columns: Sequence[object], frame: str = "data") -> None:
    """Refuse names that are not text.

    Raises:
        UnprocessableError: `frame-columns-not-text`, the names in `found`.
    """
    wrong = [repr(name) for name in columns if not isinstance(name, str)]
    if wrong:
        raise UnprocessableError(
            f"a column of a frame is named by text; found {', '.join(wrong)}: rename the columns first",
            code="frame-columns-not-text",
            frame=frame,
            found=wrong,
        )


def check_rows(columns: Sequence[str], rows: Sequence[Sequence[Any]], frame: str = "data", *, first: int = 0) -> None:
    """Refuse rows with more or fewer cells than there are columns.

    Args:
        columns: Names of the columns.
        rows: All rows, or some of them that follow each other.
        frame: What the frame is called in the error.
        first: The number of the first of the rows.

    Raises:
        UnprocessableError: `frame-rows-unequal`, the first such row in `row`.
    """
    expected = len(columns)
    if set(map(len, rows)) <= {expected}:
        return
    row, found = next((index, len(cells)) for index, cells in enumerate(rows, first) if len(cells) != expected)
    raise UnprocessableError(
        f"row {row} of the frame '{frame}' has {found} cells, but there are {expected} columns",
        code="frame-rows-unequal",
        frame=frame,
        row=row,
        expected=expected,
        found=found,
    )


def check_filled(columns: Sequence[str], rows: Sequence[Any], frame: str = "data", *, allow_no_rows: bool) -> None:
    """Refuse a frame without columns, or without rows where they are needed.

    Raises:
        UnprocessableError: `frame-empty`.
    """
    what = "columns" if not columns else "rows" if not rows and not allow_no_rows else None
    if what is not None:
        raise UnprocessableError(f"the frame '{frame}' has no {what}", code="frame-empty", frame=frame, missing=what)


def check_required(columns: Sequence[str], required: Iterable[str], frame: str = "data") -> None:
    """Refuse a frame that lacks a required column.

    Raises:
        UnprocessableError: `frame-columns-missing`; `did_you_mean` has the nearest name for each that has one.
    """
    wanted = list(required)
    missing = [name for name in wanted if name not in columns]
    if not missing:
        return
    near = {name: difflib.get_close_matches(name, columns, n=1) for name in missing}
    raise UnprocessableError(
        f"the frame '{frame}' lacks {_listed(missing)}",
        code="frame-columns-missing",
        frame=frame,
        field=missing,
        expected=wanted,
        found=list(columns),
        did_you_mean={name: names[0] for name, names in near.items() if names},
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
