"""Types of values on the wire."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, PlainSerializer

from chapkit.core.clock import to_text

_REPR_LIMIT = 200
MAX_TAGS = 50
MAX_TAG_LENGTH = 100
_NOT_SERIALIZABLE = "Value is not JSON-serializable."


def _to_utc(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("the moment lies outside of the years 1 to 9999 in UTC") from error


UtcDatetime = Annotated[
    datetime,
    AfterValidator(_to_utc),
    PlainSerializer(to_text, return_type=str, when_used="json"),
]
"""An aware moment in UTC; text without a zone is taken as UTC."""


def storable_text(text: str) -> str:
    """Return the text, if every database can hold it.

    Raises:
        ValueError: It has a NUL character.
    """
    if "\x00" in text:
        raise ValueError("a text cannot hold a NUL character here; leave it out")
    return text


def _check_tags(tags: list[str]) -> list[str]:
    if len(tags) > MAX_TAGS:
        raise ValueError(f"at most {MAX_TAGS} tags, {len(tags)} were sent")
    for tag in tags:
        if not 1 <= len(tag) <= MAX_TAG_LENGTH or not all(c.isalnum() or c in "-_" for c in tag):
            raise ValueError(f"a tag is 1 to {MAX_TAG_LENGTH} letters, digits, '-' or '_'; found {tag[:40]!r}")
    if len(set(tags)) != len(tags):
        raise ValueError("a tag may stand only once")
    return tags


Tags = Annotated[list[str], AfterValidator(_check_tags)]
"""Labels of an entity: at most 50, each of 1 to 100 letters, digits, `-` or `_`, none twice."""


def describe_value(value: object, error: str = _NOT_SERIALIZABLE) -> dict[str, str]:
    """Return what stands on the wire in place of a `value` that JSON cannot carry."""
    text = repr(value)
    return {
        "_type": type(value).__name__,
        "_module": type(value).__module__,
        "_repr": text if len(text) <= _REPR_LIMIT else text[:_REPR_LIMIT] + "...",
        "_serialization_error": error,
    }


def _json_safe(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: item if _fits_json(item) else describe_value(item) for key, item in _items(value)}  # pyright: ignore[reportUnknownArgumentType]
    return value if _fits_json(value) else describe_value(value)


def _items(value: Mapping[Any, Any]) -> Iterable[tuple[Any, Any]]:
    return value.items()


def _fits_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return True


JsonSafe = Annotated[Any, PlainSerializer(_json_safe, return_type=Any)]
"""Any value; where JSON cannot carry it, a description of it is sent instead."""
