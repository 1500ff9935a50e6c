"""A job system whose jobs call functions as tasks do."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

from chapkit.core.database import Database
from chapkit.core.services import Services
from chapkit.job.context import JobContext
from chapkit.job.ports import JobHandler, JobOutcome
from chapkit.job.schemas import JobRecord
from chapkit.task.calls import BoundFunction
from chapkit.task.injection import Providers
from chapkit.task.loop_things import LoopThings
from chapkit.task.registry import Registry
from chapkit.task.runscope import add_run_providers
from chapkit.task.serializers import Serializers
from tests.things import ThingManager
from tests.unit.job.parts import JobSystem, job_system


class Calling(JobHandler):
    """Calls the function that the payload names."""

    name: ClassVar[str] = "test.calling"

    def __init__(self) -> None:
        self.functions: dict[str, BoundFunction] = {}
        self.results: list[Any] = []

    async def execute(self, context: JobContext) -> JobOutcome:
        function = self.functions[context.payload["function"]]
        self.results.append(await function.call(context, context.payload.get("parameters")))
        return JobOutcome()


class FunctionSystem:
    """The parts of a running service that calls functions."""

    def __init__(self, system: JobSystem, handler: Calling) -> None:
        self.system = system
        self.services: Services = system.services
        self.things = LoopThings()
        self.providers = Providers(Serializers())
        self.handler = handler
        add_run_providers(self.providers, type(self.services.get(Database)))
        self.services.add(LoopThings, self.things)
        self.services.scoped(ThingManager, lambda scope: ThingManager(scope.session))

    async def submit(
        self, function: Callable[..., Any], executor: Any = None, timeout: float | None = None, **parameters: Any
    ) -> JobRecord:
        registry = Registry()
        name = f"{len(self.handler.functions)}"
        registry.register_function(name, function, executor=executor)
        declaration = registry.snapshot().get(name)
        self.handler.functions[name] = BoundFunction.bind(declaration, self.providers, Serializers())
        return await self.system.submit(Calling.name, {"function": name, "parameters": parameters}, timeout=timeout)

    async def run(self, function: Callable[..., Any], **options: Any) -> JobRecord:
        """Call the function in a job and return how that ended."""
        record = await self.submit(function, **options)
        return await self.system.finished(record.id)

    async def result(self, function: Callable[..., Any], executor: Any = None, **parameters: Any) -> Any:
        """Return what the function returns."""
        record = await self.submit(function, executor, **parameters)
        await self.system.completed(record.id)
        return self.handler.results[-1]


@asynccontextmanager
async def function_system(database: Database, **settings: Any) -> AsyncGenerator[FunctionSystem]:
    handler = Calling()
    async with job_system(database, handler, **settings) as system:
        functions = FunctionSystem(system, handler)
        try:
            yield functions
        finally:
            await functions.things.close()
