"""Read `?filter=field:op:value` and `?sort=-field,other`."""

import difflib
from collections.abc import Iterable

from chapkit.core.errors import BadRequestError
from chapkit.core.query import Filter, Operator, Sort


def parse_filters(texts: Iterable[str]) -> tuple[Filter, ...]:
    """Return the conditions, all of which must hold.

    Raises:
        BadRequestError: One is not of the form `field:op:value` (`filter-invalid`).
    """
    return tuple(_parse_filter(text) for text in texts)


def _parse_filter(text: str) -> Filter:
    parts = text.split(":", 2)
    if len(parts) == 2 and parts[1] == Operator.NULL:
        parts.append("true")
    if len(parts) != 3 or not parts[0]:
        raise BadRequestError(
            f"A filter has the form field:op:value; found {text[:80]!r}", code="filter-invalid", found=text[:80]
        )
    field, operator, value = parts
    if operator not in set(Operator):
        raise BadRequestError(
            f"{operator[:20]!r} is no filter operator",
            code="filter-operator-unknown",
            found=operator[:20],
            expected=[item.value for item in Operator],
            did_you_mean=difflib.get_close_matches(operator, [item.value for item in Operator], n=1),
        )
    return Filter(tuple(field.split(".")), Operator(operator), value)


def parse_sort(text: str | None) -> tuple[Sort, ...]:
    """Return the keys of the order; a leading `-` means falling."""
    if not text:
        return ()
    keys = [key.strip() for key in text.split(",") if key.strip(" -")]
    return tuple(Sort(tuple(key.lstrip("-").split(".")), key.startswith("-")) for key in keys)
