"""How a route gets at the service and at its unit of work."""

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Annotated, Any, TypeVar, cast

from fastapi import Depends
from starlette.requests import HTTPConnection

from chapkit.core.services import Key, Scope, Scopes, Services, Wanted

T = TypeVar("T")
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


def services_of(connection: HTTPConnection) -> Services:
    """Return the things of the application that serves this request."""
    return cast("Services", connection.app.state.services)


async def get_services(connection: HTTPConnection) -> Services:
    """Return the things of the application, as a dependency."""
    return services_of(connection)


def scopes_of(connection: HTTPConnection) -> Scopes:
    """Return what opens units of work, for answers that outlive the request's own (streams)."""
    return services_of(connection).scope


async def get_scope(connection: HTTPConnection) -> AsyncGenerator[Scope]:
    """Open the request's unit of work: a reader for GET and HEAD, else a writer; committed before the answer."""
    scopes = scopes_of(connection)
    safe = connection.scope.get("method", "GET") in _SAFE_METHODS
    async with scopes.read() if safe else scopes.write() as scope:
        yield scope


RequestScope = Annotated[Scope, Depends(get_scope, scope="function")]
RequestServices = Annotated[Services, Depends(get_services)]


def provided(wanted: Wanted[T]) -> Callable[..., Coroutine[Any, Any, T]]:
    """Return a dependency that hands out the manager (or anything else) of the request's unit of work."""
    key: Key[Any] = wanted if isinstance(wanted, Key) else Key(wanted)

    # A coroutine, because FastAPI sends plain functions through a thread.
    async def provide(scope: RequestScope) -> Any:
        return scope.get(key)

    return provide
