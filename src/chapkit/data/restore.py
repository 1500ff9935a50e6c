"""Frames as pandas frames: the cells of rows become columns of their types."""

import base64
import binascii
import datetime as dt
import importlib
import operator
import re
import struct
from collections.abc import Callable, Sequence
from typing import Any

from chapkit.core.errors import UnprocessableError
from chapkit.data.fields import FrameField, rows_per_chunk

_ZONED = re.compile(r"datetime64\[(s|ms|us|ns), (.+)\]")
_PLAIN = re.compile(r"(u?int(8|16|32|64)|float(16|32|64)|bool|(datetime64|timedelta64)\[(s|ms|us|ns)\])")
_EXTENSION = re.compile(r"(U?Int(8|16|32|64)|Float(32|64)|boolean|str|string|period\[.+\])")
_MOMENT = re.compile(r"(\d{4,}|-\d{3,})(-\d\d(-\d\d([T ]\d\d(:\d\d(:\d\d(\.\d+)?)?)?)?)?)?")
_CODES = {"float64": "d", "int64": "q"}
_NUMBERS = {"d": "float64", "q": "int64"}
_REFUSED = (ValueError, TypeError, OverflowError, AttributeError, KeyError)


class _Reader:
    """Collects a column chunk by chunk; numbers go into machine words at once."""

    def __init__(self, code: str | None) -> None:
        self.code = code
        self.words = bytearray()
        self.cells: list[Any] = []

    def add(self, cells: tuple[Any, ...]) -> None:
        if self.code is None:
            self.cells.extend(cells)
            return
        try:
            self.words += struct.pack(f"{len(cells)}{self.code}", *cells)
        except (struct.error, OverflowError):
            self._add_holes(cells)

    def _add_holes(self, cells: tuple[Any, ...]) -> None:
        filled = [float("nan") if cell is None else cell for cell in cells]
        try:
            self.words += struct.pack(f"{len(cells)}{self.code}", *filled)
        except (struct.error, OverflowError):
            # Not a column of numbers after all: what was packed is read again as it stands.
            self.code = None


def to_pandas(columns: Sequence[str], rows: Sequence[Sequence[Any]], fields: Sequence[FrameField]) -> Any:
    """Return a pandas frame with the types of the `fields`; other columns have the type their cells show.

    Raises:
        UnprocessableError: `frame-cell-invalid`, when a cell does not have the type of its column.
    """
    pandas: Any = importlib.import_module("pandas")
    types = {field.name: field for field in fields}
    readers = [_Reader(_code(types.get(name), rows, number)) for number, name in enumerate(columns)]
    step = rows_per_chunk(len(columns))
    for start in range(0, len(rows), step):
        for reader, cells in zip(readers, zip(*rows[start : start + step], strict=True), strict=False):
            reader.add(cells)
    found: dict[str, Any] = {}
    for number, (name, reader) in enumerate(zip(columns, readers, strict=True)):
        found[name] = _column(rows, number, reader, types.get(name), name)
    return pandas.DataFrame(found, index=pandas.RangeIndex(len(rows)), columns=list(columns))


def _code(field: FrameField | None, rows: Sequence[Sequence[Any]], number: int) -> str | None:
    if field is not None and _is_known(field.type):
        return _CODES.get(field.type)
    first = next((row[number] for row in rows if row[number] is not None), None)
    return "d" if type(first) is float else "q" if type(first) is int else None


def _is_known(kind: str) -> bool:
    if kind in ("object", "category", "date", "bytes"):
        return True
    return any(pattern.fullmatch(kind) for pattern in (_PLAIN, _EXTENSION, _ZONED))


def _column(rows: Sequence[Sequence[Any]], number: int, reader: _Reader, field: FrameField | None, name: str) -> Any:
    numpy: Any = importlib.import_module("numpy")
    if reader.code is not None:
        values = numpy.frombuffer(reader.words, dtype=_NUMBERS[reader.code])
        if not _has_booleans(values, rows, number):
            return values
    cells = reader.cells if len(reader.cells) == len(rows) else [row[number] for row in rows]
    if field is None or not _is_known(field.type):
        return _inferred(cells)
    try:
        return _typed(cells, field)
    except _REFUSED as error:
        raise UnprocessableError(
            f"a cell of the column '{name}' cannot be read as {field.type}: {error}",
            code="frame-cell-invalid",
            field=name,
            expected=field.type,
        ) from error


def _has_booleans(values: Any, rows: Sequence[Sequence[Any]], number: int) -> bool:
    # `True` packs into a word as 1; only a zero or a one can have been a boolean.
    suspects: list[int] = ((values == 0) | (values == 1)).nonzero()[0].tolist()
    return any(type(rows[row][number]) is bool for row in suspects)


def _inferred(cells: list[Any]) -> Any:
    pandas: Any = importlib.import_module("pandas")
    return pandas.Series(_objects(cells), dtype=object).infer_objects()


def _objects(cells: list[Any]) -> Any:
    numpy: Any = importlib.import_module("numpy")
    return numpy.fromiter(cells, dtype=object, count=len(cells))


def _typed(cells: list[Any], field: FrameField) -> Any:
    pandas: Any = importlib.import_module("pandas")
    kind = field.type
    special = {"object": _objects, "date": _dates, "bytes": _bytes}.get(kind)
    if special is not None:
        # Without the explicit type pandas would look into the objects and guess again.
        return pandas.Series(special(cells), dtype=object)
    if kind == "category":
        return _categories(cells, field)
    zoned = _ZONED.fullmatch(kind)
    if zoned is not None:
        return _zoned(cells, zoned[1], zoned[2])
    if kind.startswith("datetime64"):
        return _moments(cells, kind)
    return _numbers(cells, kind) if _PLAIN.fullmatch(kind) else _extended(cells, kind)


def _numbers(cells: list[Any], kind: str) -> Any:
    numpy: Any = importlib.import_module("numpy")
    if kind.startswith("float"):
        return numpy.array([_float(cell) for cell in cells], dtype=kind)
    if kind == "bool":
        if not set(map(type, cells)) <= {bool}:
            raise ValueError("a cell is neither true nor false")
        return numpy.array(cells, dtype=kind)
    if kind.startswith("timedelta64"):
        counts = [numpy.iinfo("int64").min if cell is None else operator.index(cell) for cell in cells]
        return numpy.array(counts, dtype="int64").view(kind)
    return numpy.array([_integer(cell) for cell in cells], dtype=kind)


def _float(cell: Any) -> float:
    if type(cell) is float or type(cell) is int:
        return float(cell)
    if cell is None:
        return float("nan")
    if cell in ("Infinity", "-Infinity"):
        return float(cell)
    raise ValueError(f"{cell!r} is not a number")


def _integer(cell: Any) -> int:
    if type(cell) is int:
        return cell
    # A program that knows only one kind of number writes a whole one as it likes: 9 or 9.0.
    if type(cell) is float and cell.is_integer():
        return int(cell)
    raise ValueError(f"{cell!r} is not a whole number")


def _extended(cells: list[Any], kind: str) -> Any:
    pandas: Any = importlib.import_module("pandas")
    if kind.startswith("period["):
        return pandas.array([None if cell is None else pandas.Period(cell, kind[7:-1]) for cell in cells], dtype=kind)
    if kind in ("str", "string"):
        return pandas.array(_texts(cells), dtype=kind)
    convert: Callable[[Any], Any] = _integer
    if kind == "boolean":
        convert = _boolean
    elif kind.startswith("Float"):
        convert = _float
    return pandas.array([None if cell is None else convert(cell) for cell in cells], dtype=kind)


def _texts(cells: list[Any]) -> list[Any]:
    if not set(map(type, cells)) <= {str, type(None)}:
        raise ValueError("a cell is not text")
    return cells


def _text(cell: Any) -> str:
    if isinstance(cell, str):
        return cell
    raise ValueError(f"{cell!r} is not text")


def _boolean(cell: Any) -> bool:
    if isinstance(cell, bool):
        return cell
    raise ValueError(f"{cell!r} is neither true nor false")


def _moments(cells: list[Any], kind: str) -> Any:
    numpy: Any = importlib.import_module("numpy")
    return numpy.array(["NaT" if cell is None else _moment(cell) for cell in cells], dtype=kind)


def _moment(cell: Any) -> str:
    # NumPy also reads "today" and "", and forgets a zone.
    if isinstance(cell, str) and _MOMENT.fullmatch(cell):
        return cell
    raise ValueError(f"{cell!r} is not a time without a zone")


def _zoned(cells: list[Any], unit: str, zone: str) -> Any:
    pandas: Any = importlib.import_module("pandas")
    if all(cell is None or _text(cell).endswith("Z") for cell in cells):
        # NumPy knows no zones, but is exact in every unit and for every year.
        naive = _moments([None if cell is None else cell[:-1] for cell in cells], f"datetime64[{unit}]")
        moments = pandas.DatetimeIndex(naive).tz_localize("UTC")
    else:
        moments = pandas.to_datetime(cells, format="ISO8601", utc=True).as_unit(unit)
    return moments.tz_convert(zone)


def _categories(cells: list[Any], field: FrameField) -> Any:
    pandas: Any = importlib.import_module("pandas")
    known: list[Any] = field.categories or []
    kind = FrameField(name=field.name, type=field.categories_type or "object")
    places = {cell: place for place, cell in enumerate(known)}
    codes = [-1 if cell is None else places[_infinity(cell)] for cell in cells]
    values = _typed(known, kind) if _is_known(kind.type) else _inferred(known)
    index = pandas.Index(values, dtype=values.dtype)
    return pandas.Categorical.from_codes(codes, categories=index, ordered=bool(field.ordered))


def _infinity(cell: Any) -> Any:
    return {float("inf"): "Infinity", float("-inf"): "-Infinity"}.get(cell, cell) if type(cell) is float else cell


def _dates(cells: list[Any]) -> Any:
    return _objects([None if cell is None else dt.date.fromisoformat(cell) for cell in cells])


def _bytes(cells: list[Any]) -> Any:
    try:
        return _objects([None if cell is None else base64.b64decode(cell, validate=True) for cell in cells])
    except binascii.Error as error:
        raise ValueError("a cell is not Base64") from error
