"""Which window of a list a request asks for."""

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated

from fastapi import Query as QueryParameter

from chapkit.core.errors import BadRequestError, InvalidULIDError
from chapkit.core.ids import ULID

MAX_SIZE = 1000
DEFAULT_SIZE = 50
FURTHEST = 1_000_000_000
"""The highest page, limit or number of an event; every database takes it, also multiplied by a size."""


_Page = Annotated[
    int | None, QueryParameter(ge=1, le=FURTHEST, description="Page, counted from 1; answers with an envelope.")
]
_Size = Annotated[
    int | None, QueryParameter(ge=1, le=MAX_SIZE, description=f"Items on a page; {DEFAULT_SIZE} if left out.")
]
_Cursor = Annotated[
    str | None, QueryParameter(description="Where to go on; empty for the start. The next one is in the Link header.")
]
_Limit = Annotated[int | None, QueryParameter(ge=1, le=FURTHEST, description="At most so many items, as a bare list.")]


@dataclass(frozen=True)
class Window:
    """`?page=&size=`, or `?cursor=&size=`, or `?limit=` for a bare list."""

    page: int | None = None
    size: int | None = None
    cursor: str | None = None
    limit: int | None = None

    @property
    def paged(self) -> bool:
        """Tell whether a page with an envelope is asked for."""
        return self.cursor is None and (self.page is not None or self.size is not None)

    @property
    def page_number(self) -> int:
        """The page asked for, the first by default."""
        return self.page or 1

    @property
    def page_size(self) -> int:
        """Items on a page."""
        return self.size or DEFAULT_SIZE


async def get_window(page: _Page = None, size: _Size = None, cursor: _Cursor = None, limit: _Limit = None) -> Window:
    """Return the window that the query of a request names."""
    return Window(page, size, cursor, limit)


def encode_cursor(last: str) -> str:
    """Return the cursor that goes on behind the item with this id."""
    return base64.urlsafe_b64encode(last.encode()).decode().rstrip("=")


def decode_cursor(cursor: str) -> ULID | None:
    """Return the id that the cursor goes on behind; `None` at the start.

    Raises:
        BadRequestError: It was not made by this service (`cursor-invalid`).
    """
    if cursor == "":
        return None
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        return ULID(text)
    except (ValueError, binascii.Error, InvalidULIDError) as error:
        raise _invalid_cursor(cursor) from error


def _invalid_cursor(cursor: str) -> BadRequestError:
    return BadRequestError(
        "The cursor was not made by this service; take it from the Link header of the page before",
        code="cursor-invalid",
        field="cursor",
        found=cursor[:80],
    )
