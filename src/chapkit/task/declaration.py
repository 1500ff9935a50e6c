"""A function with what its author says of it."""

import inspect
import math
import os
import re
import sys
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias, TypedDict, Unpack, cast

from chapkit.core.errors import ConfigurationError
from chapkit.data.signature import RUNNER_PARAMETERS, arrange
from chapkit.job.policies import Retry
from chapkit.task.errors import did_you_mean, nearest
from chapkit.task.fingerprint import FunctionSource, code_version
from chapkit.task.signatures import Function, innermost, label_of, place_of

TASK: Final = "task"
FUNCTION_TYPES: Final = (TASK, "ml_train", "ml_predict")
"""What a function can be registered for."""
MAX_NAME_LENGTH: Final = 200
OnCodeChange: TypeAlias = Literal["run", "hold", "fail"]
"""What becomes of a queued job whose function has changed since it was submitted."""
TaskExecutor: TypeAlias = Literal["thread", "process"]
_CHOICES: Final = {"executor": (None, "thread", "process"), "on_code_change": ("run", "hold", "fail")}
_is_name = re.compile(r"[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*", re.ASCII).fullmatch


class FunctionOptions(TypedDict, total=False):
    """What can be said of a function when it is registered."""

    type: str
    """What it is for: `task`, if not said, `ml_train` or `ml_predict`."""
    tags: Iterable[str]
    executor: TaskExecutor | None
    """`process` for a child process that can be killed; a thread, or the job loop for `async def`, if not said."""
    queue: str | None
    timeout: float | None
    """Seconds that one attempt may take."""
    retry: Retry | None
    cache: Any
    version: str | None
    """Part of the version of the code; say another one when something has changed that the function calls."""
    on_code_change: OnCodeChange


@dataclass(frozen=True)
class Declaration:
    """A registered function; it belongs to no service and is never changed."""

    name: str
    function: Function
    type: str = TASK
    tags: tuple[str, ...] = ()
    executor: TaskExecutor | None = None
    queue: str | None = None
    timeout: float | None = None
    retry: Retry | None = None
    cache: Any = None
    version: str | None = None
    on_code_change: OnCodeChange = "run"
    place: str = field(init=False)
    """File and line."""
    source: FunctionSource | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "place", place_of(self.function))
        object.__setattr__(self, "source", FunctionSource.of(self.function))

    @classmethod
    def of(cls, name: str, function: Any, **options: Unpack[FunctionOptions]) -> "Declaration":
        """Return the declaration of a function, if it makes sense.

        Raises:
            ConfigurationError: `task-name-invalid`, `task-function-invalid`, `task-options-invalid`, or
                `runner-signature-invalid` where a function that trains or predicts takes other parameters.
        """
        check_name(name)
        target = _checked_function(name, function)
        _check_options(name, options)
        if (expected := RUNNER_PARAMETERS.get(options.get("type", TASK))) is not None:
            arrange(target, expected)
        values: dict[str, Any] = {**options, "tags": tuple(options.get("tags", ()))}
        return cls(name, target, **values)

    @property
    def key(self) -> tuple[str, str]:
        """Type and name, by which the function is known."""
        return self.type, self.name

    @property
    def label(self) -> str:
        """Module and qualified name of the function."""
        return label_of(self.function)

    @property
    def doc(self) -> str | None:
        """The first line of its docstring."""
        text = inspect.getdoc(innermost(self.function))
        return text.splitlines()[0] if text else None

    @cached_property
    def code_version(self) -> str:
        """The version of its code as it was when it was registered."""
        return code_version(self.function, self.version, self.source)

    def is_again(self, other: "Declaration") -> bool:
        """Tell whether `other` is the same function, met once more: a module that is imported twice or reloaded."""
        if _origin(self.function) != _origin(other.function):
            return False
        before, now = self.source, other.source
        # Two definitions of one name in one and the same state of a file are two functions.
        return before is None or now is None or before.lines is not now.lines or before.first == now.first


def check_name(name: Any) -> None:
    """Go on, if a function or a namespace can have this name.

    Raises:
        ConfigurationError: It cannot (`task-name-invalid`).
    """
    if not isinstance(name, str):
        raise ConfigurationError(
            f'A function needs a name, a text; found {type(name).__name__}; write @TaskRegistry.register("name")',
            code="task-name-invalid",
        )
    dots = any(set(part) == {"."} for part in name.split("/"))
    if len(name) > MAX_NAME_LENGTH or _is_name(name) is None or dots:
        raise ConfigurationError(
            f"{name[:MAX_NAME_LENGTH]!r} is no name for a function; a name has 1 to {MAX_NAME_LENGTH} characters: "
            "letters from A to Z, digits, '_', '-' and '.', in parts between '/', such as 'climate/download'",
            code="task-name-invalid",
            found=name[:MAX_NAME_LENGTH],
        )


def check_type(type: Any) -> None:
    """Go on, if functions can be registered for this.

    Raises:
        ConfigurationError: They cannot (`task-options-invalid`).
    """
    if type not in FUNCTION_TYPES:
        raise _wrong_option("type", type, f"one of {', '.join(FUNCTION_TYPES)}", FUNCTION_TYPES)


def _checked_function(name: str, function: Any) -> Function:
    if isinstance(function, staticmethod):
        return cast("Function", cast("Any", function).__func__)
    problem = _problem_of(function)
    if problem is not None:
        raise ConfigurationError(
            f"{function!r:.100} cannot be registered as '{name}': {problem}",
            code="task-function-invalid",
            found=name,
        )
    return cast("Function", function)


def _problem_of(function: Any) -> str | None:
    if isinstance(function, classmethod):
        return "a class method has no class here yet; register Class.method after the class"
    if inspect.isclass(function):
        return "a class is no function; write a function that makes one"
    if not callable(function):
        return "it cannot be called; give a function"
    target = innermost(function)
    if inspect.isgeneratorfunction(target) or inspect.isasyncgenfunction(target):
        return "it yields, so that nothing would be run; return a list"
    if function is target and inspect.isfunction(function) and _is_unbound_method(function):
        return "a method needs its object; register object.method, or make it a static method"
    return None


def _is_unbound_method(function: Any) -> bool:
    holder = function.__qualname__.rpartition(".")[0]
    first = function.__code__.co_varnames[:1] if function.__code__.co_argcount else ()
    return bool(holder) and not holder.endswith("<locals>") and first in (("self",), ("cls",))


def _check_options(name: str, options: FunctionOptions) -> None:
    known = FunctionOptions.__annotations__
    for option, value in options.items():
        if option not in known:
            near = nearest(option, known)
            raise TypeError(f"'{name}' is registered with an unknown option {option!r}{did_you_mean(near)}")
        if option in _CHOICES and value not in _CHOICES[option]:
            shown = " or ".join(map(repr, _CHOICES[option]))
            raise _wrong_option(option, value, shown, _CHOICES[option])
    check_type(options.get("type", TASK))
    tags: Any = options.get("tags", ())
    timeout: Any = options.get("timeout")
    # A text would be taken for its letters.
    if isinstance(tags, str) or not isinstance(tags, Collection) or not _are_texts(tags):  # pyright: ignore[reportUnknownArgumentType]
        raise _wrong_option("tags", tags, 'texts: tags=("climate", "daily")')
    if timeout is not None and not _is_time(timeout):
        raise _wrong_option("timeout", timeout, "seconds above 0")
    cache = options.get("cache")
    if cache is not None and (type := options.get("type", TASK)) != TASK:
        raise ConfigurationError(
            f"'{name}' is registered with cache={cache!r:.100}, which has no effect on a function of the "
            f"type {type}: only results of tasks are kept; leave out cache",
            code="task-options-invalid",
            field="cache",
            found=type,
        )
    for option in ("queue", "version"):
        value = options.get(option)
        if value is not None and not (isinstance(value, str) and value):
            raise _wrong_option(option, value, "a text")
    retry: Any = options.get("retry")
    if retry is not None and not isinstance(retry, Retry):
        raise _wrong_option("retry", retry, "a policy: retry=Retry(attempts=3)")


def _is_time(value: Any) -> bool:
    # A truth value is a number for Python, but for nobody else.
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf


def _are_texts(items: Collection[Any]) -> bool:
    return all(isinstance(item, str) for item in items)


def _wrong_option(option: str, value: Any, wanted: str, choices: Collection[Any] = ()) -> ConfigurationError:
    near = nearest(value, [each for each in choices if each]) if isinstance(value, str) else []
    return ConfigurationError(
        f"{option}={value!r} makes no sense for a function; give {wanted}{did_you_mean(near)}",
        code="task-options-invalid",
        field=option,
        found=str(value),
        expected=list(choices) or None,
    )


def _origin(function: Any) -> tuple[str, str]:
    """Return file and qualified name; what was typed into an interpreter has a module in the place of a file."""
    target = innermost(function)
    module, name = str(getattr(target, "__module__", "")), str(getattr(target, "__qualname__", ""))
    code = getattr(target, "__code__", None)
    is_typed = module == "__main__" and not hasattr(sys.modules["__main__"], "__file__")
    if code is None or code.co_filename.startswith("<") or is_typed:
        return f"module {module}", name
    return os.path.realpath(code.co_filename), name
