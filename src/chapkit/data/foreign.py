"""Arrow tables and Polars frames, to and from pandas frames."""

import importlib
from typing import Any

from chapkit._extras import requires_extra

_NULLABLE = {
    **{f"{sign}int{bits}": f"{sign.upper()}Int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
    "bool": "boolean",
}
_POLARS_NUMBERS = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")


def pandas_from_arrow(table: Any) -> Any:
    """Return the pandas frame of an Arrow table; whole numbers and booleans with holes keep their type."""
    pandas: Any = importlib.import_module("pandas")
    columns = [_series_from_arrow(table.column(number)) for number in range(table.num_columns)]
    frame = pandas.concat(columns, axis=1) if columns else pandas.DataFrame(index=range(table.num_rows))
    frame.columns = list(table.column_names)
    return frame


def _series_from_arrow(column: Any) -> Any:
    pandas: Any = importlib.import_module("pandas")
    arrow: Any = requires_extra("pyarrow", "arrow")
    if arrow.types.is_nested(column.type):
        return pandas.Series(column.to_pylist(), dtype=object)
    nullable = _NULLABLE.get(str(column.type)) if column.null_count else None
    if nullable is not None:
        return pandas.Series(pandas.array(column.to_pylist(), dtype=nullable))
    return column.to_pandas()


def arrow_from_pandas(frame: Any) -> Any:
    """Return the Arrow table of a pandas frame."""
    arrow: Any = requires_extra("pyarrow", "arrow")
    return arrow.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)


def pandas_from_polars(frame: Any) -> Any:
    """Return the pandas frame of a Polars frame; Arrow is not needed."""
    pandas: Any = importlib.import_module("pandas")
    columns = {name: _series_from_polars(frame.get_column(name)) for name in frame.columns}
    return pandas.DataFrame(columns, index=pandas.RangeIndex(frame.height), columns=list(columns))


def _series_from_polars(column: Any) -> Any:
    pandas: Any = importlib.import_module("pandas")
    kind = column.dtype
    name = str(kind.base_type())
    holes = column.null_count() > 0
    if name in ("Float32", "Float64") or (name in (*_POLARS_NUMBERS, "Boolean") and not holes):
        return pandas.Series(column.to_numpy(writable=True))
    if name in (*_POLARS_NUMBERS, "Boolean"):
        return pandas.Series(pandas.array(column.to_list(), dtype="boolean" if name == "Boolean" else name))
    if name in ("Datetime", "Duration"):
        # Polars counts in the same units from the same moment.
        counts = column.to_physical().fill_null(-(2**63)).to_numpy(writable=True)
        series = pandas.Series(counts.view(f"{'m8' if name == 'Duration' else 'M8'}[{kind.time_unit}]"))
        zone = getattr(kind, "time_zone", None)
        return series if zone is None else series.dt.tz_localize("UTC").dt.tz_convert(zone)
    if name == "String":
        return pandas.Series(column.to_list(), dtype="str")
    if name in ("Categorical", "Enum"):
        cells: list[Any] = column.to_list()
        is_fixed = name == "Enum"
        known = kind.categories.to_list() if is_fixed else [cell for cell in dict.fromkeys(cells) if cell is not None]
        return pandas.Series(pandas.Categorical(cells, categories=known, ordered=is_fixed))
    if name == "Null":
        return pandas.Series([None] * len(column), dtype=object)
    return pandas.Series(column.to_list(), dtype=object)


def polars_from_pandas(frame: Any) -> Any:
    """Return the Polars frame of a pandas frame; Arrow is not needed."""
    polars: Any = requires_extra("polars", "polars")
    return polars.DataFrame([_polars_series(name, frame[name]) for name in frame.columns])


def _polars_series(name: str, series: Any) -> Any:
    polars: Any = requires_extra("polars", "polars")
    dtype = series.dtype
    kind = str(dtype)
    if kind.startswith(("datetime64", "timedelta64")):
        zone = getattr(dtype, "tz", None)
        naive = series if zone is None else series.dt.tz_convert("UTC").dt.tz_localize(None)
        if naive.dt.unit == "s":
            naive = naive.dt.as_unit("ms")
        moments = polars.Series(name, naive.to_numpy(), nan_to_null=True)
        return moments if zone is None else moments.dt.replace_time_zone("UTC").dt.convert_time_zone(str(zone))
    if kind == "category":
        known = series.cat.categories.tolist()
        if all(isinstance(value, str) for value in known):
            target = polars.Enum(known) if series.cat.ordered else polars.Categorical()
            return polars.Series(name, _listed(series.astype(object)), dtype=target)
        return polars.Series(name, _listed(series.astype(object)))
    if kind in ("str", "string"):
        return polars.Series(name, _listed(series), dtype=polars.String)
    target = getattr(polars, {"boolean": "Boolean"}.get(kind, kind), None)
    if target is not None and kind[0] in "UIFb":
        return polars.Series(name, _listed(series), dtype=target)
    if getattr(dtype, "kind", "O") in "iufb":
        return polars.Series(name, series.to_numpy(), nan_to_null=True)
    return polars.Series(name, _listed(series))


def _listed(series: Any) -> list[Any]:
    missing = series.isna().tolist()
    return [None if absent else cell for cell, absent in zip(series.tolist(), missing, strict=True)]
