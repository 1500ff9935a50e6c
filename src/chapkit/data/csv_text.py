"""Frames as comma-separated values."""

import csv
import io
import re
from collections.abc import Sequence
from itertools import islice
from typing import Any

import pydantic_core

from chapkit.core.errors import UnprocessableError
from chapkit.data.checks import check_names, check_rows
from chapkit.data.fields import CHUNK_CELLS, rows_per_chunk

_MISSING = frozenset({"", "NA", "NaN", "nan"})
_BOOLEANS = {word: word[0] in "tT" for word in ("true", "false", "True", "False", "TRUE", "FALSE")}
_SPECIAL = re.compile(r'[",\r\n]')
_NO_NUMBERS = {"null": "", "NaN": "", "Infinity": "Inf", "-Infinity": "-Inf"}


def write_csv(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return the text: a header line, a missing value as an empty cell."""
    check_rows(columns, rows)
    parts = [",".join(map(_quoted, columns))]
    step = rows_per_chunk(len(columns))
    for start in range(0, len(rows), step):
        cells = map(_texts, zip(*rows[start : start + step], strict=True))
        parts += map(",".join, zip(*cells, strict=True))
    return "\n".join([*parts, ""])


def _texts(cells: tuple[Any, ...]) -> list[str]:
    kinds = set(map(type, cells))
    if kinds <= {float, type(None)}:
        # The JSON writer finds the shortest text of a number many times faster than `repr` does.
        numbers = pydantic_core.to_json(cells, inf_nan_mode="constants")[1:-1].decode().split(",")
        return [_NO_NUMBERS.get(number, number) for number in numbers]
    if kinds <= {int, bool}:
        return list(map(str, cells))
    return [_texts((cell,))[0] if isinstance(cell, float) else _quoted(cell) for cell in cells]


def _quoted(cell: object) -> str:
    text = "" if cell is None else str(cell)
    return '"' + text.replace('"', '""') + '"' if _SPECIAL.search(text) else text


def read_csv(text: str) -> tuple[list[str], list[list[Any]]]:
    """Return columns and rows.

    A column whose cells all are numbers, or all are true or false, becomes that; any other stays text. Empty cells,
    `NA` and `NaN` are missing. Numbers with leading zeros are names, and stay text.

    Raises:
        UnprocessableError: `frame-empty` without a header; `frame-rows-unequal`; `frame-columns-duplicate`.
    """
    reader = csv.reader(io.StringIO(text, newline=""))
    columns: list[str] = next(reader, list[str]())
    if not columns:
        raise UnprocessableError("the text has no header line", code="frame-empty", frame="data", missing="columns")
    columns[0] = columns[0].removeprefix("\ufeff")
    check_names(columns)
    cells: list[list[Any]] = [[] for _ in columns]
    count, step = 0, rows_per_chunk(len(columns))
    while part := list(islice(reader, step)):
        # An empty line is a missing value where there is one column, and nothing where there are more.
        rows = [row or [""] for row in part if row or len(columns) == 1]
        check_rows(columns, rows, first=count)
        count += len(rows)
        for column, more in zip(cells, zip(*rows, strict=True), strict=False):
            column.extend(more)
    for number, column in enumerate(cells):
        cells[number] = _typed(column)
    return columns, list(map(list, zip(*cells, strict=True)))


def _typed(cells: list[str]) -> list[Any]:
    present = cells if _MISSING.isdisjoint(cells) else [cell for cell in cells if cell not in _MISSING]
    values: list[Any] = present
    if present:
        values = _booleans(present) or _json_numbers(present) or _other_numbers(present) or present
    if present is cells:
        return values
    rest = iter(values)
    return [None if cell in _MISSING else next(rest) for cell in cells]


def _booleans(cells: list[str]) -> list[Any] | None:
    return [_BOOLEANS[cell] for cell in cells] if all(cell in _BOOLEANS for cell in cells) else None


def _json_numbers(cells: list[str]) -> list[Any] | None:
    values: list[Any] = []
    try:
        for start in range(0, len(cells), CHUNK_CELLS):
            text = ",".join(cells[start : start + CHUNK_CELLS])
            values += pydantic_core.from_json(f"[{text}]", allow_inf_nan=False)
    except ValueError:
        return None
    kinds: set[type[Any]] = set(map(type, values))
    if len(values) != len(cells) or not kinds <= {int, float}:
        return None
    return list(map(float, values)) if float in kinds else values


def _other_numbers(cells: list[str]) -> list[Any] | None:
    # As programs other than JSON's write them: `.5`, `+1`, `Inf`.
    joined = "".join(cells)
    if "_" in joined or not joined.isascii() or any(_is_name(cell) for cell in cells):
        return None
    try:
        return list(map(float, cells))
    except ValueError:
        return None


def _is_name(cell: str) -> bool:
    digits = cell.strip().lstrip("+-")
    return digits[:1] == "0" and digits[1:2].isdigit()
