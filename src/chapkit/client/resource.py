"""A collection of entities as an object with methods, blocking or not.

Both classes only send what `CrudCalls` describes; a feature's own resource adds its calls there and one line each here.
"""

from collections.abc import AsyncGenerator, Generator, Iterable, Mapping
from typing import Any, Generic

from chapkit.client.crud_calls import CrudCalls, Filters, Many, OutT
from chapkit.client.transport import AsyncHttpTransport, HttpTransport
from chapkit.core.schemas import BulkOperationResult, CollectionStats, PaginatedResponse

PAGE_SIZE = 100


class Resource(Generic[OutT]):
    """What every collection offers."""

    def __init__(self, transport: HttpTransport, calls: CrudCalls[OutT]) -> None:
        self.transport = transport
        self._calls = calls

    def get(self, id: str) -> OutT:
        """Return one entity.

        Raises:
            NotFound: There is none with this identifier.
        """
        return self.transport.send(self._calls.get(id))

    def get_with_etag(self, id: str) -> tuple[OutT, str]:
        """Return one entity and the tag of its state, for `etag=` of a later change."""
        return self.transport.send(self._calls.get_with_etag(id))

    def page(
        self, page: int = 1, size: int = PAGE_SIZE, *, filter: Filters = (), sort: str | None = None
    ) -> PaginatedResponse[OutT]:
        """Return one page, counted from 1, with the total."""
        return self.transport.send(self._calls.page(page, size, filter, sort))

    def iterate(self, size: int = PAGE_SIZE, *, filter: Filters = ()) -> Generator[OutT]:
        """Yield every entity by identifier, fetched `size` at a time; what is added meanwhile does not disturb."""
        filters = _kept(filter)
        cursor: str | None = ""
        while cursor is not None:
            items, cursor = self.transport.send(self._calls.slice(cursor, size, filters))
            yield from items

    def patch(self, id: str, changes: Mapping[str, Any], *, etag: str | None = None) -> OutT:
        """Merge changes into an entity; `None` removes a member, so its default returns.

        Raises:
            PreconditionFailed: Somebody else changed it since `etag` was read.
        """
        return self.transport.send(self._calls.patch(id, changes, etag))

    def delete(self, id: str, *, cascade: bool | None = None, etag: str | None = None) -> None:
        """Delete an entity; `cascade` says whether what hangs on it goes too (the service decides if left out)."""
        self.transport.send(self._calls.delete(id, cascade, etag))

    def delete_many(
        self, ids: Iterable[str], *, partial: bool = False, cascade: bool | None = None
    ) -> BulkOperationResult[OutT]:
        """Delete all of them or none; with `partial`, as many as possible. `cascade` is as for `delete`."""
        return self.transport.send(self._calls.delete_many(ids, partial, cascade))

    def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of what the collection holds."""
        return self.transport.send(self._calls.schema())

    def stats(self) -> CollectionStats:
        """Return the numbers of the collection."""
        return self.transport.send(self._calls.stats())

    def list(self, filter: Filters = (), sort: str | None = None, limit: int | None = None) -> Many[OutT]:
        """Return entities; `filter` is `field:op:value`, `sort` is fields with `-` for falling."""
        return self.transport.send(self._calls.list(filter, sort, limit))


class AsyncResource(Generic[OutT]):
    """What every collection offers, to be awaited."""

    def __init__(self, transport: AsyncHttpTransport, calls: CrudCalls[OutT]) -> None:
        self.transport = transport
        self._calls = calls

    async def get(self, id: str) -> OutT:
        """Return one entity.

        Raises:
            NotFound: There is none with this identifier.
        """
        return await self.transport.send(self._calls.get(id))

    async def get_with_etag(self, id: str) -> tuple[OutT, str]:
        """Return one entity and the tag of its state, for `etag=` of a later change."""
        return await self.transport.send(self._calls.get_with_etag(id))

    async def page(
        self, page: int = 1, size: int = PAGE_SIZE, *, filter: Filters = (), sort: str | None = None
    ) -> PaginatedResponse[OutT]:
        """Return one page, counted from 1, with the total."""
        return await self.transport.send(self._calls.page(page, size, filter, sort))

    async def iterate(self, size: int = PAGE_SIZE, *, filter: Filters = ()) -> AsyncGenerator[OutT]:
        """Yield every entity by identifier, fetched `size` at a time; what is added meanwhile does not disturb."""
        filters = _kept(filter)
        cursor: str | None = ""
        while cursor is not None:
            items, cursor = await self.transport.send(self._calls.slice(cursor, size, filters))
            for item in items:
                yield item

    async def patch(self, id: str, changes: Mapping[str, Any], *, etag: str | None = None) -> OutT:
        """Merge changes into an entity; `None` removes a member, so its default returns.

        Raises:
            PreconditionFailed: Somebody else changed it since `etag` was read.
        """
        return await self.transport.send(self._calls.patch(id, changes, etag))

    async def delete(self, id: str, *, cascade: bool | None = None, etag: str | None = None) -> None:
        """Delete an entity; `cascade` says whether what hangs on it goes too (the service decides if left out)."""
        await self.transport.send(self._calls.delete(id, cascade, etag))

    async def delete_many(
        self, ids: Iterable[str], *, partial: bool = False, cascade: bool | None = None
    ) -> BulkOperationResult[OutT]:
        """Delete all of them or none; with `partial`, as many as possible. `cascade` is as for `delete`."""
        return await self.transport.send(self._calls.delete_many(ids, partial, cascade))

    async def schema(self) -> dict[str, Any]:
        """Return the JSON Schema of what the collection holds."""
        return await self.transport.send(self._calls.schema())

    async def stats(self) -> CollectionStats:
        """Return the numbers of the collection."""
        return await self.transport.send(self._calls.stats())

    async def list(self, filter: Filters = (), sort: str | None = None, limit: int | None = None) -> Many[OutT]:
        """Return entities; `filter` is `field:op:value`, `sort` is fields with `-` for falling."""
        return await self.transport.send(self._calls.list(filter, sort, limit))


def _kept(filter: Filters) -> Filters:
    # Sent with every slice, so a generator must not be used up by the first.
    return filter if isinstance(filter, str) else tuple(filter)
