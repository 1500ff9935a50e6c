"""How a user's function wants to be called."""

import inspect
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from chapkit.core.errors import ConfigurationError
from chapkit.data.convert import FrameConverters
from chapkit.data.frame import DataFrame
from chapkit.data.signature import arrange, name_of
from chapkit.ml.runner import UserFunction

_FRAMES = frozenset({"data", "historic", "future"})


@dataclass(frozen=True)
class Arguments:
    """What a function is called with."""

    by_place: Sequence[Any] = ()
    by_name: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class BoundFunction:
    """A function of the user with what is known of its parameters, read once when the service is built."""

    function: UserFunction
    names: tuple[str, ...]
    """What is passed by position, in this order."""
    frame_types: Mapping[str, Any]
    keywords: tuple[str, ...] = ()
    """What is passed by name."""

    def takes(self, name: str) -> bool:
        """Tell whether the function asks for this."""
        return name in self.names or name in self.keywords

    def arguments(self, values: Mapping[str, Any], converters: FrameConverters) -> Arguments:
        """Return the arguments of a call, each frame as the type that its parameter is annotated with."""

        def pick(name: str) -> Any:
            value = values[name]
            is_frame = name in _FRAMES and isinstance(value, DataFrame)
            return converters.to(self.frame_types[name], value) if is_frame else value

        return Arguments([pick(name) for name in self.names], {name: pick(name) for name in self.keywords})


def bind_function(function: UserFunction, expected: Sequence[str], converters: FrameConverters) -> BoundFunction:
    """Compare a function with the parameters that it will get; the last one may be missing.

    Parameters are known by their names if all of them have the expected ones, and else by their places.

    Raises:
        ConfigurationError: It cannot be called so (`runner-signature-invalid`), or a frame's type is unknown.
    """
    arrangement = arrange(function, expected)
    names, keywords, written = arrangement.names, arrangement.keywords, arrangement.written
    passed = {*names, *keywords}
    frame_types = {name: _frame_type(function, written.get(name, ""), converters) for name in passed & _FRAMES}
    return BoundFunction(function, names, frame_types, keywords)


def _frame_type(function: UserFunction, parameter: str, converters: FrameConverters) -> Any:
    annotation = _without_none(_annotation(function, parameter))
    try:
        converters.check(annotation)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"The parameter '{parameter}' of {name_of(function)} has a type that data cannot be handed over as: "
            f"{error.detail}",
            code=error.code,
            function=name_of(function),
            **error.extensions,
        ) from error
    return annotation


def _annotation(function: UserFunction, parameter: str) -> Any:
    """Return the annotation of one parameter; those of others need not be resolvable."""
    target: Any = function
    while isinstance(target, partial):
        target = target.func
    if not (inspect.isfunction(target) or inspect.ismethod(target)):
        target = type(target).__call__
    target = inspect.unwrap(target)
    written: Mapping[str, Any] = inspect.get_annotations(getattr(target, "__func__", target))
    if parameter not in written:
        return inspect.Parameter.empty
    holder = types.SimpleNamespace(__annotations__={parameter: written[parameter]})
    try:
        return typing.get_type_hints(holder, globalns=target.__globals__)[parameter]
    except NameError as error:
        raise ConfigurationError(
            f"The annotation of '{parameter}' of {name_of(function)} cannot be resolved: {error}; "
            "import the name where the function is defined, and not for the type checker alone",
            code="runner-annotation-unresolved",
            function=name_of(function),
        ) from error


def _without_none(annotation: Any) -> Any:
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        members = [item for item in typing.get_args(annotation) if item is not type(None)]
        if len(members) == 1:
            return members[0]
    return annotation
