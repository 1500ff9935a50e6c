"""What users want done at start and at the end."""

from collections.abc import Awaitable, Callable, Iterable
from typing import TypeAlias

from fastapi import FastAPI

from chapkit.core.logging import describe_error, get_logger

Hook: TypeAlias = Callable[[FastAPI], Awaitable[None]]


async def run_shutdown_hooks(app: FastAPI, hooks: Iterable[Hook]) -> None:
    """Run every hook in the order of registration; one that raises keeps none of the others from running."""
    errors: list[Exception] = []
    for hook in hooks:
        try:
            await hook(app)
        except Exception as error:
            name = getattr(hook, "__name__", "?")
            get_logger("chapkit.api").error("shutdown_hook.failed", hook=name, **describe_error(error))
            errors.append(error)
    if errors:
        raise ExceptionGroup("shutdown hooks failed", errors)
