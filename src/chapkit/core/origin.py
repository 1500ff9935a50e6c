"""Who has asked for the work at hand, and which trace it belongs to."""

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any

REQUESTER = "requester"
TRACE_PARENT = "traceparent"
_NOBODY: Mapping[str, str] = MappingProxyType({})
_ORIGIN: ContextVar[Mapping[str, str]] = ContextVar("chapkit_origin", default=_NOBODY)


def current_origin() -> Mapping[str, str]:
    """Return `requester` and `traceparent` of what is being done, as far as they are known."""
    return _ORIGIN.get()


@contextmanager
def working_on_behalf(origin: Mapping[str, Any]) -> Generator[None]:
    """Let `current_origin` return these values inside of the block, and in the tasks that are started there."""
    token = _ORIGIN.set({name: str(origin[name]) for name in (REQUESTER, TRACE_PARENT) if origin.get(name)})
    try:
        yield
    finally:
        _ORIGIN.reset(token)
