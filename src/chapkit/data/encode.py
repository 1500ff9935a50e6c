"""Frames as bytes: what is stored and what is sent."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

import pydantic_core

from chapkit.core.errors import UnprocessableError
from chapkit.data.cells import Column, infinities_as_text, native, not_encodable, pandas_columns
from chapkit.data.checks import check_names, check_rows, check_text_names
from chapkit.data.fields import FrameField, rows_per_chunk
from chapkit.data.foreign import pandas_from_arrow, pandas_from_polars
from chapkit.data.frame import DataFrame

_PANDAS = "pandas.DataFrame"
_FLOATS = frozenset({"float16", "float32", "float64", "Float32", "Float64", "category"})


def type_name(kind: Any) -> str:
    """Return a class as package and name: without an import, and wherever the package defines it."""
    package = str(getattr(kind, "__module__", "")).partition(".")[0]
    return f"{package}.{getattr(kind, '__qualname__', '')}"


def frame_kind(value: object) -> str | None:
    """Return which kind of frame a value is, or None."""
    names = [type_name(kind) for kind in type(value).__mro__]
    return next((name for name in names if name in (_PANDAS, "pyarrow.Table", "polars.DataFrame")), None)


def is_records(value: object) -> TypeGuard[list[Mapping[str, Any]]]:
    """Tell whether a value is a list of rows, each a mapping."""
    return isinstance(value, list) and all(isinstance(row, Mapping) for row in value)  # pyright: ignore[reportUnknownVariableType]


def encode_frame(value: Any) -> bytes:
    """Return the JSON document of a frame: pandas, Arrow, Polars, `DataFrame`, or a list of records.

    Raises:
        UnprocessableError: `frame-not-encodable` (the column in `field`), or what `DataFrame.check` raises.
    """
    if isinstance(value, DataFrame):
        return _encode_rows(value)
    if is_records(value):
        return _encode_rows(DataFrame.from_records(value))
    kind = frame_kind(value)
    if kind == _PANDAS:
        return _encode_pandas(value)
    if kind is None:
        raise UnprocessableError(
            f"{type(value).__name__} is not a frame", code="frame-not-encodable", found=type(value).__name__
        )
    check_names(list(value.columns if kind == "polars.DataFrame" else value.column_names))
    return _encode_pandas(pandas_from_polars(value) if kind == "polars.DataFrame" else pandas_from_arrow(value))


def _encode_pandas(frame: Any) -> bytes:
    names: list[Any] = list(frame.columns)
    check_text_names(names)
    check_names(names)
    columns = pandas_columns(frame)
    return _document(names, [column.field for column in columns], _pandas_chunks(frame, columns))


def _pandas_chunks(frame: Any, columns: list[Column]) -> Iterator[bytes]:
    if not columns:
        yield from ([_text([[]] * len(frame), ())] if len(frame) else [])
        return
    names = [column.field.name for column in columns]
    step = rows_per_chunk(len(columns))
    for start in range(0, len(frame), step):
        cells = [column.wire_cells(start, start + step) for column in columns]
        yield _text(list(map(list, zip(*cells, strict=True))), names)


def _encode_rows(frame: DataFrame) -> bytes:
    check_names(frame.columns)
    check_rows(frame.columns, frame.data)
    fields = None if frame.fields is None else list(frame.fields)
    infinite: set[int] = set()
    step = rows_per_chunk(len(frame.columns))
    chunks = [_chunk(frame.data[start : start + step], frame.columns, infinite) for start in range(0, len(frame), step)]
    if infinite:
        fields = _with_floats(frame, fields or [], infinite)
    return _document(frame.columns, fields, iter(chunks))


def _with_floats(frame: DataFrame, fields: list[FrameField], infinite: set[int]) -> list[FrameField]:
    known = {field.name: field for field in fields}
    for number in sorted(infinite):
        name = frame.columns[number]
        numeric = all(
            isinstance(row[number], float | int | None) and not isinstance(row[number], bool) for row in frame.data
        )
        # Only the type says that the text is an infinity, so it must be there.
        if known.setdefault(name, FrameField(name=name, type="float64")).type not in _FLOATS or not numeric:
            not_encodable(name, "an infinity", "only a column of floats can say in JSON")
    return list(known.values())


def _document(names: Sequence[str], fields: list[FrameField] | None, chunks: Iterator[bytes]) -> bytes:
    try:
        head = b'{"columns":' + pydantic_core.to_json(list(names)) + b',"data":['
        tail = b"]}"
        if fields is not None:
            tail = b'],"schema":' + pydantic_core.to_json([field.document() for field in fields]) + b"}"
    except ValueError as error:
        raise UnprocessableError(f"a name cannot be written: {error}", code="frame-not-encodable") from error
    parts = [head]
    for chunk in chunks:
        parts += (b",", chunk) if len(parts) > 1 else (chunk,)
    return b"".join([*parts, tail])


def _chunk(rows: list[Any], names: Sequence[str], infinite: set[int]) -> bytes:
    text = _text(rows, names)
    if b"NaN" in text or b"Infinity" in text:
        text = _text([_finite(row, names, infinite) for row in rows], names)
    return text


def _text(rows: list[Any], names: Sequence[str]) -> bytes:
    try:
        return pydantic_core.to_json(rows, inf_nan_mode="constants", fallback=native)[1:-1]
    except (ValueError, TypeError) as error:
        _name_culprit(rows, names)
        raise UnprocessableError(f"a cell cannot be written: {error}", code="frame-not-encodable") from error


def _finite(row: Sequence[Any], names: Sequence[str], infinite: set[int]) -> list[Any]:
    cells = infinities_as_text([None if isinstance(cell, float) and cell != cell else cell for cell in row])
    for number, (before, after) in enumerate(zip(row, cells, strict=True)):
        if isinstance(before, float):
            infinite.update([number] if isinstance(after, str) else [])
        elif not isinstance(before, str | int | None) and not _is_json(before):
            not_encodable(names[number], f"{before!r:.100}", "has a number inside that JSON does not have")
    return cells


def _is_json(cell: Any) -> bool:
    try:
        pydantic_core.from_json(
            pydantic_core.to_json(cell, inf_nan_mode="constants", fallback=native), allow_inf_nan=False
        )
    except ValueError:
        return False
    return True


def _name_culprit(rows: list[Any], names: Sequence[str]) -> None:
    for row in rows:
        for name, cell in zip(names, row, strict=False):
            try:
                pydantic_core.to_json(cell, fallback=native)
            except (ValueError, TypeError) as error:
                not_encodable(name, type(cell).__name__, f"cannot be written: {error}")
