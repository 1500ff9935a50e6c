"""How a user's function wants to be called."""

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from chapkit.core.errors import ConfigurationError
from chapkit.data.convert import FrameConverters
from chapkit.data.frame import DataFrame
from chapkit.ml.runner import UserFunction

TRAIN_PARAMETERS = ("config", "data", "geo")
PREDICT_PARAMETERS = ("config", "model", "historic", "future", "geo")
_FRAMES = frozenset({"data", "historic", "future"})
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class BoundFunction:
    """A function of the user with what is known of its parameters, read once when the service is built."""

    function: UserFunction
    names: tuple[str, ...]
    """What is passed, in this order, each by position."""
    frame_types: Mapping[str, Any]

    def arguments(self, values: Mapping[str, Any], converters: FrameConverters) -> list[Any]:
        """Return the arguments of a call, each frame as the type that its parameter is annotated with."""
        return [
            converters.to(self.frame_types[name], values[name])
            if name in _FRAMES and isinstance(values[name], DataFrame)
            else values[name]
            for name in self.names
        ]


def bind_function(function: UserFunction, expected: Sequence[str], converters: FrameConverters) -> BoundFunction:
    """Compare a function with the parameters that it will get; trailing ones may be missing.

    Raises:
        ConfigurationError: It cannot be called so (`runner-signature-invalid`), or a frame's type is unknown.
    """
    if not callable(function):
        raise _wrong(function, expected, "it is not callable")
    parameters = list(inspect.signature(function).parameters.values())
    has_rest = any(parameter.kind is inspect.Parameter.VAR_POSITIONAL for parameter in parameters)
    places = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    count = len(expected) if has_rest else min(len(places), len(expected))
    needed = len(expected) - 1
    surplus = [p for p in places[len(expected) :] if p.default is inspect.Parameter.empty]
    named = [p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY and p.default is inspect.Parameter.empty]
    if count < needed or surplus or named:
        raise _wrong(function, expected, f"found ({', '.join(str(p) for p in parameters)})")
    hints = _hints(function)
    frame_types: dict[str, Any] = {}
    for index, name in enumerate(expected[:count]):
        if name in _FRAMES:
            place = places[index].name if index < len(places) else ""
            frame_types[name] = _without_none(hints.get(place, inspect.Parameter.empty))
            converters.check(frame_types[name])
    return BoundFunction(function, tuple(expected[:count]), frame_types)


def _hints(function: UserFunction) -> dict[str, Any]:
    target: Any = function
    while isinstance(target, partial):
        target = target.func
    if not (inspect.isfunction(target) or inspect.ismethod(target)):
        target = type(target).__call__
    try:
        return typing.get_type_hints(target)
    except NameError as error:
        raise ConfigurationError(
            f"An annotation of {_name(function)} cannot be resolved: {error}; import the name where it is defined",
            code="runner-annotation-unresolved",
            function=_name(function),
        ) from error


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [item for item in typing.get_args(annotation) if item is not type(None)]
        if len(members) == 1:
            return members[0]
    return annotation


def _wrong(function: Any, expected: Sequence[str], found: str) -> ConfigurationError:
    return ConfigurationError(
        f"{_name(function)} must take ({', '.join(expected)}), the last one may be missing; {found}",
        code="runner-signature-invalid",
        expected=list(expected),
        function=_name(function),
    )


def _name(function: Any) -> str:
    return f"{getattr(function, '__module__', '?')}.{getattr(function, '__qualname__', repr(function))}"
