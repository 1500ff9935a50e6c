"""What a function takes: its parameters with their types, read once."""

import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from typing import Any, Final, Literal, TypeAlias

from chapkit.core.errors import ConfigurationError


class Nothing(Enum):
    """Stands where there is no value, as `None` may be one."""

    NOTHING = "nothing"


NOTHING: Final = Nothing.NOTHING
Function: TypeAlias = Callable[..., Any]
ParameterKind: TypeAlias = Literal["positional", "either", "keyword", "surplus"]

_KINDS: Final[Mapping[Any, ParameterKind]] = types.MappingProxyType(
    {
        inspect.Parameter.POSITIONAL_ONLY: "positional",
        inspect.Parameter.POSITIONAL_OR_KEYWORD: "either",
        inspect.Parameter.KEYWORD_ONLY: "keyword",
        inspect.Parameter.VAR_KEYWORD: "surplus",
    }
)
_WRAPPERS: Final = (typing.Required, typing.NotRequired)


@dataclass(frozen=True)
class FunctionParameter:
    """One parameter; `surplus` is `**kwargs`."""

    name: str
    kind: ParameterKind
    annotation: Any = Any
    default: Any = NOTHING
    is_required: bool = True
    """Whether a call must bring it."""


@dataclass(frozen=True)
class FunctionSignature:
    """The parameters of a function, and how to name it to a human."""

    label: str
    """Module and qualified name."""
    place: str
    """File and line."""
    parameters: tuple[FunctionParameter, ...]


def read_signature(function: Function, *, needs_all: bool = True) -> FunctionSignature:
    """Return what the function takes; `*args` is left out, as nobody can name what belongs there.

    Args:
        function: Anything that can be called.
        needs_all: Whether a parameter that has a default must be understood, too; it is left out, if not.

    Raises:
        ConfigurationError: It has no readable parameters (`task-signature-invalid`), or an annotation names what
            cannot be found (`task-annotation-unresolved`).
    """
    label, place = label_of(function), place_of(function)
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"The parameters of {label} ({place}) cannot be read: {error}; write a function around it",
            code="task-signature-invalid",
            function=label,
            place=place,
        ) from error
    except NameError as error:
        # From Python 3.14 on, annotations are looked at here.
        raise _unresolved(function, "a parameter", error) from error
    parameters: list[FunctionParameter] = []
    for parameter in found:
        try:
            parameters.extend(_parameters_of(function, parameter))
        except ConfigurationError:
            can_do_without = parameter.default is not inspect.Parameter.empty or parameter.kind is parameter.VAR_KEYWORD
            if needs_all or not can_do_without:
                raise
    return FunctionSignature(label, place, tuple(parameters))


def innermost(function: Any) -> Any:
    """Return the function that somebody has written, without partials, methods and decorators around it."""
    target: Any = function
    while isinstance(target, partial):
        target = target.func  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
    target = getattr(target, "__func__", target)
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        # An object that can be called.
        kind: Any = type(target)  # pyright: ignore[reportUnknownVariableType]
        target = getattr(kind, "__call__", target)  # noqa: B004
    try:
        return inspect.unwrap(target)
    except ValueError:
        return target


def label_of(function: Any) -> str:
    """Return module and qualified name of what somebody has written."""
    target = innermost(function)
    return f"{getattr(target, '__module__', None) or '?'}.{getattr(target, '__qualname__', type(target).__qualname__)}"


def place_of(function: Any) -> str:
    """Return file and line of what somebody has written, as far as there are any."""
    file, line = file_and_line(function)
    return f"{file}:{line}" if line else file


def file_and_line(function: Any) -> tuple[str, int]:
    """Return where a function begins; `unknown file` and 0, if it was written in C."""
    target = innermost(function)
    code = getattr(target, "__code__", None)
    if code is not None:
        return code.co_filename, code.co_firstlineno
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    return getattr(module, "__file__", None) or "unknown file", 0


def _parameters_of(function: Function, parameter: inspect.Parameter) -> Iterator[FunctionParameter]:
    if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
        return
    annotation = _annotation(function, parameter)
    if parameter.kind is inspect.Parameter.VAR_KEYWORD and typing.get_origin(annotation) is typing.Unpack:
        yield from _members(typing.get_args(annotation)[0])
        return
    kind = _KINDS[parameter.kind]
    default = NOTHING if parameter.default is inspect.Parameter.empty else parameter.default
    yield FunctionParameter(parameter.name, kind, annotation, default, default is NOTHING and kind != "surplus")


def _members(typed_dict: Any) -> Iterator[FunctionParameter]:
    """Return the parameters that `**options: Unpack[Options]` stands for."""
    for name, written in typing.get_type_hints(typed_dict, include_extras=True).items():
        annotation = written
        while typing.get_origin(annotation) in _WRAPPERS:
            annotation = typing.get_args(annotation)[0]
        yield FunctionParameter(name, "keyword", annotation, NOTHING, name in typed_dict.__required_keys__)


def _annotation(function: Function, parameter: inspect.Parameter) -> Any:
    written = parameter.annotation
    if written is inspect.Parameter.empty:
        return Any
    if isinstance(written, type):
        return written
    holder = types.SimpleNamespace(__annotations__={parameter.name: written})
    try:
        return typing.get_type_hints(holder, globalns=_names_around(function), include_extras=True)[parameter.name]
    except Exception as error:
        # An annotation in quotes is an expression, which may raise anything.
        raise _unresolved(function, f"'{parameter.name}'", error) from error


def _names_around(function: Any) -> dict[str, Any]:
    target = innermost(function)
    module = sys.modules.get(getattr(target, "__module__", None) or "")
    names: dict[str, Any] | None = getattr(target, "__globals__", getattr(module, "__dict__", None))
    return {} if names is None else names


def _unresolved(function: Any, what: str, error: BaseException) -> ConfigurationError:
    label, place = label_of(function), place_of(function)
    return ConfigurationError(
        f"The annotation of {what} of {label} ({place}) cannot be resolved: {error}; "
        "import the name where the function is defined, and not for the type checker alone",
        code="task-annotation-unresolved",
        function=label,
        place=place,
    )
