"""JSON as a content: what it can carry, and what it must not."""

import json
import math
from collections.abc import Iterable
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any, cast
from uuid import UUID

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, from_json, to_json

from chapkit.core.errors import UnprocessableError

_PLAIN = frozenset({str, int, float, bool, type(None)})
_TEXTUAL = (str, int, float, datetime, date, time, timedelta, Decimal, UUID, Enum, PurePath)
_SMALL_PARTS = 500
_TEXT_PER_PART = 64


def carries(value: Any) -> bool:
    """Tell whether JSON keeps what the value says; sets, bytes and arrays would come back as something else.

    Raises:
        UnprocessableError: The value is nested too deeply, or contains itself (`content-not-json`).
    """
    try:
        return _carries(value)
    except RecursionError as error:
        raise UnprocessableError(
            "The content is nested too deeply, or contains itself", code="content-not-json", field="content"
        ) from error


def is_builtin(value: Any) -> bool:
    """Tell whether the value is of one of the types that JSON itself has."""
    return type(value) in _PLAIN or type(value) in (dict, list)


def _carries(value: Any) -> bool:
    if type(value) in _PLAIN or isinstance(value, _TEXTUAL):
        return True
    if isinstance(value, dict):
        members = cast("dict[object, Any]", value)
        return all(isinstance(name, str) for name in members) and _carries_all(members.values())
    if isinstance(value, list | tuple):
        return _carries_all(cast("Iterable[Any]", value))
    if isinstance(value, BaseModel):
        return _carries_all({**value.__dict__, **(value.model_extra or {})}.values())
    if is_dataclass(value) and not isinstance(value, type):
        return _carries_all(getattr(value, field.name) for field in fields(value))
    return False


def _carries_all(values: Iterable[Any]) -> bool:
    items = list(values)
    return set(map(type, items)) <= _PLAIN or all(_carries(item) for item in items)


def is_small(value: Any) -> bool:
    """Tell whether the value is serialised faster than a thread takes over."""
    budget = _SMALL_PARTS
    pending = [value]
    while pending and budget > 0:
        item = pending.pop()
        budget -= 1
        if isinstance(item, str | bytes):
            budget -= len(item) // _TEXT_PER_PART
        elif type(item) is dict or type(item) is list:
            parts = cast("dict[str, Any] | list[Any]", item)
            budget -= len(parts)
            if budget > 0:
                pending.extend(parts.values() if isinstance(parts, dict) else parts)
        elif type(item) not in _PLAIN:
            return False
    return budget > 0


def encode_json(value: Any, field: str = "content") -> bytes:
    """Return the value as JSON.

    Raises:
        UnprocessableError: A number is not finite (`number-not-finite`), or JSON cannot carry it (`content-not-json`).
    """
    try:
        content = to_json(value)
    except (PydanticSerializationError, ValueError, RecursionError) as error:
        raise UnprocessableError(
            f"{field} cannot be written as JSON: {str(error)[:200]}", code="content-not-json", field=field
        ) from error
    if b"NaN" in content or b"Infinity" in content:
        # Most often it is a text that says so; only then is the value looked through.
        _require_finite(decode_json(content), field)
    return content


def decode_json(content: bytes) -> Any:
    """Return the value that the JSON stands for."""
    try:
        return from_json(content)
    except ValueError:
        # The fast parser goes less deep than the serialiser.
        return json.loads(content)


def require_json(content: bytes) -> None:
    """Return if the bytes are JSON.

    Raises:
        UnprocessableError: They are not, or hold a number that is not finite.
    """
    try:
        value = decode_json(content)
    except (ValueError, RecursionError) as error:
        raise UnprocessableError(
            f"The content is no JSON: {str(error)[:200]}", code="content-not-json", field="content"
        ) from error
    if b"NaN" in content or b"Infinity" in content:
        _require_finite(value, "content")


def _require_finite(value: Any, path: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise UnprocessableError(
            f"{path} is {value}, which JSON cannot hold; write null for what is missing",
            code="number-not-finite",
            field=path,
            found=str(value),
        )
    if isinstance(value, dict):
        for name, item in cast("dict[str, Any]", value).items():
            _require_finite(item, f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(cast("list[object]", value)):
            _require_finite(item, f"{path}.{index}")
