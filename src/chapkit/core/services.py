"""What one application owns, and the units of work in it."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar, cast

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.database import Database
from chapkit.core.database_errors import translate
from chapkit.core.durability import skip_sync
from chapkit.core.errors import ConfigurationError
from chapkit.core.events import Event, EventHandler
from chapkit.core.faults import reach
from chapkit.core.transactions import begin_write, bind_scope, require_writer

T = TypeVar("T")


@dataclass(frozen=True)
class Key(Generic[T]):
    """Names one of several things of the same type."""

    type: type[T]
    name: str = ""


Wanted: TypeAlias = type[T] | Key[T]
ScopedFactory: TypeAlias = Callable[["Scope"], Any]


class Services:
    """The things of one application; another application in the process has its own."""

    def __init__(self) -> None:
        self._things: dict[Key[Any], Any] = {}
        self._factories: dict[Key[Any], ScopedFactory] = {}
        self._handlers: list[EventHandler] = []

    def add(self, wanted: Wanted[T], thing: T) -> None:
        """Keep a thing for as long as the application runs."""
        self._things[_key(wanted)] = thing

    def scoped(self, wanted: Wanted[T], factory: Callable[["Scope"], T]) -> None:
        """Say how a thing is made that lives for one unit of work."""
        self._factories[_key(wanted)] = factory
        # The first of a type answers for the type alone.
        self._factories.setdefault(Key(_key(wanted).type), factory)

    def get(self, wanted: Wanted[T]) -> T:
        """Return a thing of the application.

        Raises:
            ConfigurationError: No feature of this service brings it (`service-missing`).
        """
        key = _key(wanted)
        if key not in self._things:
            raise _missing(key)
        return cast("T", self._things[key])

    def find(self, wanted: Wanted[T]) -> T | None:
        """Return a thing of the application, or `None`."""
        return cast("T | None", self._things.get(_key(wanted)))

    def factory(self, wanted: Wanted[T]) -> Callable[["Scope"], T]:
        """Return how a scoped thing is made.

        Raises:
            ConfigurationError: No feature of this service brings it (`service-missing`).
        """
        key = _key(wanted)
        if key not in self._factories:
            raise _missing(key)
        return self._factories[key]

    def has_scoped(self, wanted: Wanted[Any]) -> bool:
        """Tell whether some feature makes such a thing."""
        return _key(wanted) in self._factories

    def on_event(self, handler: EventHandler) -> None:
        """Call `handler` for every entity that is saved or deleted, inside of the transaction."""
        self._handlers.append(handler)

    @property
    def handlers(self) -> tuple[EventHandler, ...]:
        """Those who want to hear of events."""
        return tuple(self._handlers)

    @property
    def scope(self) -> "Scopes":
        """Opens units of work."""
        return Scopes(self)


class Scopes:
    """Opens units of work: `async with services.scope.write() as scope: ...`."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def read(self, *, scan: bool = False) -> "ScopeContext":
        """Open a unit of work that only reads; `scan` keeps a long read off the event loop."""
        return ScopeContext(Scope(self._services, write=False, scan=scan))

    def write(self, *, durable: bool = True) -> "ScopeContext":
        """Open a unit of work that commits when the block ends and rolls back when it raises.

        Args:
            durable: Wait for the disk, where the database promises to survive a power cut; false for what nobody
                was told of.
        """
        return ScopeContext(Scope(self._services, write=True, durable=durable))


class Scope:
    """One unit of work: one session, one transaction, and the managers that share them."""

    def __init__(self, services: Services, *, write: bool, scan: bool = False, durable: bool = True) -> None:
        self.services = services
        self.writes = write
        self._durable = durable
        self._scan = scan
        self._session: AsyncSession | None = None
        self._things: dict[Any, Any] = {}
        self._after_commit: list[Callable[[], Awaitable[None] | None]] = []

    @property
    def session(self) -> AsyncSession:
        """The session, opened when it is first asked for."""
        if self._session is None:
            database = self.services.get(Database)
            self._session = database.open_session(write=self.writes, scan=self._scan)
            bind_scope(self._session, self)
            if not self._durable:
                skip_sync(self._session)
        return self._session

    def get(self, wanted: Wanted[T]) -> T:
        """Return the thing of this unit of work, made when it is first asked for, or one of the application."""
        key = _key(wanted)
        if key not in self._things:
            if self.services.has_scoped(key):
                self._things[key] = self.services.factory(key)(self)
            else:
                return self.services.get(key)
        return cast("T", self._things[key])

    def after_commit(self, callback: Callable[[], Awaitable[None] | None]) -> None:
        """Call `callback` once the transaction is committed; never when it is rolled back."""
        self._after_commit.append(callback)

    async def emit(self, event: Event) -> None:
        """Tell the handlers of the application, inside of the transaction."""
        for handler in self.services.handlers:
            await handler(event, self)

    @asynccontextmanager
    async def savepoint(self) -> AsyncGenerator[None]:
        """Undo what happens inside the block, and nothing else, when it raises."""
        await begin_write(self.session)
        async with self.session.begin_nested():
            yield

    async def close(self, error: BaseException | None) -> None:
        """Commit, or roll back after an error, give the connection back, tell those who wait for the commit."""
        if self._session is None:
            await self._run_callbacks(error)
            return
        try:
            if error is None and (self._session.new or self._session.dirty or self._session.deleted):
                require_writer(self._session)
            if error is None and self.writes:
                reach("scope.before-commit")
                await self._session.commit()
                reach("scope.after-commit")
        finally:
            await self.services.get(Database).close_session(self._session)
        await self._run_callbacks(error)

    async def _run_callbacks(self, error: BaseException | None) -> None:
        if error is None:
            for callback in self._after_commit:
                outcome = callback()
                if outcome is not None:
                    await outcome


class ScopeContext:
    """Opens a scope on entry and ends its transaction on exit."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __aenter__(self) -> Scope:
        return self._scope

    async def __aexit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        try:
            await self._scope.close(error)
        except SQLAlchemyError as failure:
            raise translate(failure) from failure
        if isinstance(error, SQLAlchemyError):
            raise translate(error) from error


def _key(wanted: Wanted[T]) -> Key[T]:
    return wanted if isinstance(wanted, Key) else Key(wanted)


def _missing(key: Key[Any]) -> ConfigurationError:
    name = f" {key.name!r}" if key.name else ""
    return ConfigurationError(
        f"No feature of this service brings {key.type.__name__}{name}; add it with the builder's with_...() method",
        code="service-missing",
        expected=key.type.__name__,
    )
