import functools
import sys
import types
from collections.abc import Callable
from typing import Any

import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.job.executors.importable import require_importable
from tests.unit.job.executors import work


def _local() -> Callable[..., int]:
    def inner() -> int:
        return 1

    return inner


def _strange() -> Callable[..., Any]:
    module = types.ModuleType("nowhere_to_be_found")
    exec("def train(config, data): ...", module.__dict__)
    function: Callable[..., Any] = module.__dict__["train"]
    return function


class _Holder:
    def __init__(self) -> None:
        self.lock = work.lock()

    def train(self) -> None: ...

    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    "function",
    [work.add, functools.partial(work.add, 1), work.Twice(2).times, work.Twice(2), work.Twice, len, sys.exit],
)
def test_what_has_a_name_in_a_module_may_run_in_a_child(function: Callable[..., Any]) -> None:
    require_importable(function)


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (lambda: 1, r"<lambda> \(.*test_importable\.py:\d+\).*a lambda has no name"),
        (functools.partial(lambda value: value, 1), "a lambda has no name"),
        (_local(), r"_local.<locals>.inner \(.*test_importable\.py:\d+\).*inside of another function"),
        (_strange(), "no module 'nowhere_to_be_found' is found"),
        (_Holder().train, r"_Holder.train \(.*test_importable\.py:\d+\).*lock"),
        (_Holder(), r"_Holder \(.*test_importable\.py:\d+\).*lock"),
        (functools.partial(work.add, work.lock()), "lock"),
        (functools.partial(print, work.lock()), r"print \(its place is unknown\)"),
    ],
)
def test_what_a_fresh_process_could_not_find_is_refused_by_name_and_place(
    function: Callable[..., Any], reason: str
) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        require_importable(function)
    assert caught.value.code == "function-not-importable"
    assert "leave out" in caught.value.detail


def test_a_function_of_an_interpreter_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    module = types.ModuleType("__main__")
    exec("def train(config, data): ...", module.__dict__)
    monkeypatch.setitem(sys.modules, "__main__", module)
    with pytest.raises(ConfigurationError, match="typed into an interpreter"):
        require_importable(module.__dict__["train"])
    # That of a script is not: children import it.
    module.__file__ = "script.py"
    require_importable(module.__dict__["train"])
