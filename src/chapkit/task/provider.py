"""How one thing is made that functions can ask for."""

import inspect
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from chapkit.task.signatures import NOTHING

ProviderScope: TypeAlias = Literal["app", "job"]
"""`app`: one for the service, made when it is first asked for. `job`: one for each run."""
APP: Final = "app"
JOB: Final = "job"


@dataclass(frozen=True, eq=False)
class Provider:
    """Makes things of one type, and closes them."""

    kind: Any
    """The type that it is asked for by."""
    factory: Callable[..., Any] | None = None
    value: Any = NOTHING
    """The thing itself, if it need not be made."""
    scope: ProviderScope = JOB
    needs_loop: bool = False
    """Whether it can do nothing for a function that is no `async def`."""
    gives: Any = None
    """The class that is really made, where that is known to be a narrower one."""
    is_last: bool = False
    """Whether it is closed after all that are not; what commits must know whether the others have failed."""

    @property
    def is_value(self) -> bool:
        """Tell whether nothing has to be made or closed."""
        return self.value is not NOTHING

    @asynccontextmanager
    async def open(self, arguments: Mapping[str, Any]) -> AsyncGenerator[Any]:
        """Make the thing, and close it at the end of the block if the factory is a generator."""
        made = self.value if self.factory is None else self.factory(**arguments)
        if inspect.isasyncgen(made) or inspect.isgenerator(made):
            made = _managed(made)
        elif not self._manages:
            yield await made if inspect.isawaitable(made) else made
            return
        if isinstance(made, AbstractAsyncContextManager):
            async with made as thing:  # pyright: ignore[reportUnknownVariableType]
                yield thing
        else:
            with made as thing:
                yield thing

    @property
    def _manages(self) -> bool:
        """Tell whether the factory was made by `contextmanager` or `asynccontextmanager`."""
        written = inspect.unwrap(self.factory) if self.factory is not None else None
        return written is not self.factory and (
            inspect.isasyncgenfunction(written) or inspect.isgeneratorfunction(written)
        )


def _managed(generator: Any) -> AbstractAsyncContextManager[Any] | AbstractContextManager[Any]:
    if inspect.isasyncgen(generator):
        return asynccontextmanager(lambda: generator)()  # pyright: ignore[reportDeprecated]
    return contextmanager(lambda: generator)()
