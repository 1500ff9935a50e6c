"""Operations beside the generic ones: `/x/$name` and `/x/{entity_id}/$name`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


class OperationInfo(BaseModel):
    """One operation of a collection."""

    name: str
    method: str
    path: str
    summary: str | None = None


def add_operation(
    router: APIRouter, path: str, handler: Callable[..., Any], http_method: str, options: Mapping[str, Any]
) -> None:
    """Add a route in front of those that take an identifier, which would swallow it.

    Raises:
        ValueError: The method is none of those that a route can have.
    """
    method = http_method.upper()
    if method not in METHODS:
        raise ValueError(f"Unsupported HTTP method: {http_method}")
    given = {name: value for name, value in options.items() if value is not None}
    router.add_api_route(path, handler, methods=[method], **given)
    routes = router.routes
    added = routes.pop()
    position = next((i for i, route in enumerate(routes) if _takes_identifier(route, router.prefix)), len(routes))
    routes.insert(position, added)


def list_operations(routes: Sequence[Any]) -> list[OperationInfo]:
    """Return what a collection offers, in the order of its routes."""
    return [
        OperationInfo(
            name=route.path.rpartition("$")[2] if "$" in route.path else route.name,
            method=method,
            path=route.path,
            summary=route.summary,
        )
        for route in routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
    ]


def _takes_identifier(route: Any, prefix: str) -> bool:
    rest = str(getattr(route, "path", "")).removeprefix(prefix)
    return rest.startswith("/{") and "/$" not in rest
