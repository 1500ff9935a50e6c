"""The short form of a runner: two decorated functions with one name."""

from collections.abc import Callable
from typing import Any, TypeVar

from chapkit.task.registry import TaskRegistry

FunctionT = TypeVar("FunctionT", bound=Callable[..., Any])


def train(name: str, **options: Any) -> Callable[[FunctionT], FunctionT]:
    """Register a function that trains: `train(config, data, geo)`; the last parameter may be missing.

    Args:
        name: What the runner is called by `FunctionalModelRunner.from_registry(name)`.
        options: As `TaskRegistry.register` takes them: `executor`, `queue`, `timeout`, `retry`, `tags`, `version`.

    Raises:
        ConfigurationError: The function takes other parameters (`runner-signature-invalid`).
    """
    return TaskRegistry.register(name, **{**options, "type": "ml_train"})


def predict(name: str, **options: Any) -> Callable[[FunctionT], FunctionT]:
    """Register a function that predicts: `predict(config, model, historic, future, geo)`; the last one may be missing.

    Args:
        name: What the runner is called by `FunctionalModelRunner.from_registry(name)`.
        options: As `TaskRegistry.register` takes them: `executor`, `queue`, `timeout`, `retry`, `tags`, `version`.

    Raises:
        ConfigurationError: The function takes other parameters (`runner-signature-invalid`).
    """
    return TaskRegistry.register(name, **{**options, "type": "ml_predict"})
