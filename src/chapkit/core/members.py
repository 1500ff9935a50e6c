"""Members of JSON columns in SQL: found and compared alike on SQLite and PostgreSQL."""

import math
from typing import Any

from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement, and_, cast, func, literal, not_, or_
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import Text

from chapkit.core.query import Operator

_LARGEST = 2**63
_NUL = "\\u0000"
_REPLACEMENT = "\\ufffd"


def member_of(column: ColumnElement[Any], keys: tuple[str, ...], dialect: str) -> ColumnElement[Any]:
    """Return the value behind `keys`; SQL's null where there is none or JSON's null."""
    if dialect == "postgresql":
        return func.nullif(_document(column)[tuple(keys)], _constant("null"))
    return func.json_extract(cast(column, Text), _path(keys))


def text_of_member(column: ColumnElement[Any], keys: tuple[str, ...], dialect: str) -> ColumnElement[Any]:
    """Return the value behind `keys` as text."""
    if dialect == "postgresql":
        text: ColumnElement[Any] = _document(column)[tuple(keys)].astext
        return text
    return member_of(column, keys, dialect)


def compare_member(
    column: ColumnElement[Any], keys: tuple[str, ...], operator: Operator, text: str, dialect: str
) -> ColumnElement[bool]:
    """Return the comparison of the value behind `keys` with what `text` may mean."""
    member = member_of(column, keys, dialect)
    kind = _kind_of(column, keys, dialect)
    readings = _readings(text)
    if operator not in (Operator.EQ, Operator.NE):
        # Values of different types have an order of their own in each database, so only the same type is compared.
        value = readings[0] if _is_number(readings[0]) or isinstance(readings[0], str) else text
        ordered: ColumnElement[bool] = getattr(member, f"__{operator.value}__")(_literal(value, dialect))
        return and_(kind.in_(_kinds(value, dialect)), ordered)
    equal = or_(*(_equals(member, kind, value, dialect) for value in readings))
    return equal if operator is Operator.EQ else and_(member.is_not(None), not_(equal))


def _equals(member: ColumnElement[Any], kind: ColumnElement[Any], value: Any, dialect: str) -> ColumnElement[bool]:
    if value is None:
        return member.is_(None)
    if dialect == "postgresql":
        return member == _literal(value, dialect)
    of_kind = kind.in_(_kinds(value, dialect))
    # SQLite has no booleans of its own: the type alone tells true from 1.
    return of_kind if isinstance(value, bool) else and_(of_kind, member == _literal(value, dialect))


def _readings(text: str) -> list[Any]:
    """A value without quotes may mean a number or the text of one; both are looked for."""
    try:
        value = from_json(text, allow_inf_nan=False)
    except ValueError:
        return [text]
    if not _is_number(value):
        return [value]
    return [value, text] if math.isfinite(value) and -_LARGEST <= value < _LARGEST else [text]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _document(column: ColumnElement[Any]) -> ColumnElement[Any]:
    # PostgreSQL refuses a whole document with this character, and with it the whole list.
    return cast(func.replace(cast(column, Text), _NUL, _REPLACEMENT), JSONB)


def _kind_of(column: ColumnElement[Any], keys: tuple[str, ...], dialect: str) -> ColumnElement[Any]:
    if dialect == "postgresql":
        return func.jsonb_typeof(_document(column)[tuple(keys)])
    return func.json_type(cast(column, Text), _path(keys))


def _kinds(value: Any, dialect: str) -> tuple[str, ...]:
    if isinstance(value, bool):
        return ("true",) if value else ("false",)
    if isinstance(value, int | float):
        return ("number",) if dialect == "postgresql" else ("integer", "real")
    if isinstance(value, str):
        return ("string",) if dialect == "postgresql" else ("text",)
    return ("array",) if isinstance(value, list) else ("object",)


def _literal(value: Any, dialect: str) -> ColumnElement[Any]:
    if dialect == "postgresql":
        return _constant(to_json(value).decode())
    return literal(to_json(value).decode() if isinstance(value, dict | list) else value)


def _constant(document: str) -> ColumnElement[Any]:
    return cast(literal(document.replace(_NUL, _REPLACEMENT), Text), JSONB)


def _path(keys: tuple[str, ...]) -> str:
    return "$" + "".join(f'."{key}"' for key in keys)
