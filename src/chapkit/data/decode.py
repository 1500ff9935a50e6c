"""Bytes as frames: what `encode_frame` wrote, or any other program."""

from typing import TYPE_CHECKING, Any

import pydantic

from chapkit.core.errors import UnprocessableError
from chapkit.data.frame import DataFrame
from chapkit.data.parse import loads_chunked

if TYPE_CHECKING:
    import pandas


def decode_rows(body: bytes) -> DataFrame:
    """Return the frame of a JSON document.

    Raises:
        BadRequestError: `json-invalid`.
        UnprocessableError: `frame-invalid`, when the document is not a frame.
    """
    return frame_of(loads_chunked(body))


def decode_frame(body: bytes) -> "pandas.DataFrame":
    """Return the pandas frame of a JSON document, with the types that its schema gives.

    Raises:
        BadRequestError: `json-invalid`.
        UnprocessableError: `frame-invalid`, or what `DataFrame.to_pandas` raises.
    """
    return decode_rows(body).to_pandas()


def frame_of(document: Any) -> DataFrame:
    """Return the frame of a parsed document.

    Raises:
        UnprocessableError: `frame-invalid`, when the document is not a frame.
    """
    try:
        return DataFrame.model_validate(document)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise UnprocessableError(
            f"this is not a frame: {place or 'document'}: {first['msg']}", code="frame-invalid", field=place
        ) from error
