"""The short form of a runner: two decorated functions with one name."""

from collections.abc import Callable
from typing import Any, TypeVar, Unpack

from chapkit.core.errors import ConfigurationError
from chapkit.task.declaration import FunctionOptions
from chapkit.task.registry import TaskRegistry

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def train(name: str, **options: Unpack[FunctionOptions]) -> Callable[[FunctionT], FunctionT]:
    """Register a function that trains: `train(config, data, geo)`; the last parameter may be missing.

    Args:
        name: What the runner is called by `FunctionalModelRunner.from_registry(name)`.
        options: As `TaskRegistry.register` takes them: `executor`, `queue`, `timeout`, `retry`, `tags`, `version`.

    Raises:
        ConfigurationError: The function takes other parameters (`runner-signature-invalid`), or an option makes no
            sense (`task-options-invalid`).
    """
    _check_type("train", options)
    options["type"] = "ml_train"
    return TaskRegistry.register(name, **options)


def predict(name: str, **options: Unpack[FunctionOptions]) -> Callable[[FunctionT], FunctionT]:
    """Register a function that predicts: `predict(config, model, historic, future, geo)`; the last one may be missing.

    Args:
        name: What the runner is called by `FunctionalModelRunner.from_registry(name)`.
        options: As `TaskRegistry.register` takes them: `executor`, `queue`, `timeout`, `retry`, `tags`, `version`.

    Raises:
        ConfigurationError: The function takes other parameters (`runner-signature-invalid`), or an option makes no
            sense (`task-options-invalid`).
    """
    _check_type("predict", options)
    options["type"] = "ml_predict"
    return TaskRegistry.register(name, **options)


def _check_type(decorator: str, options: FunctionOptions) -> None:
    type = options.get("type", f"ml_{decorator}")
    if type != f"ml_{decorator}":
        raise ConfigurationError(
            f"@{decorator}(...) says itself what its function is for; leave out type={type!r}, or write "
            f"@TaskRegistry.register(..., type={type!r})",
            code="task-options-invalid",
            field="type",
            found=str(type),
            expected=[f"ml_{decorator}"],
        )
