"""The calls that every collection of entities understands."""

from collections.abc import Iterable, Mapping
from typing import Any, Generic, TypeAlias, TypeVar

import httpx
from pydantic import TypeAdapter

from chapkit.client.calls import (
    Body,
    Call,
    Parameters,
    encode,
    etag_of,
    if_match,
    nothing,
    parameters,
    reader,
    segment,
)
from chapkit.client.errors import error_of
from chapkit.client.retries import LOST
from chapkit.core.schemas import BulkOperationResult, CollectionStats, EntityOut, PaginatedResponse

OutT = TypeVar("OutT", bound=EntityOut)
Filters: TypeAlias = str | Iterable[str]
"""One `field:op:value`, or several that must all hold."""
Many: TypeAlias = list[OutT]
GONE = frozenset({404})
"""What a deletion is answered with when the thing is not there."""


class CrudCalls(Generic[OutT]):
    """Calls to the collection at `prefix`, whose entities are read as `out_type`."""

    def __init__(self, prefix: str, out_type: type[OutT]) -> None:
        self.prefix = prefix
        self.one: TypeAdapter[OutT] = TypeAdapter(out_type)
        self.many: TypeAdapter[Many[OutT]] = TypeAdapter(applied(list, out_type))
        self.one_page: TypeAdapter[PaginatedResponse[OutT]] = TypeAdapter(applied(PaginatedResponse, out_type))
        self.bulk: TypeAdapter[BulkOperationResult[OutT]] = TypeAdapter(applied(BulkOperationResult, out_type))

    def path(self, id: str, operation: str = "") -> str:
        """Return the path of one entity, or of an operation on it."""
        return f"{self.prefix}/{segment(id)}" + (f"/${operation}" if operation else "")

    def create(self, body: Body) -> Call[OutT]:
        """Store a new entity."""
        return Call("POST", self.prefix, reader(self.one), content=encode(body))

    def get(self, id: str) -> Call[OutT]:
        """Read one entity."""
        return Call("GET", self.path(id), reader(self.one))

    def get_with_etag(self, id: str) -> Call[tuple[OutT, str]]:
        """Read one entity and the tag of its state."""
        read = reader(self.one)
        return Call("GET", self.path(id), lambda response: (read(response), etag_of(response)))

    def list(self, filter: Filters, sort: str | None, limit: int | None) -> Call[Many[OutT]]:
        """Read entities as a bare list."""
        params = (*_filters(filter), *parameters([("sort", sort), ("limit", limit)]))
        return Call("GET", self.prefix, reader(self.many), params)

    def page(self, page: int, size: int, filter: Filters, sort: str | None) -> Call[PaginatedResponse[OutT]]:
        """Read one page."""
        params = (*_filters(filter), *parameters([("page", page), ("size", size), ("sort", sort)]))
        return Call("GET", self.prefix, reader(self.one_page), params)

    def slice(self, cursor: str, size: int, filter: Filters) -> Call[tuple[Many[OutT], str | None]]:
        """Read the entities behind a cursor, and the cursor to go on with."""
        read = reader(self.many)
        params = (*_filters(filter), *parameters([("cursor", cursor), ("size", size)]))
        return Call("GET", self.prefix, lambda response: (read(response), _next_cursor(response)), params)

    def replace(self, id: str, body: Body, etag: str | None) -> Call[OutT]:
        """Store an entity anew."""
        return Call("PUT", self.path(id), reader(self.one), content=encode(body), headers=if_match(etag))

    def patch(self, id: str, changes: Mapping[str, Any], etag: str | None) -> Call[OutT]:
        """Merge changes into an entity."""
        return Call("PATCH", self.path(id), reader(self.one), content=encode(changes), headers=if_match(etag))

    def delete(self, id: str, cascade: bool | None, etag: str | None) -> Call[None]:
        """Delete an entity."""
        return Call(
            "DELETE",
            self.path(id),
            deleted,
            parameters([("cascade", cascade)]),
            headers=if_match(etag),
            accepted=GONE,
        )

    def create_many(self, items: Iterable[Body], partial: bool) -> Call[BulkOperationResult[OutT]]:
        """Store new entities."""
        params = parameters([("partial", partial or None)])
        return Call("POST", f"{self.prefix}/$bulk", reader(self.bulk), params, encode([*items]))

    def delete_many(self, ids: Iterable[str], partial: bool, cascade: bool | None) -> Call[BulkOperationResult[OutT]]:
        """Delete entities."""
        params = parameters([*(("id", id) for id in ids), ("partial", partial or None), ("cascade", cascade)])
        return Call("DELETE", f"{self.prefix}/$bulk", reader(self.bulk), params)

    def schema(self) -> Call[dict[str, Any]]:
        """Read the JSON Schema."""
        return Call("GET", f"{self.prefix}/$schema", reader(TypeAdapter(dict[str, Any])))

    def stats(self) -> Call[CollectionStats]:
        """Read the numbers of the collection."""
        return Call("GET", f"{self.prefix}/$stats", reader(TypeAdapter(CollectionStats)))


def applied(generic: Any, item: Any) -> Any:
    """Return a generic type with its argument, where that is known only at run time."""
    return generic[item]


def _filters(filter: Filters) -> Parameters:
    return tuple(("filter", text) for text in ([filter] if isinstance(filter, str) else filter))


def _next_cursor(response: httpx.Response) -> str | None:
    # Only the cursor is taken: behind a proxy the service may not know the address that it is reached by.
    following = response.links.get("next")
    return httpx.URL(following["url"]).params.get("cursor") if following else None


def deleted(response: httpx.Response) -> None:
    """Read the answer to a deletion, which is to be sent with `accepted=GONE`."""
    # Gone after a lost answer: the attempt that got no answer deleted it.
    if response.status_code in GONE and not response.extensions.get(LOST):
        raise error_of(response)
    nothing(response)
