"""What is wrong with parameters, name by name."""

import reprlib
from collections.abc import Collection, Sequence
from typing import Any, Final

from pydantic_core import ErrorDetails

from chapkit.task.errors import did_you_mean, nearest

MISSING: Final = "missing"
_MAX_FOUND: Final = 200
_SHOULD_BE: Final = "Input should be "


def invalid(error: ErrorDetails, path: Sequence[str | int]) -> dict[str, Any]:
    """Return what Pydantic says of a value."""
    message = error["msg"]
    if error["type"] == MISSING:
        return _entry(path, message, MISSING, "nothing", "a value")
    expected = message
    if message.startswith(_SHOULD_BE):
        expected = message.removeprefix(_SHOULD_BE).partition(", ")[0]
    expected = error.get("ctx", {}).get("expected", expected)
    return _entry(path, message, error["type"], _shown(error["input"]), expected)


def missing(path: Sequence[str | int], expected: str) -> dict[str, Any]:
    """Return that nobody has sent a value."""
    return _entry(path, f"'{path[-1]}' is missing", MISSING, "nothing", expected)


def unknown(path: Sequence[str | int], value: Any, known: Collection[str]) -> dict[str, Any]:
    """Return that there is no such parameter."""
    name = str(path[-1])
    near = nearest(name, known)
    message = f"There is no parameter '{name}'{did_you_mean(near)}"
    return {**_entry(path, message, "parameter_unknown", _shown(value), list(known)), "did_you_mean": near}


def injected(path: Sequence[str | int], value: Any) -> dict[str, Any]:
    """Return that the service itself brings this."""
    message = f"'{path[-1]}' is brought by the service and cannot be sent; leave it out"
    return _entry(path, message, "parameter_injected", _shown(value), "nothing")


def _entry(path: Sequence[str | int], message: str, kind: str, found: str, expected: Any) -> dict[str, Any]:
    return {
        "loc": list(path),
        "msg": message,
        "type": kind,
        "field": ".".join(map(str, path)),
        "message": message,
        "found": found,
        "expected": expected,
    }


def _shown(value: Any) -> str:
    # A frame of a million rows is not written out only to be cut off.
    shortener = reprlib.Repr()
    shortener.maxstring = shortener.maxother = shortener.maxlong = _MAX_FOUND
    return shortener.repr(value)[:_MAX_FOUND]
