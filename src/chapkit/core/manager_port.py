"""What a CRUD router asks of the thing behind it."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic, TypeVar

InSchemaT = TypeVar("InSchemaT")
OutSchemaT = TypeVar("OutSchemaT")
IdT = TypeVar("IdT")


class Manager(ABC, Generic[InSchemaT, OutSchemaT, IdT]):
    """What a CRUD router asks of the thing behind it."""

    @abstractmethod
    async def save(self, data: InSchemaT) -> OutSchemaT:
        """Create the entity, or change the one that has its id."""

    @abstractmethod
    async def save_all(self, items: Iterable[InSchemaT]) -> list[OutSchemaT]:
        """Save every item, or none."""

    @abstractmethod
    async def delete_by_id(self, id: IdT) -> None:
        """Delete the entity, if there is one."""

    @abstractmethod
    async def delete_all(self) -> None:
        """Delete every entity."""

    @abstractmethod
    async def delete_all_by_id(self, ids: Iterable[IdT]) -> None:
        """Delete the entities that exist."""

    @abstractmethod
    async def count(self) -> int:
        """Return the number of entities."""

    @abstractmethod
    async def exists_by_id(self, id: IdT) -> bool:
        """Tell whether there is such an entity."""

    @abstractmethod
    async def find_by_id(self, id: IdT) -> OutSchemaT | None:
        """Return the entity, or `None`."""

    @abstractmethod
    async def find_all(self) -> list[OutSchemaT]:
        """Return every entity, by id."""

    @abstractmethod
    async def find_paginated(self, page: int, size: int) -> tuple[list[OutSchemaT], int]:
        """Return a page, counted from 1, and the number of all entities."""

    @abstractmethod
    async def find_all_by_id(self, ids: Iterable[IdT]) -> list[OutSchemaT]:
        """Return the entities that exist, by id."""
