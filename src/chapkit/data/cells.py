"""Cells of pandas columns: what stands in a frame for each of their types."""

import base64
import datetime as dt
import importlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

from chapkit.core.errors import UnprocessableError
from chapkit.data.fields import FrameField

Cells = Callable[[int, int], list[Any]]
"""Cells of a column from a row up to another; what is missing is None."""

_SCALARS = frozenset({str, int, bool, type(None)})


@dataclass(frozen=True)
class Column:
    """A column that can be cut into rows."""

    field: FrameField
    cells: Cells
    may_be_infinite: bool = False

    def wire_cells(self, start: int, stop: int) -> list[Any]:
        """Return cells as JSON carries them."""
        found = self.cells(start, stop)
        return infinities_as_text(found) if self.may_be_infinite else found


def pandas_columns(frame: Any) -> list[Column]:
    """Return the columns of a pandas frame; the index is left out."""
    return [pandas_column(name, frame.iloc[:, number]) for number, name in enumerate(frame.columns)]


def pandas_column(name: str, series: Any) -> Column:
    """Return one pandas column, cells as they are kept in memory (an infinity is a float).

    Raises:
        UnprocessableError: `frame-not-encodable`, for a type that JSON cannot carry.
    """
    dtype = series.dtype
    kind = getattr(dtype, "kind", "O") if type(dtype).__module__.startswith("numpy") else type(dtype).__name__
    make = {
        "i": _plain,
        "u": _plain,
        "b": _plain,
        "f": _floating,
        "M": _moment,
        "DatetimeTZDtype": _moment,
        "m": _duration,
        "O": _objects,
        "StringDtype": _masked,
        "CategoricalDtype": _category,
        "PeriodDtype": _period,
    }.get(kind)
    if make is None:
        make = _masked if getattr(dtype, "numpy_dtype", None) is not None else None
    if make is None or str(dtype).endswith("[pyarrow]"):
        not_encodable(name, str(dtype))
    return make(name, series)


def not_encodable(name: str, found: str, why: str = "cannot be carried by JSON") -> NoReturn:
    """Say which column cannot be written, and what it holds."""
    raise UnprocessableError(
        f"the column '{name}' holds {found}, which {why}", code="frame-not-encodable", field=name, found=found
    )


def infinities_as_text(cells: list[Any]) -> list[Any]:
    """Return the cells as JSON carries them."""
    return [_infinity(cell) if isinstance(cell, float) and math.isinf(cell) else cell for cell in cells]


def _infinity(cell: float) -> str:
    return "Infinity" if cell > 0 else "-Infinity"


def _array(series: Any) -> Any:
    numpy: Any = importlib.import_module("numpy")
    # The columns of one block of pandas may lie row by row, which is slow to read.
    return numpy.ascontiguousarray(series.to_numpy())


def _plain(name: str, series: Any) -> Column:
    values = _array(series)
    return Column(FrameField(name=name, type=values.dtype.name), lambda start, stop: values[start:stop].tolist())


def _floating(name: str, series: Any) -> Column:
    values = _array(series)
    if values.dtype.name not in ("float16", "float32", "float64"):
        not_encodable(name, values.dtype.name)

    def cells(start: int, stop: int) -> list[Any]:
        return [None if cell != cell else cell for cell in values[start:stop].tolist()]

    field = FrameField(name=name, type=values.dtype.name)
    has_holes = bool((values != values).any())
    may_be_infinite = bool((abs(values) == math.inf).any())
    return Column(field, cells if has_holes else lambda start, stop: values[start:stop].tolist(), may_be_infinite)


def _masked(name: str, series: Any) -> Column:
    values = series.to_numpy(dtype=object, na_value=None)
    field = FrameField(name=name, type=str(series.dtype))
    may_be_infinite = getattr(series.dtype, "kind", "O") == "f"
    return Column(field, lambda start, stop: values[start:stop].tolist(), may_be_infinite)


def _moment(name: str, series: Any) -> Column:
    zone = getattr(series.dtype, "tz", None)
    naive = series if zone is None else series.dt.tz_convert("UTC").dt.tz_localize(None)
    values = naive.to_numpy()
    numpy: Any = importlib.import_module("numpy")
    mark = "" if zone is None else "Z"

    def cells(start: int, stop: int) -> list[Any]:
        texts: list[str] = numpy.datetime_as_string(values[start:stop]).tolist()
        return [None if text == "NaT" else text + mark for text in texts]

    return Column(FrameField(name=name, type=str(series.dtype)), cells)


def _duration(name: str, series: Any) -> Column:
    values = series.to_numpy()
    counts, missing = values.view("int64"), series.isna().to_numpy()

    def cells(start: int, stop: int) -> list[Any]:
        pairs = zip(counts[start:stop].tolist(), missing[start:stop].tolist(), strict=True)
        return [None if absent else count for count, absent in pairs]

    return Column(FrameField(name=name, type=values.dtype.name), cells)


def _period(name: str, series: Any) -> Column:
    values = series.astype("object").to_numpy()
    missing = series.isna().to_numpy()

    def cells(start: int, stop: int) -> list[Any]:
        pairs = zip(values[start:stop], missing[start:stop], strict=True)
        return [None if absent else str(period) for period, absent in pairs]

    return Column(FrameField(name=name, type=str(series.dtype)), cells)


def _category(name: str, series: Any) -> Column:
    pandas: Any = importlib.import_module("pandas")
    numpy: Any = importlib.import_module("numpy")
    categories = pandas.Series(series.cat.categories)
    column = pandas_column(name, categories)
    known = column.cells(0, len(categories))
    # Code -1 is a missing value, and the last of the known ones is None.
    values = numpy.fromiter([*known, None], dtype=object, count=len(known) + 1)
    codes = series.cat.codes.to_numpy()
    field = FrameField(
        name=name,
        type="category",
        ordered=bool(series.cat.ordered),
        categories=infinities_as_text(known),
        categories_type=column.field.type,
    )
    return Column(field, lambda start, stop: values[codes[start:stop]].tolist(), column.may_be_infinite)


def _objects(name: str, series: Any) -> Column:
    found: list[Any] = series.tolist()
    if not set(map(type, found)) <= _SCALARS:
        missing: list[bool] = series.isna().tolist()
        found = [None if absent else native(cell) for cell, absent in zip(found, missing, strict=True)]
    kinds: set[type[Any]] = set(map(type, found)) - {type(None)}
    kind = "object"
    if kinds == {bytes}:
        kind, found = "bytes", [None if cell is None else base64.b64encode(cell).decode() for cell in found]
    elif kinds == {dt.date}:
        kind, found = "date", [None if cell is None else cell.isoformat() for cell in found]
    elif not kinds <= _SCALARS:
        for cell in found:
            _check_json(name, cell)
    return Column(FrameField(name=name, type=kind), lambda start, stop: found[start:stop])


def native(cell: Any) -> Any:
    """Return the Python value of a NumPy scalar; anything else as it is."""
    return cell.item() if type(cell).__module__ == "numpy" and getattr(cell, "ndim", 1) == 0 else cell


def _check_json(name: str, cell: Any) -> None:
    kind: type[Any] = type(cell)  # pyright: ignore[reportUnknownVariableType]
    if kind in _SCALARS:
        return
    if kind is float:
        if not math.isfinite(cell):
            not_encodable(name, repr(cell), "is not a number of JSON in a column of objects")
    elif kind is list:
        for item in cell:
            _check_json(name, item)
    elif kind is dict:
        for key, item in cell.items():
            if type(key) is not str:
                not_encodable(name, f"a dict with the key {key!r}")
            _check_json(name, item)
    else:
        not_encodable(name, f"{kind.__module__}.{kind.__qualname__}")
