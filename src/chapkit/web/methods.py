"""What the method of a request says."""

from starlette.types import Scope

_READING = frozenset({"GET", "HEAD", "OPTIONS"})


def is_reading(scope: Scope) -> bool:
    """Tell whether a request only asks."""
    return scope["method"] in _READING
