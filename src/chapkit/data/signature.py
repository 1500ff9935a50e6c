"""Whether a function that trains or predicts can be called as it will be."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from chapkit.core.errors import ConfigurationError

TRAIN_PARAMETERS = ("config", "data", "geo")
PREDICT_PARAMETERS = ("config", "model", "historic", "future", "geo")
RUNNER_PARAMETERS: Mapping[str, Sequence[str]] = {"ml_train": TRAIN_PARAMETERS, "ml_predict": PREDICT_PARAMETERS}
"""What functions get that are registered for these."""
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True)
class Arrangement:
    """How a function is called."""

    names: tuple[str, ...]
    """What is passed by position, in this order."""
    keywords: tuple[str, ...]
    """What is passed by name."""
    written: Mapping[str, str]
    """What the function itself calls each of them."""


def arrange(function: Callable[..., Any], expected: Sequence[str]) -> Arrangement:
    """Compare a function with the parameters that it will get; the last one may be missing.

    Parameters are known by their names if all of them have the expected ones, and else by their places; then those
    that have an expected name must stand at its place.

    Raises:
        ConfigurationError: It cannot be called so (`runner-signature-invalid`).
    """
    parameters = _parameters(function, expected)
    places = [parameter for parameter in parameters if parameter.kind in _POSITIONAL]
    names, keywords = _arrange(parameters, places, expected)
    surplus = [
        parameter
        for parameter in [*places[len(names) :], *(p for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY)]
        if parameter.default is inspect.Parameter.empty and parameter.name not in keywords
    ]
    misplaced = [
        place for at, place in enumerate(places) if place.name in expected and names[at : at + 1] != (place.name,)
    ]
    if surplus or misplaced or not set(expected[:-1]) <= {*names, *keywords}:
        raise _wrong(function, expected, f"found ({', '.join(str(p) for p in parameters)})")
    written = {**dict(zip(names, [place.name for place in places], strict=False)), **{name: name for name in keywords}}
    return Arrangement(names, keywords, written)


def _parameters(function: Callable[..., Any], expected: Sequence[str]) -> list[inspect.Parameter]:
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


def _wrong(function: Any, expected: Sequence[str], found: str) -> ConfigurationError:
    return ConfigurationError(
        f"{name_of(function)} must take ({', '.join(expected)}), the last one may be missing; {found}",
        code="runner-signature-invalid",
        expected=list(expected),
        function=name_of(function),
    )


def name_of(function: Any) -> str:
    """Return module and qualified name of a function."""
    target = function.func if isinstance(function, partial) else function
    return f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', repr(target))}"
