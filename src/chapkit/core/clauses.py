"""Translate a `Query` into SQL, for the dialect in use."""

import difflib
import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, cast, func, inspect, literal, or_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import Text

from chapkit.core.columns import JsonText, JsonType, ULIDType, UtcDateTime
from chapkit.core.errors import BadRequestError
from chapkit.core.models import Base
from chapkit.core.query import Filter, Operator, Query, Sort

_COMPARISONS = {
    Operator.EQ: "__eq__",
    Operator.NE: "__ne__",
    Operator.LT: "__lt__",
    Operator.LE: "__le__",
    Operator.GT: "__gt__",
    Operator.GE: "__ge__",
}


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
    if column is None or (len(path) > 1 and not isinstance(column.type, JsonType | JsonText)):
        raise BadRequestError(
            f"There is no field {'.'.join(path)!r} to filter or sort by",
            code="field-unknown",
            field=".".join(path),
            expected=sorted(columns),
            did_you_mean=difflib.get_close_matches(name, columns, n=1),
        )
    return column


def _order(model: type[Base], sort: Iterable[Sort], dialect: str) -> list[ColumnElement[Any]]:
    keys: list[ColumnElement[Any]] = []
    for key in sort:
        column = _column(model, key.path)
        value = _member(column, key.path[1:], dialect) if len(key.path) > 1 else column
        # Nulls come first going up on both databases; SQLite's own way, said aloud for PostgreSQL.
        keys.append(value.desc().nulls_last() if key.descending else value.asc().nulls_first())
    return keys


def _condition(model: type[Base], condition: Filter, dialect: str) -> ColumnElement[bool]:
    column = _column(model, condition.path)
    keys = condition.path[1:]
    if condition.operator is Operator.NULL:
        subject = _member(column, keys, dialect) if keys else column
        return subject.is_(None) if condition.value in ("", "true") else subject.is_not(None)
    if condition.operator is Operator.LIKE:
        return _text(column, keys, dialect).like(condition.value)
    if condition.operator is Operator.IN:
        choices = [_compare(column, keys, Operator.EQ, item, dialect) for item in condition.value.split(",")]
        return or_(*choices)
    return _compare(column, keys, condition.operator, condition.value, dialect)


def _compare(
    column: ColumnElement[Any], keys: tuple[str, ...], operator: Operator, text: str, dialect: str
) -> ColumnElement[bool]:
    method = _COMPARISONS[operator]
    if not keys:
        plain: ColumnElement[bool] = getattr(column, method)(_typed(column, text))
        return plain
    member = _member(column, keys, dialect)
    readings = _readings(text)
    comparisons = [getattr(member, method)(_member_literal(value, dialect)) for value in readings]
    return and_(*comparisons) if operator is Operator.NE else or_(*comparisons)


def _readings(text: str) -> list[Any]:
    """A value without quotes may mean a number or the text of one; both are looked for."""
    try:
        value = json.loads(text)
    except ValueError:
        return [text]
    if isinstance(value, str):
        return [value]
    return [value, text] if isinstance(value, int | float) and not isinstance(value, bool) else [value]


def _member(column: ColumnElement[Any], keys: tuple[str, ...], dialect: str) -> ColumnElement[Any]:
    if dialect == "postgresql":
        return cast(column, JSONB)[tuple(keys)]
    path = "$" + "".join('."' + key.replace('"', '""') + '"' for key in keys)
    return func.json_extract(_raw(column), path)


def _member_literal(value: Any, dialect: str) -> ColumnElement[Any]:
    if dialect == "postgresql":
        return cast(literal(json.dumps(value), Text), JSONB)
    if isinstance(value, dict | list):
        return literal(json.dumps(value, separators=(",", ":")))
    return literal(value)


def _text(column: ColumnElement[Any], keys: tuple[str, ...], dialect: str) -> ColumnElement[Any]:
    if not keys:
        return _raw(column)
    if dialect == "postgresql":
        text: ColumnElement[Any] = cast(column, JSONB)[tuple(keys)].astext
        return text
    return _member(column, keys, dialect)


def _raw(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(column, Text)


def _typed(column: ColumnElement[Any], text: str) -> Any:
    kind = column.type
    try:
        if isinstance(kind, UtcDateTime):
            return datetime.fromisoformat(text)
        if isinstance(kind, ULIDType):
            return text
        if isinstance(kind, JsonType | JsonText):
            return json.loads(text)
        return _PYTHON_TYPES[kind.python_type](text)
    except (ValueError, KeyError) as error:
        raise BadRequestError(
            f"{text[:80]!r} does not fit the field {column.key!r}",
            code="filter-value-invalid",
            field=str(column.key),
            found=text[:80],
            expected=str(kind).lower(),
        ) from error


def _boolean(text: str) -> bool:
    return {"true": True, "1": True, "false": False, "0": False}[text.lower()]


_PYTHON_TYPES: dict[type, Any] = {str: str, int: int, float: float, bool: _boolean}
