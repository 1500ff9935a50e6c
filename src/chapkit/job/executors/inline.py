"""In the caller: for our own functions and for tests."""

import inspect
from collections.abc import Callable
from typing import Any

from chapkit.job.executors.containment import contained


class InlineExecutor:
    """Calls the function where it stands."""

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Return what the function returns, awaited where that is possible."""
        result = contained(function, *args, **kwargs)
        return await result if inspect.isawaitable(result) else result

    async def close(self) -> None:
        """Do nothing: nothing is running."""
