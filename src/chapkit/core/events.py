"""What happened to an entity, told to whoever cares."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from chapkit.core.models import Entity


@dataclass(frozen=True)
class EntitySaved:
    """An entity was created or changed; `changes` maps a field to its old and new value."""

    entity: Entity
    created: bool
    changes: dict[str, tuple[Any, Any]] = field(default_factory=dict[str, tuple[Any, Any]])


@dataclass(frozen=True)
class EntityDeleting:
    """An entity is about to be deleted; `cascade` is what the caller said of what hangs on it."""

    entity: Entity
    cascade: bool | None = None


@dataclass(frozen=True)
class EntityDeleted:
    """An entity was deleted."""

    entity: Entity


Event: TypeAlias = EntitySaved | EntityDeleting | EntityDeleted
EventHandler: TypeAlias = Callable[[Event, Any], Awaitable[None]]
"""Called with the event and the scope, inside of the transaction; an error rolls it back."""
