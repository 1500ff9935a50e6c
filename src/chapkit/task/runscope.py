"""The unit of work of a run: on the event loop on which the function runs, committed when it returns."""

import asyncio
import copy
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.database import Database
from chapkit.core.durability import skip_sync
from chapkit.core.errors import ConfigurationError
from chapkit.core.events import Event, EventHandler
from chapkit.core.logging import get_logger
from chapkit.core.services import Scope, ScopeContext, ScopedFactory, Scopes, Services, T, Wanted
from chapkit.core.transactions import bind_scope
from chapkit.job.context import JobContext
from chapkit.job.current import RunningJob
from chapkit.task.injection import Providers
from chapkit.task.loop_database import LoopDatabase, open_on_this_loop
from chapkit.task.run import Run
from chapkit.task.write_watch import WriteWatch


class RunServices(Services):
    """The things of the application as a run sees them: with the database of its own event loop."""

    def __init__(self, run: Run, database: LoopDatabase) -> None:
        super().__init__()
        self.run = run
        self.database = database
        self.add(Database, database)

    def get(self, wanted: Wanted[T]) -> T:
        """Return a thing of the application.

        Raises:
            ConfigurationError: No feature of this service brings it (`service-missing`).
        """
        own = super().find(wanted)
        return self.run.services.get(wanted) if own is None else own

    def find(self, wanted: Wanted[T]) -> T | None:
        """Return a thing of the application, or `None`."""
        own = super().find(wanted)
        return self.run.services.find(wanted) if own is None else own

    def factory(self, wanted: Wanted[T]) -> ScopedFactory:
        """Return how a scoped thing is made."""
        return self.run.services.factory(wanted)

    def has_scoped(self, wanted: Wanted[Any]) -> bool:
        """Tell whether some feature makes such a thing."""
        return self.run.services.has_scoped(wanted)

    @property
    def handlers(self) -> tuple[EventHandler, ...]:
        """Those who want to hear of events."""
        return self.run.services.handlers

    @property
    def scope(self) -> Scopes:
        """Opens units of work on the event loop of the run."""
        return _RunScopes(self)


class RunScope(Scope):
    """A unit of work that becomes a writer when it first writes, and tells of its end on the loop of the service."""

    services: RunServices

    def __init__(self, services: RunServices, *, write: bool, scan: bool = False, durable: bool = True) -> None:
        super().__init__(services, write=write, scan=scan, durable=durable)
        self._watch = WriteWatch(services.run.function)

    @property
    def session(self) -> AsyncSession:
        """The session, opened when it is first asked for."""
        if self._session is None and self.writes:
            self._session = self.services.database.open_run_session(self._watch)
            intent: Any = _Intent(self, self._watch)
            bind_scope(self._session, intent)
            if not self._durable:
                skip_sync(self._session)
        return super().session

    def after_commit(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call `callback` on the event loop of the service, once the transaction is committed."""
        super().after_commit(lambda: _call_at_home(self.services.run, callback))

    async def close(self, error: BaseException | None) -> None:
        """Commit, or roll back after an error, give the connection back, tell those who wait for the commit."""
        try:
            await super().close(error)
        finally:
            self._watch.end()


class _RunScopes(Scopes):
    def __init__(self, services: RunServices) -> None:
        super().__init__(services)
        self._run_services = services

    def read(self, *, scan: bool = False) -> ScopeContext:
        return ScopeContext(RunScope(self._run_services, write=False, scan=scan))

    def write(self, *, durable: bool = True) -> ScopeContext:
        return ScopeContext(RunScope(self._run_services, write=True, durable=durable))


class _Intent:
    """Hears of it when a manager is about to write.

    What it reads for that must not be changed by others meanwhile, so the transaction begins with that reading.
    """

    def __init__(self, scope: Scope, watch: WriteWatch) -> None:
        self._scope = scope
        self._watch = watch

    @property
    def writes(self) -> bool:
        self._watch.intends = True
        return True

    async def emit(self, event: Event) -> None:
        await self._scope.emit(event)


def add_run_providers(providers: Providers, database: type[Database] | None = None) -> None:
    """Let functions ask for `AsyncSession`, `Scope`, `Database`, `JobContext` and `RunningJob`.

    Args:
        providers: Those of the service.
        database: The class of its database, if that is known when the service is built.
    """
    providers.add(RunServices, _services)
    providers.add(Database, _database, gives=database)
    providers.add(Scope, _scope, needs_loop=True, is_last=True)
    providers.add(AsyncSession, _session, needs_loop=True)
    providers.add(JobContext, _context)
    providers.add(RunningJob, _context)


async def _services(run: Run) -> RunServices:
    database = run.services.get(Database)
    return RunServices(run, await run.things.get(database, lambda: open_on_this_loop(database)))


def _database(services: RunServices) -> Database:
    return services.database


async def _scope(services: RunServices) -> AsyncGenerator[Scope]:
    async with services.scope.write() as scope:
        yield scope


def _session(scope: Scope) -> AsyncSession:
    return scope.session


def _context(run: Run, services: RunServices) -> JobContext:
    if run.context is None:
        raise ConfigurationError(f"{run.function} is run by no job, so there is no JobContext", code="no-running-job")
    context = copy.copy(run.context)
    # Units of work that it opens belong to the event loop of the run.
    context.services = services
    return context


async def _call_at_home(run: Run, callback: Callable[[], Awaitable[None] | None]) -> None:
    if asyncio.get_running_loop() is run.home:
        await _call(callback)
        return
    call = _call(callback)
    try:
        there = asyncio.run_coroutine_threadsafe(call, run.home)
    except RuntimeError as error:
        call.close()
        # The service has ended; the transaction is committed all the same.
        get_logger("chapkit.task").warning("task.not_told", function=run.function, error=str(error))
        return
    await asyncio.wrap_future(there)


async def _call(callback: Callable[[], Awaitable[None] | None]) -> None:
    outcome = callback()
    if outcome is not None:
        await outcome
