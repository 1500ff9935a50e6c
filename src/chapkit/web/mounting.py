"""Put the routes of a router directly onto an application.

An included router is matched as a whole first and then once more by its own routes; on a service of some
thirty routes that costs as much as reading a row.
"""

import inspect
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute

_OPTIONS = tuple(name for name in inspect.signature(APIRoute).parameters if name not in ("path", "endpoint"))


def mount_routes(app: FastAPI, router: APIRouter) -> None:
    """Add every route of `router`, with its options, as if it had been declared on `app` itself."""
    for route in router.routes:
        app.router.routes.append(_on_app(app, route) if isinstance(route, APIRoute) else route)


def _on_app(app: FastAPI, route: APIRoute) -> APIRoute:
    options: dict[str, Any] = {name: getattr(route, name) for name in _OPTIONS if hasattr(route, name)}
    options["dependency_overrides_provider"] = app
    return type(route)(route.path, route.endpoint, **options)
