"""The frame as it stands on the wire: columns and rows."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler, PlainValidator, model_serializer
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from chapkit.core.errors import UnprocessableError
from chapkit.data.cells import pandas_columns
from chapkit.data.checks import check_filled, check_names, check_required, check_rows, check_text_names
from chapkit.data.csv_text import read_csv, write_csv
from chapkit.data.fields import FrameField, rows_per_chunk
from chapkit.data.foreign import arrow_from_pandas, pandas_from_arrow, pandas_from_polars, polars_from_pandas
from chapkit.data.restore import to_pandas

if TYPE_CHECKING:
    import pandas
    import polars


def _rows(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise ValueError("the data of a frame is a list of rows")
    rows: list[Any] = value if isinstance(value, list) else list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    kinds: set[type[Any]] = set(map(type, rows))
    if kinds <= {list}:
        return rows
    if kinds <= {list, tuple}:
        return list(map(list, rows))
    row = next(index for index, cells in enumerate(rows) if not isinstance(cells, list | tuple))
    raise ValueError(f"row {row} of the frame is not a list of cells")


class DataFrame(BaseModel):
    """Columns and rows; cells are JSON values, and the optional schema says what they mean.

    Making one copies nothing and looks at no cell. Whether the rows fit the columns is asked by `check`, and by
    everything that converts the frame.
    """

    model_config = ConfigDict(extra="ignore", populate_by_name=True)

    columns: list[str]
    data: Annotated[list[list[Any]], PlainValidator(_rows, json_schema_input_type=list[list[Any]])]
    fields: Annotated[list[FrameField] | None, Field(alias="schema")] = None

    @model_serializer
    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = {"columns": self.columns, "data": self.data}
        if self.fields is not None:
            document["schema"] = [field.document() for field in self.fields]
        return document

    @classmethod
    def __get_pydantic_json_schema__(cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        # What is written has the members that are read; the serializer only leaves out an absent schema.
        inner: Any = {key: value for key, value in core_schema.items() if key != "serialization"}
        return handler(inner)

    def __len__(self) -> int:
        return len(self.data)

    def __bool__(self) -> bool:
        # A frame without rows is still a frame: `if frame` must ask whether there is one.
        return True

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DataFrame):
            return NotImplemented
        return self.columns == other.columns and self.data == other.data

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return len(self.data), len(self.columns)

    def check(self, *, name: str = "data", required: Iterable[str] = (), allow_no_rows: bool = True) -> Self:
        """Return the frame, or refuse it.

        Args:
            name: What the frame is called in the error.
            required: Columns that must be there.
            allow_no_rows: Whether a frame without rows will do.

        Raises:
            UnprocessableError: `frame-empty`, `frame-columns-duplicate`, `frame-rows-unequal` or
                `frame-columns-missing`.
        """
        check_filled(self.columns, self.data, name, allow_no_rows=allow_no_rows)
        check_names(self.columns, name)
        check_rows(self.columns, self.data, name)
        check_required(self.columns, required, name)
        return self

    @classmethod
    def from_pandas(cls, frame: "pandas.DataFrame") -> Self:
        """Return the frame of a pandas frame; its index is left out.

        Raises:
            UnprocessableError: `frame-columns-not-text`, `frame-columns-duplicate` or `frame-not-encodable`.
        """
        source: Any = frame
        if not hasattr(source, "iloc") or not hasattr(source, "columns"):
            raise TypeError(f"a pandas DataFrame is needed; found {type(source).__name__}")
        names: list[Any] = list(source.columns)
        check_text_names(names)
        check_names(names)
        columns = pandas_columns(source)
        rows: list[list[Any]] = [] if columns else [[] for _ in range(len(source))]
        step = rows_per_chunk(len(columns))
        for start in range(0, len(source), step):
            rows.extend(map(list, zip(*[column.cells(start, start + step) for column in columns], strict=True)))
        return cls(columns=names, data=rows, fields=[column.field for column in columns])

    def to_pandas(self) -> "pandas.DataFrame":
        """Return a pandas frame: typed by the schema where there is one, else by the cells.

        Raises:
            UnprocessableError: `frame-rows-unequal`, `frame-columns-duplicate` or `frame-cell-invalid`.
        """
        check_names(self.columns)
        check_rows(self.columns, self.data)
        frame: pandas.DataFrame = to_pandas(self.columns, self.data, self.fields or ())
        return frame

    @classmethod
    def from_dataframe(cls, frame: "pandas.DataFrame") -> Self:
        """Return the frame of a pandas frame, under the name of the first release."""
        return cls.from_pandas(frame)

    def to_dataframe(self) -> "pandas.DataFrame":
        """Return a pandas frame, under the name of the first release."""
        return self.to_pandas()

    @classmethod
    def from_arrow(cls, table: Any) -> Self:
        """Return the frame of an Arrow table."""
        check_names(table.column_names)
        return cls.from_pandas(pandas_from_arrow(table))

    def to_arrow(self) -> Any:
        """Return an Arrow table; needs the extra `arrow`."""
        return arrow_from_pandas(self.to_pandas())

    @classmethod
    def from_polars(cls, frame: "polars.DataFrame") -> Self:
        """Return the frame of a Polars frame."""
        return cls.from_pandas(pandas_from_polars(frame))

    def to_polars(self) -> "polars.DataFrame":
        """Return a Polars frame; needs the extra `polars`."""
        frame: polars.DataFrame = polars_from_pandas(self.to_pandas())
        return frame

    @classmethod
    def from_dict(cls, columns: Mapping[str, Sequence[Any]]) -> Self:
        """Return the frame of named columns."""
        lengths = {name: len(cells) for name, cells in columns.items()}
        if len(set(lengths.values())) > 1:
            raise UnprocessableError(
                f"the columns have different numbers of cells: {lengths}", code="frame-rows-unequal", found=lengths
            )
        return cls(columns=list(columns), data=[list(row) for row in zip(*columns.values(), strict=True)])

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the cells of each column."""
        check_names(self.columns)
        check_rows(self.columns, self.data)
        return {name: [row[number] for row in self.data] for number, name in enumerate(self.columns)}

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, Any]]) -> Self:
        """Return the frame of rows that are mappings; what a row does not have is null."""
        rows = list(records)
        names = list(dict.fromkeys(name for row in rows for name in row))
        return cls(columns=names, data=[[row.get(name) for name in names] for row in rows])

    def to_records(self) -> list[dict[str, Any]]:
        """Return each row as a mapping."""
        check_names(self.columns)
        check_rows(self.columns, self.data)
        return [dict(zip(self.columns, row, strict=True)) for row in self.data]

    @classmethod
    def from_csv(cls, source: str | os.PathLike[str]) -> Self:
        """Return the frame of comma-separated values: a file, or text when there is a line break in it."""
        is_text = isinstance(source, str) and "\n" in source
        columns, rows = read_csv(str(source) if is_text else Path(source).read_text(encoding="utf-8"))
        return cls(columns=columns, data=rows)

    def to_csv(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the frame as comma-separated values, and write them to `path` if there is one."""
        text = write_csv(self.columns, self.data)
        if path is not None:
            Path(path).write_text(text, encoding="utf-8", newline="")
        return text


PandasDataFrame = DataFrame
