"""Filters, sort order and window of a list, apart from HTTP and from SQL."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Operator(StrEnum):
    """How a stored value is compared with the given one."""

    EQ = "eq"
    NE = "ne"
    LT = "lt"
    LE = "le"
    GT = "gt"
    GE = "ge"
    IN = "in"
    LIKE = "like"
    NULL = "null"


@dataclass(frozen=True)
class Filter:
    """One condition; `path` is a column name, then keys into its JSON."""

    path: tuple[str, ...]
    operator: Operator
    value: Any


@dataclass(frozen=True)
class Sort:
    """One key of the order."""

    path: tuple[str, ...]
    descending: bool = False


@dataclass(frozen=True)
class Query:
    """Which rows, in which order, and which window of them."""

    filters: tuple[Filter, ...] = ()
    sort: tuple[Sort, ...] = ()
    limit: int | None = None
    offset: int = 0
    after: str | None = None
    """Identifier of the last row of the page before (keyset paging; rows come by id)."""
