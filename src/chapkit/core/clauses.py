"""Translate a `Query` into SQL, for the dialect in use."""

import difflib
import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import BigInteger, ColumnElement, Select, cast, inspect, literal, or_
from sqlalchemy.types import Text

from chapkit.core.columns import JsonText, JsonType, ULIDType, UtcDateTime
from chapkit.core.errors import BadRequestError
from chapkit.core.members import compare_member, member_of, text_of_member
from chapkit.core.models import Base
from chapkit.core.query import Filter, Operator, Query, Sort

_LARGEST = 2**63
_unaddressable = re.compile(r'["\\\x00-\x1f]').search


def apply_query(statement: Select[Any], model: type[Base], query: Query, dialect: str) -> Select[Any]:
    """Return `statement` with the conditions, order and window of `query`.

    Raises:
        BadRequestError: A path names no column (`field-unknown`) or a value does not fit its column.
    """
    statement = apply_filters(statement, model, query.filters, dialect)
    identity = _identity(model)
    if query.after is not None:
        statement = statement.where(identity > query.after)
    statement = statement.order_by(*_order(model, query.sort, dialect), identity)
    if query.limit is not None:
        statement = statement.limit(query.limit)
    return statement.offset(query.offset) if query.offset else statement


def apply_filters(statement: Select[Any], model: type[Base], filters: Iterable[Filter], dialect: str) -> Select[Any]:
    """Return `statement` with the conditions only."""
    for condition in filters:
        statement = statement.where(_condition(model, condition, dialect))
    return statement


def _identity(model: type[Base]) -> ColumnElement[Any]:
    return inspect(model).primary_key[0]


def _column(model: type[Base], path: tuple[str, ...]) -> ColumnElement[Any]:
    columns = {column.name: column for column in inspect(model).local_table.columns}
    name = path[0]
    column = columns.get(name)
    keys = path[1:]
    if column is None or (keys and not _has_members(column, keys)):
        raise BadRequestError(
            f"There is no field {'.'.join(path)!r} to filter or sort by",
            code="field-unknown",
            field=".".join(path),
            expected=sorted(columns),
            did_you_mean=difflib.get_close_matches(name, columns, n=1),
        )
    return column


def _has_members(column: ColumnElement[Any], keys: tuple[str, ...]) -> bool:
    # No path of SQLite reaches a key with one of these characters.
    return isinstance(column.type, JsonType | JsonText) and not any(map(_unaddressable, keys))


def _order(model: type[Base], sort: Iterable[Sort], dialect: str) -> list[ColumnElement[Any]]:
    keys: list[ColumnElement[Any]] = []
    for key in sort:
        column = _column(model, key.path)
        value = member_of(column, key.path[1:], dialect) if len(key.path) > 1 else column
        # Nulls come first going up on both databases; SQLite's own way, said aloud for PostgreSQL.
        keys.append(value.desc().nulls_last() if key.descending else value.asc().nulls_first())
    return keys


def _condition(model: type[Base], condition: Filter, dialect: str) -> ColumnElement[bool]:
    column = _column(model, condition.path)
    keys = condition.path[1:]
    if "\x00" in condition.value:
        raise _unfit(column, condition.value)
    if condition.operator is Operator.NULL:
        subject = member_of(column, keys, dialect) if keys else column
        return subject.is_(None) if condition.value in ("", "true") else subject.is_not(None)
    if condition.operator is Operator.LIKE:
        return _like(column, keys, condition.value, dialect)
    if condition.operator is Operator.IN:
        choices = [_compare(column, keys, Operator.EQ, item, dialect) for item in condition.value.split(",")]
        return or_(*choices)
    return _compare(column, keys, condition.operator, condition.value, dialect)


def _compare(
    column: ColumnElement[Any], keys: tuple[str, ...], operator: Operator, text: str, dialect: str
) -> ColumnElement[bool]:
    if keys:
        return compare_member(column, keys, operator, text, dialect)
    plain: ColumnElement[bool] = getattr(column, f"__{operator.value}__")(_typed(column, text))
    return plain


def _like(column: ColumnElement[Any], keys: tuple[str, ...], pattern: str, dialect: str) -> ColumnElement[bool]:
    text = text_of_member(column, keys, dialect) if keys else cast(column, Text)
    if dialect == "postgresql":
        # SQLite takes upper and lower case for the same, and a backslash for a backslash.
        return text.ilike(pattern.replace("\\", "\\\\"))
    return text.like(pattern)


def _typed(column: ColumnElement[Any], text: str) -> Any:
    kind = column.type
    try:
        if isinstance(kind, UtcDateTime):
            return datetime.fromisoformat(text)
        if isinstance(kind, ULIDType):
            return text
        if isinstance(kind, JsonType):
            return from_json(text)
        if isinstance(kind, JsonText):
            return to_json(from_json(text)).decode()
        return _READERS[kind.python_type](text)
    except (ValueError, KeyError) as error:
        raise _unfit(column, text) from error


def _unfit(column: ColumnElement[Any], text: str) -> BadRequestError:
    return BadRequestError(
        f"{text[:80]!r} does not fit the field {column.key!r}",
        code="filter-value-invalid",
        field=str(column.key),
        found=text[:80],
        expected=str(column.type).lower(),
    )


def _integer(text: str) -> ColumnElement[int]:
    number = int(text)
    if not -_LARGEST <= number < _LARGEST:
        raise ValueError("no database holds such a number")
    # A column may be narrower than the number; comparing them is still possible.
    return literal(number, BigInteger)


def _boolean(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


_READERS: dict[type, Any] = {str: str, int: _integer, float: float, bool: _boolean}
