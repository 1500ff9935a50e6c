"""What can go wrong with functions that were registered."""

import difflib
import re
from collections.abc import Collection, Sequence
from typing import Any

from chapkit.core.errors import ConfigurationError, NotFoundError, UnprocessableError

_modules = re.compile(r"(?:(?:\w+|<\w+>)\.)+").sub


class TaskFunctionUnknownError(NotFoundError, KeyError):
    """No function was registered under this name."""

    def __init__(self, name: str, type: str, known: Collection[str], detail: str | None = None) -> None:
        near = nearest(name, known)
        super().__init__(
            detail or f"Task '{name}' not found in registry{did_you_mean(near)}",
            code="task-function-unknown",
            found=name,
            type=type,
            did_you_mean=near,
        )

    def __str__(self) -> str:
        # A KeyError would put the text in quotes.
        return self.detail


class TaskFunctionDuplicateError(ConfigurationError):
    """Two functions were registered under one name."""

    def __init__(self, name: str, type: str, first: str, second: str) -> None:
        thing = "Task" if type == "task" else f"Function of type {type}"
        super().__init__(
            f"{thing} '{name}' already registered: first by {first}, now by {second}; give one of them another name",
            code="task-function-duplicate",
            found=name,
            type=type,
            places=[first, second],
        )


class TaskParametersError(UnprocessableError):
    """The parameters do not fit the function."""

    def __init__(self, function: str, errors: Sequence[dict[str, Any]]) -> None:
        first = errors[0]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(
            f"{first['field']}: {first['message']}{more}",
            code="task-parameters-invalid",
            function=function,
            errors=list(errors),
        )


class ValueNotSerializableError(UnprocessableError, TypeError):
    """JSON cannot carry the value, and nobody has said how it could."""

    def __init__(self, kind: type[Any], path: str = "", reason: str = "") -> None:
        name = full_name(kind)
        super().__init__(
            f"{path or 'The value'} is of the type {name}, which JSON cannot carry{f': {reason}' if reason else ''}; "
            f"say how with register_serializer({kind.__name__}, to_json, from_json)",
            code="value-not-serializable",
            field=path,
            found=name,
        )


class ProviderMissingError(ConfigurationError):
    """A parameter can be neither injected nor sent by a user."""

    def __init__(self, function: str, parameter: str, wanted: str, place: str, known: Collection[str]) -> None:
        near = nearest(wanted, known)
        short = _modules("", wanted)
        super().__init__(
            f"Nothing provides {wanted} for the parameter '{parameter}' of {function} ({place})"
            f"{did_you_mean(near)}; add provide({short}, factory) to the builder, or give the parameter a default",
            code="provider-missing",
            function=function,
            parameter=parameter,
            place=place,
            found=wanted,
            expected=sorted(known),
            did_you_mean=near,
        )


def nearest(name: str, known: Collection[str], count: int = 3) -> list[str]:
    """Return those of the known names that look most like `name`."""
    by_end = {each.rpartition(".")[2].lower(): each for each in known}
    found = difflib.get_close_matches(name.rpartition(".")[2].lower(), by_end, n=count, cutoff=0.5)
    return list(dict.fromkeys([*difflib.get_close_matches(name, known, n=count), *(by_end[end] for end in found)]))


def did_you_mean(near: Sequence[str]) -> str:
    """Return the end of a sentence that offers the nearest name, if there is one."""
    return f"; did you mean '{near[0]}'?" if near else ""


def full_name(kind: Any) -> str:
    """Return a type as it is written, with its module."""
    if not isinstance(kind, type) or hasattr(kind, "__args__"):
        return str(kind).removeprefix("typing.")
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
