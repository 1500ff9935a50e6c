"""Which provider an annotation asks for."""

import sys
import types
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from chapkit.task.errors import full_name
from chapkit.task.provider import Provider

_PUBLIC: Final = frozenset(
    {*sys.stdlib_module_names, "numpy", "pandas", "pydantic", "pydantic_settings", "typing_extensions"}
)
"""Packages whose classes say nothing of what is meant: a text is no identifier, though one may be derived of it."""


@dataclass(frozen=True)
class Wanted:
    """What an annotation asks for, without what Pydantic or a type checker may find in it."""

    kind: Any
    is_optional: bool = False

    @classmethod
    def of(cls, annotation: Any) -> "Wanted":
        """Return what is inside of `Annotated`, `X | None` and names for types."""
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            return cls.of(typing.get_args(annotation)[0])
        if hasattr(annotation, "__value__"):
            return cls.of(annotation.__value__)
        if origin is typing.Union or origin is types.UnionType:
            parts = [part for part in typing.get_args(annotation) if part is not type(None)]
            if len(parts) == 1:
                return cls(cls.of(parts[0]).kind, True)
        return cls(annotation)

    @property
    def origin(self) -> Any:
        """The class, without its type arguments."""
        return typing.get_origin(self.kind) or self.kind


class AmbiguousError(LookupError):
    """Several providers fit equally well."""

    def __init__(self, candidates: Iterable[Provider]) -> None:
        self.names = sorted(full_name(each.kind) for each in candidates)
        super().__init__(", ".join(self.names))


def find_exact(wanted: Wanted, providers: Mapping[Any, Provider]) -> Provider | None:
    """Return the provider of the very type."""
    try:
        return providers.get(wanted.kind)
    except TypeError:
        # Not hashable, so that nobody can have registered it.
        return None


def find_related(wanted: Wanted, providers: Mapping[Any, Provider], *, is_json: bool) -> Provider | None:
    """Return the provider of a type that is derived of the wanted one, or else of one that it is derived of.

    The second may turn out to make something else; so where users could send such a value, it is left to them.

    Raises:
        AmbiguousError: There are several, none of which is nearer than the others.
    """
    if not isinstance(wanted.origin, type) or wanted.origin.__module__.partition(".")[0] in _PUBLIC:
        return None
    narrower = {provider: _steps(wanted, provider) for provider in providers.values()}
    found = _nearest(narrower)
    if found is not None or is_json or wanted.kind is not wanted.origin:
        return found
    wider = {
        provider: _distance(wanted.origin, provider.kind)
        for provider in providers.values()
        if provider.gives is None and isinstance(provider.kind, type)
    }
    return _nearest(wider)


def _steps(wanted: Wanted, provider: Provider) -> int | None:
    """Return how far what the provider makes is derived of what is wanted."""
    made = provider.gives or provider.kind
    if wanted.kind is wanted.origin:
        # A bare class is content with any type arguments.
        return _distance(typing.get_origin(made) or made, wanted.origin)
    bases = getattr(made, "__orig_bases__", ()) if isinstance(made, type) else (made,)
    return 1 if wanted.kind in bases else None


def _distance(derived: Any, base: Any) -> int | None:
    line: tuple[Any, ...] = getattr(derived, "__mro__", ())
    return line.index(base) if base in line else None


def _nearest(distances: Mapping[Provider, int | None]) -> Provider | None:
    fitting = {provider: distance for provider, distance in distances.items() if distance is not None}
    if not fitting:
        return None
    least = min(fitting.values())
    nearest = [provider for provider, distance in fitting.items() if distance == least]
    if len(nearest) > 1:
        raise AmbiguousError(nearest)
    return nearest[0]
