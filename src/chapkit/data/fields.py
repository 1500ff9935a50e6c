"""What a frame says about the type of a column."""

from typing import Any, Final

from pydantic import BaseModel, ConfigDict

FRAME_MEDIA_TYPE: Final = "application/vnd.chapkit.dataframe+json"
"""The media type of a frame, as it is written."""

FRAME_MEDIA_TYPES: Final = frozenset({FRAME_MEDIA_TYPE, "application/x-pandas-dataframe"})
"""The media types that are read as a frame."""

CHUNK_CELLS: Final = 5_000
"""Cells handled in one step: they stay in the processor's cache, and other threads get their turn in between."""


class FrameField(BaseModel):
    """Name and type of a column.

    The type is the name of a pandas dtype, and says how cells stand in JSON:

    - `int64`, `float32`, `bool`, `Int64`, `boolean`, `str`, `string` and their like: as they are; a missing value is
      null, an infinity is the text `Infinity` or `-Infinity`
    - `datetime64[us]`, `datetime64[us, Europe/Oslo]`: ISO 8601 text, with a zone always in UTC
    - `timedelta64[us]`: the number of units
    - `period[M]`: the text of the period
    - `category`: the values; `categories`, `categories_type` and `ordered` say the rest
    - `date`, `bytes`: ISO 8601 text, Base64 text, in a column of objects
    - `object`: any JSON

    Columns of another type, or without a field, are read by what their cells are.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    type: str
    ordered: bool | None = None
    categories: list[Any] | None = None
    categories_type: str | None = None

    def document(self) -> dict[str, Any]:
        """Return the field as it stands on the wire."""
        return self.model_dump(exclude_none=True)


def rows_per_chunk(columns: int) -> int:
    """Return how many rows of so many `columns` are handled in one step."""
    return max(1, CHUNK_CELLS // max(1, columns))
