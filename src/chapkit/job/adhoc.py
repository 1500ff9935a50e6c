"""Callables as jobs of this process: what the first release's scheduler offered."""

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeAlias

from chapkit.core.ids import ULID
from chapkit.job.context import JobContext
from chapkit.job.ports import JobHandler, JobOutcome

JobTarget: TypeAlias = Callable[..., Any] | Awaitable[Any]
_KEPT = 1000
"""Results and errors that are kept in memory; the oldest go first."""


@dataclass(frozen=True)
class _Call:
    target: JobTarget
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    context: contextvars.Context

    async def run(self, context: JobContext) -> Any:
        if not inspect.isawaitable(self.target):
            return await context.run_user_function(self.target, *self.args, **self.kwargs)
        if self.args or self.kwargs:
            self.drop()
            raise TypeError("Args/kwargs not supported for an awaitable; hand over the function instead")
        awaitable = self.target
        if inspect.iscoroutine(awaitable):
            return await context.user_code.loop.run(context.step_through, lambda: awaitable)
        # A future belongs to the loop that made it.
        return await awaitable

    def drop(self) -> None:
        if inspect.iscoroutine(self.target):
            self.target.close()


class AdHocHandler(JobHandler):
    """Runs callables that are held in memory."""

    name: ClassVar[str] = "chapkit.ad-hoc"

    def __init__(self) -> None:
        self._calls: dict[ULID, _Call] = {}
        self._results: dict[ULID, Any] = {}
        self._errors: dict[ULID, Exception] = {}

    def hold(self, job_id: ULID, target: JobTarget, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Keep what the job will call, with the context variables of now."""
        self._calls[job_id] = _Call(target, args, kwargs, contextvars.copy_context())

    def forget(self, job_id: ULID) -> None:
        """Drop everything that is held of the job."""
        call = self._calls.pop(job_id, None)
        if call is not None:
            call.drop()
        self._results.pop(job_id, None)
        self._errors.pop(job_id, None)

    def forget_calls(self) -> None:
        """Drop what was not called."""
        for job_id in list(self._calls):
            self.forget(job_id)

    def has_result(self, job_id: ULID) -> bool:
        """Tell whether the result is still in memory."""
        return job_id in self._results

    def result(self, job_id: ULID) -> Any:
        """Return what the callable returned."""
        return self._results[job_id]

    def error(self, job_id: ULID) -> Exception | None:
        """Return what the callable raised."""
        return self._errors.get(job_id)

    async def execute(self, context: JobContext) -> JobOutcome:
        """Call it where it holds up nobody."""
        call = self._calls.pop(context.job_id)
        task = asyncio.create_task(call.run(context), context=call.context)
        try:
            result = await task
        except Exception as error:
            _keep(self._errors, context.job_id, error)
            raise
        _keep(self._results, context.job_id, result)
        return JobOutcome(artifact_id=result if isinstance(result, ULID) else None)


def name_of(target: JobTarget) -> str:
    """Return what a callable is called in its record."""
    return str(getattr(target, "__qualname__", None) or type(target).__qualname__)


def _keep(memory: dict[ULID, Any], job_id: ULID, value: Any) -> None:
    memory[job_id] = value
    while len(memory) > _KEPT:
        del memory[next(iter(memory))]
