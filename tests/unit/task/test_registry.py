import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.job.policies import Retry
from chapkit.task.cache import Cache
from chapkit.task.errors import TaskFunctionDuplicateError, TaskFunctionUnknownError
from chapkit.task.registry import Namespace, Registry, TaskRegistry
from tests.unit.task.functions import MODULE_TEXT, download, predict, train, upload


@pytest.fixture
def registry() -> Registry:
    return Registry()


@pytest.fixture
def shared() -> Iterator[type[TaskRegistry]]:
    before = TaskRegistry.default
    TaskRegistry.default = Registry()
    yield TaskRegistry
    TaskRegistry.default = before


def _loaded(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_a_decorated_function_stays_as_it_is(registry: Registry) -> None:
    def greet(name: str) -> str:
        """Greet somebody.

        At length.
        """
        return f"Hello {name}"

    decorated = registry.register("greet", tags=["a"], timeout=3, retry=Retry(attempts=2), queue="slow")(greet)
    assert decorated is greet
    assert registry.get("greet") is greet
    declaration = registry.snapshot().get("greet")
    assert (declaration.doc, declaration.tags, declaration.timeout) == ("Greet somebody.", ("a",), 3)
    assert declaration.place == f"{__file__}:{greet.__code__.co_firstlineno}"
    assert declaration.label == f"{__name__}.{greet.__qualname__}"


def test_the_shared_registry_is_used_by_its_class(shared: type[TaskRegistry]) -> None:
    shared.register("b")(download)
    shared.register_function("a", upload)
    shared.namespace("climate").register_function("c", upload)
    assert shared.list_all() == ["a", "b", "climate/c"]
    assert shared.get("b") is download
    assert [each.name for each in shared.snapshot()] == ["a", "b", "climate/c"]
    shared.clear()
    assert shared.list_all() == []


def test_a_name_belongs_to_a_type(registry: Registry) -> None:
    registry.register_function("ewars", train, type="ml_train")
    registry.register_function("ewars", predict, type="ml_predict")
    assert registry.get("ewars", "ml_train") is train
    assert registry.get("ewars", type="ml_predict") is predict
    assert registry.list_all() == []
    assert registry.list_all(type="ml_train") == ["ewars"]
    with pytest.raises(KeyError, match="'ewars' not found in registry"):
        registry.get("ewars")


def test_an_unknown_name_is_answered_with_the_nearest(registry: Registry) -> None:
    registry.register_function("climate/download", download)
    with pytest.raises(TaskFunctionUnknownError) as caught:
        registry.get("climate/downlaod")
    assert str(caught.value) == "Task 'climate/downlaod' not found in registry; did you mean 'climate/download'?"
    assert caught.value.code == "task-function-unknown"
    assert caught.value.extensions["did_you_mean"] == ["climate/download"]
    with pytest.raises(KeyError) as plain:
        registry.get("zzz")
    assert str(plain.value) == "Task 'zzz' not found in registry"


def test_a_runner_of_the_same_name_is_not_called_a_task(registry: Registry) -> None:
    def fit(config: Any, data: Any) -> None: ...

    def fit_better(config: Any, data: Any) -> None: ...

    registry.register_function("x", fit, type="ml_train")
    with pytest.raises(TaskFunctionDuplicateError, match="Function of type ml_train 'x' already registered"):
        registry.register_function("x", fit_better, type="ml_train")


def test_another_function_of_the_same_name_is_refused_with_both_places(registry: Registry) -> None:
    registry.register_function("x", download)
    with pytest.raises(TaskFunctionDuplicateError, match="Task 'x' already registered") as caught:
        registry.register_function("x", upload)
    assert isinstance(caught.value, ValueError)
    lines = [each.__code__.co_firstlineno for each in (download, upload)]
    for line in lines:
        assert f"functions.py:{line})" in caught.value.detail
    assert registry.get("x") is download


def test_two_functions_of_one_name_in_one_file_are_two(registry: Registry) -> None:
    first: Any = lambda: 1  # noqa: E731
    second: Any = lambda: 2  # noqa: E731
    registry.register_function("x", first)
    with pytest.raises(ValueError, match="already registered"):
        registry.register_function("x", second)


def test_a_function_that_is_made_again_takes_the_place_of_the_first(registry: Registry) -> None:
    def make(number: int) -> Callable[[], int]:
        @registry.register("x")
        def give() -> int:
            return number

        return give

    make(1)
    make(2)
    assert registry.get("x")() == 2


def test_a_main_module_that_is_imported_twice_replaces_silently(
    shared: type[TaskRegistry], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "service.py"
    path.write_text(MODULE_TEXT)
    first = _loaded("test_registry_main", path)
    second = _loaded("test_registry_service", path)
    assert shared.get("double") is second.double
    assert shared.get("double") is not first.double
    # The same file by another name of its folder.
    (tmp_path / "link").symlink_to(tmp_path)
    third = _loaded("test_registry_linked", tmp_path / "link" / "service.py")
    assert shared.get("double") is third.double


def test_a_module_that_was_changed_and_is_loaded_again_replaces_silently(
    shared: type[TaskRegistry], tmp_path: Path
) -> None:
    path = tmp_path / "service.py"
    path.write_text(MODULE_TEXT)
    _loaded("test_registry_reloaded", path)
    path.write_text(f"# A line that was not there before.\n{MODULE_TEXT}")
    again = _loaded("test_registry_reloaded", path)
    assert shared.get("double") is again.double
    other = tmp_path / "other.py"
    other.write_text(MODULE_TEXT)
    with pytest.raises(ValueError, match="already registered"):
        _loaded("test_registry_other", other)


def test_what_is_typed_again_replaces_silently(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "__main__", ModuleType("__main__"))
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, file in enumerate(("<stdin>", "/nowhere/ipykernel_1/1.py", "/nowhere/ipykernel_1/2.py")):
        exec(compile(f"def cell(): return {number}", file, "exec"), names)
        registry.register_function("cell", names["cell"])
    assert registry.get("cell")() == 2


def test_a_namespace_puts_its_prefix_before_the_names(registry: Registry) -> None:
    climate = registry.namespace("climate")
    daily = climate.namespace("daily")
    climate.register("download")(download)
    daily.register_function("upload", upload)
    assert isinstance(daily, Namespace)
    assert registry.list_all() == ["climate/daily/upload", "climate/download"]
    assert climate.list_all() == ["daily/upload", "download"]
    assert daily.list_all() == ["upload"]
    assert climate.get("daily/upload") is daily.get("upload") is upload
    assert registry.namespace("clim").list_all() == []
    with pytest.raises(KeyError, match="climate/uplaod"):
        climate.get("uplaod")


@pytest.mark.parametrize("name", ["a", "A-b_c.d/e", "0", "climate/.hidden", "x" * 200])
def test_these_are_names(registry: Registry, name: str) -> None:
    registry.register_function(name, download)
    assert registry.list_all() == [name]


@pytest.mark.parametrize(
    "name", ["", "a b", "/a", "a/", "a//b", "a/../b", "./a", "ä", "a\n", "x" * 201, "$a", None, 3, download]
)
def test_these_are_no_names(registry: Registry, name: Any) -> None:
    for attempt in (
        lambda: registry.register(name),
        lambda: registry.register_function(name, download),
        lambda: registry.namespace(name),
        lambda: registry.namespace("a").register(name),
        lambda: registry.namespace("a").register_function(name, download),
        lambda: registry.namespace("a").namespace(name),
    ):
        with pytest.raises(ConfigurationError) as caught:
            attempt()
        assert caught.value.code == "task-name-invalid"


def test_a_decorator_without_a_name_says_how_it_is_written(registry: Registry) -> None:
    decorate: Any = registry.register
    with pytest.raises(ConfigurationError, match=r'write @TaskRegistry.register\("name"\)'):

        @decorate
        def nameless() -> None: ...


class Greeter:
    @staticmethod
    def static(name: str) -> str:
        return name

    @classmethod
    def of_class(cls, name: str) -> str:
        return name

    def method(self, name: str) -> str:
        return name

    def __call__(self, name: str) -> str:
        return name


@pytest.mark.parametrize(
    "function",
    [
        download,
        partial(upload, 1),
        Greeter.static,
        Greeter.of_class,
        Greeter().method,
        Greeter(),
        len,
        lambda: 1,
        Greeter.__dict__["static"],
    ],
)
def test_whatever_can_be_called_can_be_registered(registry: Registry, function: Any) -> None:
    assert registry.register("x")(function) is function
    assert callable(registry.get("x"))
    assert registry.snapshot().get("x").label
    assert registry.snapshot().get("x").place


def test_a_static_method_can_be_registered_inside_of_its_class(registry: Registry) -> None:
    class Tools:
        @registry.register("inner")
        @staticmethod
        def inner(number: int) -> int:
            return number + 1

        @staticmethod
        @registry.register("outer")
        def outer(number: int) -> int:
            return number + 2

    assert (registry.get("inner")(1), registry.get("outer")(1)) == (2, 3)
    assert (Tools.inner(1), Tools.outer(1)) == (2, 3)


def test_coroutine_functions_can_be_registered(registry: Registry) -> None:
    @registry.register("x")
    async def give() -> int:
        return 1

    assert registry.get("x") is give


def _generate() -> Iterator[int]:
    yield 1


async def _generate_later() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (3, "cannot be called"),
        (None, "cannot be called"),
        ("name", "cannot be called"),
        (Greeter, "a class is no function"),
        (Greeter.method, "a method needs its object"),
        (Greeter.__dict__["of_class"], "a class method has no class"),
        (_generate, "it yields"),
        (_generate_later, "it yields"),
        (partial(_generate), "it yields"),
    ],
)
def test_what_is_no_function_is_refused(registry: Registry, function: Any, reason: str) -> None:
    with pytest.raises(ConfigurationError, match=reason) as caught:
        registry.register_function("x", function)
    assert caught.value.code == "task-function-invalid"
    assert registry.list_all() == []


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("type", "ml_tran"),
        ("type", None),
        ("executor", "proces"),
        ("on_code_change", "wait"),
        ("timeout", 0),
        ("timeout", -1.0),
        ("timeout", float("inf")),
        ("timeout", True),
        ("timeout", "3"),
        ("timeout", [3]),
        ("tags", "climate"),
        ("tags", [1]),
        ("tags", 3),
        ("queue", ""),
        ("queue", 1),
        ("version", 2),
        ("retry", 3),
    ],
)
def test_options_that_make_no_sense_are_refused(registry: Registry, option: str, value: Any) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(ConfigurationError) as caught:
        registry.register_function("x", download, **options)
    assert caught.value.code == "task-options-invalid"
    assert caught.value.extensions["field"] == option


@pytest.mark.parametrize("cache", [Cache(), 3])
@pytest.mark.parametrize(("type", "function"), [("ml_train", train), ("ml_predict", predict)])
def test_results_of_models_are_not_kept(registry: Registry, type: str, function: Any, cache: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"no effect.*leave out cache") as caught:
        registry.register_function("x", function, type=type, cache=cache)
    assert (caught.value.code, caught.value.extensions["field"]) == ("task-options-invalid", "cache")


def test_options_that_are_nearly_right_are_answered_with_the_right_ones(registry: Registry) -> None:
    wrong: Any = {"type": "ml_tran"}
    with pytest.raises(ConfigurationError, match="did you mean 'ml_train'"):
        registry.register_function("x", download, **wrong)
    unknown: Any = {"time_out": 3}
    with pytest.raises(TypeError, match="unknown option 'time_out'; did you mean 'timeout'"):
        registry.register("x", **unknown)(download)


def test_a_snapshot_does_not_change(registry: Registry) -> None:
    registry.register_function("a", download)
    snapshot = registry.snapshot()
    registry.register_function("b", upload)
    registry.register_function("ewars", train, type="ml_train")
    assert snapshot.names() == ("a",)
    assert len(snapshot) == 1
    later = registry.snapshot()
    assert [each.key for each in later] == [("ml_train", "ewars"), ("task", "a"), ("task", "b")]
    assert ("task", "b") in later
    assert later["task", "b"].function is upload
    assert later.find("c") is None
    registry.clear()
    assert later.names() == ("a", "b")


def test_threads_register_without_losing_anything(registry: Registry) -> None:
    start = threading.Barrier(8)

    def register(thread: int) -> None:
        start.wait(10)
        for number in range(50):
            registry.register_function(f"{thread}/{number}", download)
            registry.list_all()

    threads = [threading.Thread(target=register, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(registry.list_all()) == 400


def test_registries_share_nothing() -> None:
    registries = [Registry() for _ in range(32)]
    for number, registry in enumerate(registries):
        registry.register_function(str(number), download)
    assert [registry.list_all() for registry in registries] == [[str(number)] for number in range(32)]
