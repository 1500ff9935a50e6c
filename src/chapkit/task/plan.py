"""What a function is brought, decided when the service is built."""

from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from types import TracebackType
from typing import Any, Final

from chapkit.core.errors import ConfigurationError
from chapkit.core.logging import describe_error, get_logger
from chapkit.task.errors import full_name
from chapkit.task.provider import APP, Provider
from chapkit.task.run import Run

RUN: Final = Provider(kind=Run)
"""Stands for the run itself."""


@dataclass(frozen=True)
class Injection:
    """What one parameter is brought."""

    name: str
    provider: Provider | None
    """Nothing provides it, if there is none: then it is `None`."""
    narrowed: type[Any] | None = None
    """The class that it has to turn out to be."""
    has_default: bool = False
    is_optional: bool = False


@dataclass(frozen=True)
class Step:
    """One thing that is made, and what its factory is brought."""

    provider: Provider
    arguments: tuple[Injection, ...] = ()


@dataclass(frozen=True)
class InjectionPlan:
    """What a function is brought, and in which order that is made."""

    function: str
    place: str
    names: frozenset[str] = frozenset()
    """Parameters that users cannot send."""
    injections: tuple[Injection, ...] = ()
    steps: tuple[Step, ...] = ()

    @property
    def is_ready(self) -> bool:
        """Tell whether nothing has to be made or closed for a run."""
        return all(step.provider.is_value for step in self.steps) and not any(
            injection.provider is RUN for injection in self.injections
        )

    @cached_property
    def ready(self) -> Mapping[str, Any]:
        """What the function is brought, where nothing has to be made."""
        return dict(self._bring(self.injections, {step.provider: step.provider.value for step in self.steps}))

    @asynccontextmanager
    async def open(self, run: Run) -> AsyncGenerator[dict[str, Any]]:
        """Make what the function is brought; close it at the end of the block, the last first, whatever happens.

        What the block raises is raised again, whatever a generator makes of it.
        """
        made: dict[Provider, Any] = {RUN: run}
        stack = AsyncExitStack()
        try:
            with run.things.in_use():
                try:
                    for step in self.steps:
                        made[step.provider] = await self._make(step, made, run, stack)
                    arguments = dict(self._bring(self.injections, made))
                    yield arguments
                except BaseException as error:
                    await self._close_after(stack, error)
                    raise
                await stack.aclose()
        finally:
            made.clear()

    async def _make(self, step: Step, made: Mapping[Provider, Any], run: Run, stack: AsyncExitStack) -> Any:
        provider = step.provider
        try:
            arguments = dict(self._bring(step.arguments, made))
            if provider.scope == APP and not provider.is_value:
                return await run.things.get(provider, lambda: provider.open(arguments))
            opened = provider.open(arguments)
            thing = await opened.__aenter__()
        except Exception as error:
            error.add_note(f"while {full_name(provider.kind)} was made for {self.function} ({self.place})")
            raise

        async def close(kind: Any, error: BaseException | None, traceback: TracebackType | None) -> bool:
            await opened.__aexit__(kind, error, traceback)
            # Nobody may hide the error from those that close later: they would commit.
            return False

        stack.push_async_exit(close)
        return thing

    def _bring(self, injections: Sequence[Injection], made: Mapping[Provider, Any]) -> Iterator[tuple[str, Any]]:
        for injection in injections:
            thing = None if injection.provider is None else made[injection.provider]
            if injection.narrowed is None or isinstance(thing, injection.narrowed):
                yield injection.name, thing
            elif injection.has_default:
                continue
            elif injection.is_optional:
                yield injection.name, None
            else:
                raise ConfigurationError(
                    f"The parameter '{injection.name}' of {self.function} ({self.place}) wants "
                    f"{full_name(injection.narrowed)}, but this service has {full_name(type(thing))}; "
                    "annotate it with a class that is there, or give it a default",
                    code="provider-mismatch",
                    function=self.function,
                    parameter=injection.name,
                    found=full_name(type(thing)),
                    expected=full_name(injection.narrowed),
                )

    async def _close_after(self, stack: AsyncExitStack, error: BaseException) -> None:
        try:
            await stack.__aexit__(type(error), error, error.__traceback__)
        except BaseException as second:
            if second is error or second.__cause__ is error:
                return
            # The first one says what went wrong.
            get_logger("chapkit.task").warning(
                "task.not_closed", function=self.function, error=str(second), **describe_error(second)
            )
            if not isinstance(second, Exception):
                raise
