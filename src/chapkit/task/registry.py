"""Functions make themselves known when their module is imported; a service takes a snapshot when it is built."""

import threading
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar, Unpack

from chapkit.task.catalogue import Catalogue
from chapkit.task.declaration import TASK, Declaration, FunctionOptions, check_name
from chapkit.task.errors import TaskFunctionDuplicateError
from chapkit.task.signatures import Function

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


class Registry:
    """Declarations that decorators collect; it holds nothing of a running service and may be used by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._declarations: dict[tuple[str, str], Declaration] = {}

    def register(self, name: str, **options: Unpack[FunctionOptions]) -> Callable[[FunctionT], FunctionT]:
        """Return a decorator that makes a function known under `name` and leaves it as it is."""
        check_name(name)

        def decorate(function: FunctionT) -> FunctionT:
            self.register_function(name, function, **options)
            return function

        return decorate

    def register_function(self, name: str, function: Function, **options: Unpack[FunctionOptions]) -> None:
        """Make a function known under `name`; the same one of the same file again takes the place of the first.

        Raises:
            TaskFunctionDuplicateError: Another function has this type and name (`task-function-duplicate`).
            ConfigurationError: `task-name-invalid`, `task-function-invalid` or `task-options-invalid`.
        """
        declaration = Declaration.of(name, function, **options)
        with self._lock:
            first = self._declarations.get(declaration.key)
            if first is not None and not first.is_again(declaration):
                raise TaskFunctionDuplicateError(name, declaration.type, _described(first), _described(declaration))
            self._declarations[declaration.key] = declaration

    def get(self, name: str, type: str = TASK) -> Function:
        """Return the function.

        Raises:
            TaskFunctionUnknownError: None has this type and name (`task-function-unknown`).
        """
        with self._lock:
            found = self._declarations.get((type, name))
        return (found or self.snapshot().get(name, type)).function

    def list_all(self, type: str = TASK) -> list[str]:
        """Return the names of a type, sorted."""
        return list(self.snapshot().names(type))

    def clear(self) -> None:
        """Forget every function; services that were built keep theirs."""
        with self._lock:
            self._declarations.clear()

    def namespace(self, prefix: str) -> "Namespace":
        """Return what registers `download` as `climate/download`, if the prefix is `climate`."""
        return Namespace(self, prefix)

    def snapshot(self) -> Catalogue:
        """Return the functions of now; what is registered later is not among them."""
        with self._lock:
            return Catalogue(self._declarations.values())


class Namespace:
    """The functions below a prefix, by the rest of their names."""

    def __init__(self, registry: Registry, prefix: str) -> None:
        check_name(prefix)
        self._registry = registry
        self.prefix = prefix

    def register(self, name: str, **options: Unpack[FunctionOptions]) -> Callable[[FunctionT], FunctionT]:
        """Return a decorator that makes a function known under `name` below the prefix."""
        check_name(name)
        return self._registry.register(self._full(name), **options)

    def register_function(self, name: str, function: Function, **options: Unpack[FunctionOptions]) -> None:
        """Make a function known under `name` below the prefix."""
        check_name(name)
        self._registry.register_function(self._full(name), function, **options)

    def get(self, name: str, type: str = TASK) -> Function:
        """Return the function with this name below the prefix.

        Raises:
            TaskFunctionUnknownError: There is none (`task-function-unknown`).
        """
        return self._registry.get(self._full(name), type)

    def list_all(self, type: str = TASK) -> list[str]:
        """Return the names below the prefix, without it, sorted."""
        start = f"{self.prefix}/"
        return [name.removeprefix(start) for name in self._registry.list_all(type) if name.startswith(start)]

    def namespace(self, prefix: str) -> "Namespace":
        """Return a namespace below this one."""
        check_name(prefix)
        return Namespace(self._registry, self._full(prefix))

    def _full(self, name: str) -> str:
        return f"{self.prefix}/{name}"


class TaskRegistry:
    """The registry that modules share; a service can be given one of its own."""

    default: ClassVar[Registry] = Registry()

    @classmethod
    def register(cls, name: str, **options: Unpack[FunctionOptions]) -> Callable[[FunctionT], FunctionT]:
        """Return a decorator that makes a function known under `name` and leaves it as it is."""
        return cls.default.register(name, **options)

    @classmethod
    def register_function(cls, name: str, function: Function, **options: Unpack[FunctionOptions]) -> None:
        """Make a function known under `name`; the same one of the same file again takes the place of the first."""
        cls.default.register_function(name, function, **options)

    @classmethod
    def get(cls, name: str, type: str = TASK) -> Function:
        """Return the function.

        Raises:
            TaskFunctionUnknownError: None has this type and name (`task-function-unknown`).
        """
        return cls.default.get(name, type)

    @classmethod
    def list_all(cls, type: str = TASK) -> list[str]:
        """Return the names of a type, sorted."""
        return cls.default.list_all(type)

    @classmethod
    def clear(cls) -> None:
        """Forget every function; services that were built keep theirs."""
        cls.default.clear()

    @classmethod
    def namespace(cls, prefix: str) -> Namespace:
        """Return what registers `download` as `climate/download`, if the prefix is `climate`."""
        return cls.default.namespace(prefix)

    @classmethod
    def snapshot(cls) -> Catalogue:
        """Return the functions of now; what is registered later is not among them."""
        return cls.default.snapshot()


def _described(declaration: Declaration) -> str:
    return f"{declaration.label} ({declaration.place})"
