"""A registered function, ready to be called by a job."""

import inspect
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from anyio.to_thread import run_sync

from chapkit.job.context import JobContext
from chapkit.job.executors.importable import require_importable
from chapkit.job.executors.metering import metered
from chapkit.job.executors.thread import ThreadExecutor
from chapkit.job.executors.user_code import is_coroutine_function
from chapkit.task.declaration import Declaration
from chapkit.task.injection import Providers
from chapkit.task.loop_things import LoopThings
from chapkit.task.parameters import Parameters
from chapkit.task.plan import InjectionPlan
from chapkit.task.run import Run
from chapkit.task.serializers import Serializers
from chapkit.task.signatures import Function, read_signature

_PROCESS = "process"


@dataclass(frozen=True)
class BoundFunction:
    """A function with what this service knows of its parameters, read once when the service is built."""

    declaration: Declaration
    parameters: Parameters
    plan: InjectionPlan

    @classmethod
    def bind(cls, declaration: Declaration, providers: Providers, serializers: Serializers) -> "BoundFunction":
        """Return the function as this service can call it.

        Raises:
            ConfigurationError: It cannot; the text says what is missing.
        """
        function, executor = declaration.function, declaration.executor
        if executor == _PROCESS:
            require_importable(function)
        signature = read_signature(function)
        plan = providers.resolve(function, executor=executor, signature=signature)
        return cls(declaration, Parameters(signature, plan.names, serializers), plan)

    @property
    def function(self) -> Function:
        """The function itself."""
        return self.declaration.function

    async def call(self, context: JobContext, values: Mapping[str, Any] | None) -> Any:
        """Return what the function returns for these JSON values; await it on the event loop of the service.

        Raises:
            TaskParametersError: It cannot be called with them (`task-parameters-invalid`).
            Exception: What the function raises.
        """
        context.executor = self.declaration.executor
        things = context.services.get(LoopThings)
        run = Run(context.services, self.plan.function, things, context)
        if self.declaration.executor == _PROCESS:
            given = await run_sync(self.parameters.convert, values)
            arguments = self.parameters.arguments({**given, **self.plan.ready})
            return await context.run_user_function(self.function, *arguments.by_place, **arguments.by_name)
        if is_coroutine_function(self.function):
            return await context.run_user_function(self._await, run, values)
        if self.plan.is_ready:
            return await context.run_user_function(self._call, values, self.plan.ready)
        return await context.run_user_function(self._call_from_loop, run, context, values)

    def _call(self, values: Mapping[str, Any] | None, brought: Mapping[str, Any]) -> Any:
        # What is converted may run code of the user, too.
        arguments = self.parameters.arguments({**self.parameters.convert(values), **brought})
        return self.function(*arguments.by_place, **arguments.by_name)

    async def _await(self, run: Run, values: Mapping[str, Any] | None) -> Any:
        if self.plan.is_ready:
            return await self._call(values, self.plan.ready)
        async with self.plan.open(run) as brought:
            return await self._call(values, brought)

    async def _call_from_loop(self, run: Run, context: JobContext, values: Mapping[str, Any] | None) -> Any:
        """Call a plain function in a thread while what it is brought is held on the job loop."""
        threads = await run.things.get(ThreadExecutor, _open_threads)
        async with self.plan.open(run) as brought:
            result = await threads.run(metered, context.note_usage, self._call, values, brought)
            return await result if inspect.iscoroutine(result) else result


@asynccontextmanager
async def _open_threads() -> AsyncGenerator[ThreadExecutor]:
    threads = ThreadExecutor()
    try:
        yield threads
    finally:
        await threads.close()
