"""Whether a fresh process could find a function."""

import inspect
import pickle
import sys
from collections.abc import Callable
from functools import partial
from typing import Any, cast

from chapkit.job.executors.process_errors import FunctionNotImportableError

_MAIN = "__main__"
_MOVE = "write it as a function of a module"


def require_importable(function: Callable[..., Any]) -> None:
    """Go on, if a child process can import the function by its name.

    Raises:
        FunctionNotImportableError: It cannot (`function-not-importable`); the text says where the function is and why.
    """
    target: Any = function
    while isinstance(target, partial):
        target = target.func
    target = getattr(target, "__func__", target)
    name = getattr(target, "__qualname__", "")
    if name.rpartition(".")[2] == "<lambda>":
        raise _refused(function, "a lambda has no name to import it by", "write it with `def`")
    if inspect.isfunction(target) and "<locals>" in name:
        raise _refused(function, "it is defined inside of another function", "move it to the top of its module")
    module = getattr(target, "__module__", None) or type(target).__module__
    if module == _MAIN and not hasattr(sys.modules[_MAIN], "__file__"):
        raise _refused(function, "it was typed into an interpreter that a new process does not see", _MOVE)
    if module != _MAIN and not _is_found(module.partition(".")[0]):
        raise _refused(function, f"no module {module!r} is found on sys.path", "let its module be importable by name")
    try:
        pickle.dumps(function)
    except Exception as error:
        raise _refused(
            function, f"{type(error).__name__}: {error}", "let all that it is made of be picklable"
        ) from error


def _is_found(package: str) -> bool:
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_spec")]
    return any(finder.find_spec(package, None) is not None for finder in finders)


def _refused(function: Any, reason: str, way_out: str) -> FunctionNotImportableError:
    target = function
    while isinstance(target, partial):
        target = target.func
    name = f"{getattr(target, '__module__', '?')}.{getattr(target, '__qualname__', type(target).__qualname__)}"
    return FunctionNotImportableError(name, _place(target), reason, way_out)


def _place(target: Any) -> str:
    """Return file and line, as far as there are any."""
    if not (inspect.isfunction(target) or inspect.ismethod(target)):
        # An object that can be called.
        target = cast("Any", type(target)).__call__
    code = getattr(inspect.unwrap(getattr(target, "__func__", target)), "__code__", None)
    return "its place is unknown" if code is None else f"{code.co_filename}:{code.co_firstlineno}"
