"""Find the application that a command is told to work with."""

import importlib
import inspect
import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from types import ModuleType
from typing import Any

from fastapi import FastAPI

from chapkit.api.builder import ServiceBuilder
from chapkit.cli.errors import CommandLineError
from chapkit.core.services import Services

_DEFAULT = "app"


def load_app(target: str) -> FastAPI:
    """Return the application that `module:attribute` names: itself, a builder, or a function that returns one of them.

    Modules are looked for in the current folder first.

    Raises:
        CommandLineError: There is no such thing, or chapkit has not built it.
    """
    module_name, _, attribute = target.partition(":")
    if not all(part.isidentifier() for part in module_name.split(".")) or module_name.endswith(".py"):
        raise CommandLineError(
            f"{target!r} names no application; write MODULE:ATTRIBUTE, as in 'service:app' for the app in service.py",
            code="app-target-invalid",
            found=target,
        )
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    module = _import(module_name)
    return _checked(_built(_attribute(module, attribute or _DEFAULT)), target)


def services_of(app: FastAPI) -> Services | None:
    """Return what the application owns; `None` if chapkit has not built it."""
    services: object = getattr(app.state, "services", None)
    return services if isinstance(services, Services) else None


def _import(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            # The module is there, and something that it imports is not: its own traceback tells more.
            raise
        raise CommandLineError(
            f"There is no module {error.name!r} in {os.getcwd()} or among the installed packages; "
            "call chapkit in the folder of your service",
            code="app-module-missing",
            found=error.name,
        ) from error


def _attribute(module: ModuleType, path: str) -> Any:
    thing: Any = module
    for name in path.split("."):
        members: Mapping[str, Any] = getattr(thing, "__dict__", {})
        try:
            thing = getattr(thing, name)
        except AttributeError as error:
            apps = [key for key, value in members.items() if _is_app(value)]
            like = get_close_matches(name, apps, 1) or apps or get_close_matches(name, members, 1)
            raise CommandLineError(
                f"{module.__name__} has no {path!r}" + (f"; did you mean {like[0]!r}?" if like else ""),
                code="app-attribute-missing",
                found=path,
                did_you_mean=like[:1],
            ) from error
    return thing


def _is_app(thing: object) -> bool:
    return isinstance(thing, FastAPI | ServiceBuilder)


def _built(thing: Any) -> Any:
    if not _is_app(thing) and _is_factory(thing):
        thing = thing()
    return thing.build() if isinstance(thing, ServiceBuilder) else thing


def _is_factory(thing: Any) -> bool:
    if not inspect.isfunction(thing) or inspect.iscoroutinefunction(thing):
        return False
    free = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(thing).parameters.values()
    return all(item.default is not item.empty or item.kind in free for item in parameters)


def _checked(thing: Any, target: str) -> FastAPI:
    if not isinstance(thing, FastAPI) or services_of(thing) is None:
        raise CommandLineError(
            f"{target} is no service of chapkit, but {type(thing).__name__}; "
            "name what ServiceBuilder(...).build() returned, the builder, or a function that returns one of them",
            code="app-not-chapkit",
            found=type(thing).__name__,
        )
    return thing
