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
from chapkit.ml.runner import UserFunction

TRAIN_PARAMETERS = ("config", "data", "geo")
PREDICT_PARAMETERS = ("config", "model", "historic", "future", "geo")
_FRAMES = frozenset({"data", "historic", "future"})
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


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
    parameters = _parameters(function, expected)
    places = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    names, keywords = _arrange(parameters, places, expected)
    passed = {*names, *keywords}
    surplus = [
        parameter
        for parameter in [*places[len(names) :], *(p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)]
        if parameter.default is inspect.Parameter.empty and parameter.name not in keywords
    ]
    if surplus or not set(expected[:-1]) <= passed:
        raise _wrong(function, expected, f"found ({', '.join(str(p) for p in parameters)})")
    written = {**dict(zip(names, [place.name for place in places], strict=False)), **{name: name for name in keywords}}
    frame_types = {name: _frame_type(function, written.get(name, ""), converters) for name in passed & _FRAMES}
    return BoundFunction(function, names, frame_types, keywords)


def _parameters(function: UserFunction, expected: Sequence[str]) -> list[inspect.Parameter]:
    if not callable(function):
        raise _wrong(function, expected, "it is not callable")
    try:
        return list(inspect.signature(function).parameters.values())
    except ValueError as error:
        raise _wrong(function, expected, "its parameters cannot be read") from error


def _arrange(
    parameters: Sequence[inspect.Parameter], places: Sequence[inspect.Parameter], expected: Sequence[str]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what is passed by position and what by name."""
    kinds = {parameter.kind for parameter in parameters}
    own = tuple(place.name for place in places[: len(expected)])
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return tuple(expected), ()
    names = own if set(own) <= set(expected) else tuple(expected[: len(own)])
    named = {p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY}
    takes_any = inspect.Parameter.VAR_KEYWORD in kinds
    return names, tuple(name for name in expected if name not in names and (takes_any or name in named))


def _frame_type(function: UserFunction, parameter: str, converters: FrameConverters) -> Any:
    annotation = _without_none(_annotation(function, parameter))
    try:
        converters.check(annotation)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"The parameter '{parameter}' of {_name(function)} has a type that data cannot be handed over as: "
            f"{error.detail}",
            code=error.code,
            function=_name(function),
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
            f"The annotation of '{parameter}' of {_name(function)} cannot be resolved: {error}; "
            "import the name where the function is defined, and not for the type checker alone",
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
    target = function.func if isinstance(function, partial) else function
    return f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', repr(target))}"
