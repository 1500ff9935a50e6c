"""Steps in the life of an entity that a manager's subclass can fill in."""

from typing import Any, Generic, TypeVar

ModelT = TypeVar("ModelT")
InSchemaT = TypeVar("InSchemaT")


class LifecycleHooks(Generic[ModelT, InSchemaT]):
    """Six hooks, all inside of the transaction; an error in one of them rolls it back."""

    def _should_assign_field(self, field: str, value: object) -> bool:
        return True

    async def pre_save(self, entity: ModelT, data: InSchemaT) -> None:
        """Run before a new entity is written."""

    async def post_save(self, entity: ModelT) -> None:
        """Run after a new entity was written."""

    async def pre_update(self, entity: ModelT, data: InSchemaT, old_values: dict[str, Any]) -> None:
        """Run after the new values were assigned, before they are written."""

    async def post_update(self, entity: ModelT, changes: dict[str, tuple[Any, Any]]) -> None:
        """Run after a change was written; `changes` maps a field to its old and new value."""

    async def pre_delete(self, entity: ModelT) -> None:
        """Run before an entity is deleted."""

    async def post_delete(self, entity: ModelT) -> None:
        """Run after an entity was deleted."""
