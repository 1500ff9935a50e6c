"""Bytes, and values of NumPy, pandas, Arrow, Polars and attrs, as JSON and back.

None of these packages is imported before there is a value or an annotation of it.
"""

import base64
import importlib
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias, cast, get_args

from pydantic import Field, TypeAdapter, create_model
from pydantic_core import from_json

from chapkit.data.convert import FrameConverters
from chapkit.data.encode import encode_frame, type_name
from chapkit.data.frame import DataFrame
from chapkit.task.json_values import Writer

Reader: TypeAlias = Callable[[Any], Any]
JsonSchema: TypeAlias = Mapping[str, Any]
_FRAMES: Final = frozenset({"pandas.DataFrame", "pyarrow.Table", "polars.DataFrame"})
_BYTES: Final = frozenset({bytes, bytearray, memoryview})
_FROM_URLS: Final = str.maketrans("-_", "+/")
_BASE64: Final[JsonSchema] = {"type": "string", "contentEncoding": "base64"}
_FRAME: Final[JsonSchema] = {
    "type": "object",
    "properties": {
        "columns": {"type": "array", "items": {"type": "string"}},
        "data": {"type": "array", "items": {"type": "array"}},
    },
    "required": ["columns", "data"],
}
_NAMELESS: Final = "0"
_SCALARS: Final[Mapping[str, tuple[type, ...]]] = {"b": (bool,), "i": (int,), "u": (int,), "f": (int, float)}
_MOMENTS: Final = "mM"


def foreign_writer(kind: type[Any]) -> Writer | None:
    """Return what makes JSON values of values of this type, if they are of such a package."""
    if kind.__module__ == "builtins":
        return _write_bytes if kind in _BYTES else None
    for each in kind.__mro__:
        name = type_name(each)
        if name in _FRAMES:
            return _write_frame
        found = _WRITERS.get(name)
        if found is not None:
            return found
    return None


def foreign_reader(annotation: Any, kind: type[Any]) -> tuple[Reader, JsonSchema] | None:
    """Return what makes a value of this type of JSON values, and the schema of those, if it is of such a package."""
    if kind.__module__ == "builtins":
        return (lambda value: _read_bytes(kind, value), _BASE64) if kind in _BYTES else None
    name = type_name(kind)
    if name in _FRAMES:
        return lambda value: FrameConverters().to(kind, DataFrame.model_validate(value)), _FRAME
    if name == "pandas.Series":
        return _read_series, _FRAME
    if name == "numpy.ndarray":
        return lambda value: _read_array(_dtype_of(annotation), value), {"type": "array"}
    if any(type_name(each) == "numpy.generic" for each in kind.__mro__):
        return lambda value: _read_scalar(kind, value), {}
    return (_attrs_reader(kind), {"type": "object"}) if hasattr(kind, "__attrs_attrs__") else None


def _write_bytes(value: Any) -> Any:
    return base64.b64encode(value).decode()


def _read_bytes(kind: Any, value: Any) -> Any:
    # Pydantic writes the other alphabet, the one for URLs.
    return kind(base64.b64decode(value.translate(_FROM_URLS), validate=True))


def _write_frame(value: Any) -> Any:
    return from_json(encode_frame(value))


def _write_series(value: Any) -> Any:
    return _write_frame(value.rename(_NAMELESS if value.name is None else str(value.name)).to_frame())


def _read_series(value: Any) -> Any:
    series: Any = DataFrame.model_validate(value).to_pandas().iloc[:, 0]
    return series.rename(None) if series.name == _NAMELESS else series


def _write_scalar(value: Any) -> Any:
    numpy: Any = importlib.import_module("numpy")
    if value.dtype.kind in _MOMENTS:
        return None if numpy.isnat(value) else _write_moment(value)
    plain = value.item()
    # A long double has no counterpart; it stays what it is.
    return float(plain) if type(plain) is type(value) else plain


def _write_moment(value: Any) -> Any:
    return str(value) if value.dtype.kind == "M" else value.astype("timedelta64[us]").item()


def _read_scalar(kind: Any, value: Any) -> Any:
    numpy: Any = importlib.import_module("numpy")
    code: str = numpy.dtype(kind).kind
    if code == "m":
        return kind(TypeAdapter(timedelta).validate_python(value), "us")
    wanted = _SCALARS.get(code, (str,))
    # NumPy itself would cut 1.5 off to 1, and take any text for true.
    if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
        raise TypeError(f"{' or '.join(each.__name__ for each in wanted)} expected")
    return kind(value)


def _write_array(value: Any) -> Any:
    code: str = value.dtype.kind
    if code in _MOMENTS:
        return value.astype(str).tolist() if code == "M" else value.astype("timedelta64[us]").tolist()
    numpy: Any = importlib.import_module("numpy")
    missing = numpy.isnan(value) if code == "f" else None
    if missing is not None and missing.any():
        # What is missing is null, as in frames.
        holes = value.astype(object)
        holes[missing] = None
        return holes.tolist()
    return value.tolist()


def _dtype_of(annotation: Any) -> Any:
    """Return the scalar type in `NDArray[float32]`, if there is one."""
    inner = get_args(annotation)[1:]
    scalar = get_args(inner[0]) if inner else ()
    return scalar[0] if scalar and isinstance(scalar[0], type) else None


def _read_array(scalar: Any, value: Any) -> Any:
    numpy: Any = importlib.import_module("numpy")
    if not isinstance(value, list):
        raise TypeError("a list expected")
    if scalar is not None and numpy.dtype(scalar).kind == "M":
        return numpy.asarray(value, dtype="datetime64[us]")
    array: Any = numpy.asarray(value)
    if array.dtype == object:
        # Nulls are missing numbers; anything else is refused.
        array = numpy.asarray(value, dtype=float)
    return array if scalar is None else array.astype(scalar, casting="same_kind")


def _write_nothing(value: Any) -> None:
    return None


def _attrs_reader(kind: Any) -> Reader:
    attributes: list[Any] = [each for each in kind.__attrs_attrs__ if each.init]
    nothing = importlib.import_module("attr").NOTHING
    # Names that begin with an underscore are no fields for Pydantic.
    fields: dict[str, Any] = {
        f"f{number}": (each.type or Any, Field(... if each.default is nothing else None, alias=each.name))
        for number, each in enumerate(attributes)
    }
    model = create_model(kind.__name__, **fields)

    def read(value: Any) -> Any:
        found = model.model_validate(value)
        # What was not given has the default of the class.
        given = {
            each.alias: name for each, name in zip(attributes, fields, strict=True) if name in found.model_fields_set
        }
        return kind(**{alias: getattr(found, name) for alias, name in given.items()})

    return read


_WRITERS: Final[Mapping[str, Writer]] = cast(
    "Mapping[str, Writer]",
    {
        "numpy.generic": _write_scalar,
        "numpy.ndarray": _write_array,
        "pandas.Series": _write_series,
        "pandas.NaTType": _write_nothing,
        "pandas.NAType": _write_nothing,
    },
)
