"""Things that belong to the event loop of the service, for functions on another one."""

import asyncio
import inspect
from functools import wraps
from typing import Any, TypeVar, cast

from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.services import Scope

T = TypeVar("T")
_OF_THIS_LOOP = (Scope, AsyncSession)


def across_loops(thing: T, home: asyncio.AbstractEventLoop) -> T:
    """Return the thing with coroutine methods that run on its own event loop, from whatever loop they are awaited.

    A call that brings a unit of work or a session stays where that is.
    """
    return cast("T", _Bridge(thing, home))


class _Bridge:
    def __init__(self, thing: Any, home: asyncio.AbstractEventLoop) -> None:
        self.__thing = thing
        self.__home = home

    @property  # type: ignore[misc]  # only read
    def __class__(self) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        # Nobody needs to know that there is something in between.
        kind: Any = type(self.__thing)  # pyright: ignore[reportUnknownVariableType]
        return kind

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.__thing, name)
        return _carried(found, self.__home) if inspect.iscoroutinefunction(found) else found


def _carried(method: Any, home: asyncio.AbstractEventLoop) -> Any:
    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        stays = any(isinstance(each, _OF_THIS_LOOP) for each in (*args, *kwargs.values()))
        if stays or asyncio.get_running_loop() is home:
            return await method(*args, **kwargs)
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(method(*args, **kwargs), home))

    return call
