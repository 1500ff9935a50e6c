"""Generic routes over a manager: create, read, list, replace, patch, delete, and bulk."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Body, Depends
from fastapi import Query as QueryParameter
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from chapkit.core.errors import BadRequestError, InvalidULIDError, NotFoundError
from chapkit.core.ids import ULID
from chapkit.core.manager import BaseManager
from chapkit.core.query import Query
from chapkit.core.rendering import as_array, as_page
from chapkit.core.schemas import CollectionStats, EntityIn, EntityOut, PaginatedResponse
from chapkit.web.bulk import Cascade, register_bulk
from chapkit.web.conditions import require_match
from chapkit.web.feature import CrudPermissions
from chapkit.web.filters import parse_filters, parse_sort
from chapkit.web.openapi import problems
from chapkit.web.operations import OperationInfo, add_operation, list_operations
from chapkit.web.paging import Window, decode_cursor, encode_cursor, get_window
from chapkit.web.responses import content_etag, json_bytes, location_of, with_etag
from chapkit.web.router import Router

InSchemaT = TypeVar("InSchemaT", bound=EntityIn)
OutSchemaT = TypeVar("OutSchemaT", bound=EntityOut)
AnyManager = BaseManager[Any, Any, Any]
Filters = Annotated[
    list[str] | None,
    QueryParameter(
        alias="filter", description="`field:op:value`, repeatable; op is one of eq ne lt le gt ge in like null"
    ),
]
Sorting = Annotated[
    str | None, QueryParameter(alias="sort", description="Fields, comma-separated; `-` before one means falling")
]
_Patch = Annotated[dict[str, Any], Body(description="Merge patch: null removes a member, so its default returns")]


class CrudRouter(Router, Generic[InSchemaT, OutSchemaT]):
    """The routes of one collection; `manager_factory` is a FastAPI dependency that returns its manager."""

    def __init__(
        self,
        prefix: str,
        tags: Sequence[str],
        entity_in_type: type[InSchemaT],
        entity_out_type: type[OutSchemaT],
        manager_factory: Callable[..., Any],
        *,
        permissions: CrudPermissions | None = None,
        **kwargs: Any,
    ) -> None:
        self.entity_in_type = entity_in_type
        self.entity_out_type = entity_out_type
        self.manager_factory = manager_factory
        self.permissions = permissions or CrudPermissions()
        super().__init__(prefix, tags, **kwargs)

    def register_entity_operation(
        self, name: str, handler: Callable[..., Any], *, http_method: str = "GET", **options: Any
    ) -> None:
        """Add `/{entity_id}/$name`; the handler takes `entity_id: str`."""
        add_operation(self.router, f"/{{entity_id}}/${name}", handler, http_method, options)

    def register_collection_operation(
        self, name: str, handler: Callable[..., Any], *, http_method: str = "GET", **options: Any
    ) -> None:
        """Add `/$name`."""
        add_operation(self.router, f"/${name}", handler, http_method, options)

    def json_schema(self) -> dict[str, Any]:
        """Return what `$schema` answers."""
        return TypeAdapter(self.entity_out_type).json_schema(mode="serialization")

    def _register_routes(self) -> None:
        allowed = self.permissions
        if allowed.create:
            self._register_create()
        if allowed.read:
            self._register_list()
            self._register_read()
        if allowed.update:
            self._register_update()
        if allowed.delete:
            self._register_delete()
        register_bulk(self.router, self.entity_in_type, self.entity_out_type, self.manager_factory, allowed)
        if allowed.read:
            self._register_descriptions()

    def _register_create(self) -> None:
        async def create(request: Request, data: Any, manager: Any) -> Response:
            entity = await manager.create_entity(data)
            headers = {"Location": location_of(request, f"{self.prefix}/{entity.id}"), "ETag": manager.etag(entity)}
            return json_bytes(await manager.render_one(entity), status=201, headers=headers)

        self._annotate(create, data=self.entity_in_type)
        self.router.add_api_route(
            "",
            create,
            methods=["POST"],
            status_code=201,
            response_model=self.entity_out_type,
            responses=problems(409, 413, 422),
            summary="Create",
        )

    def _register_list(self) -> None:
        async def find(
            request: Request, manager: Any, window: Any, filters: Filters = None, sort: Sorting = None
        ) -> Response:
            query = Query(filters=parse_filters(filters or ()), sort=parse_sort(sort))
            return await answer_list(request, manager, window, query)

        self._annotate(find, window=Annotated[Window, Depends(get_window)])
        self.router.add_api_route(
            "",
            find,
            methods=["GET"],
            response_model=list[self.entity_out_type] | PaginatedResponse[self.entity_out_type],  # type: ignore[name-defined]
            responses=problems(400, 422),
            summary="List",
        )

    def _register_read(self) -> None:
        async def read(request: Request, entity_id: str, manager: Any) -> Response:
            found = await manager.render_by_id(self._parse_ulid(entity_id))
            if found is None:
                raise self._not_found(entity_id)
            return with_etag(request, *found)

        self._annotate(read)
        self.router.add_api_route(
            "/{entity_id}",
            read,
            methods=["GET"],
            response_model=self.entity_out_type,
            responses={304: {"description": "Not modified"}, **problems(400, 404)},
            summary="Read",
        )

    def _register_update(self) -> None:
        async def replace(request: Request, entity_id: str, data: Any, manager: Any) -> Response:
            id = await self._require_state(request, entity_id, manager)
            return await _changed(manager, await manager.replace_entity(id, data))

        async def patch(request: Request, entity_id: str, changes: _Patch, manager: Any) -> Response:
            id = await self._require_state(request, entity_id, manager)
            return await _changed(manager, await manager.patch_entity(id, changes, self.entity_in_type))

        self._annotate(replace, data=self.entity_in_type)
        self._annotate(patch)
        for method, handler, summary in (("PUT", replace, "Replace"), ("PATCH", patch, "Change")):
            self.router.add_api_route(
                "/{entity_id}",
                handler,
                methods=[method],
                response_model=self.entity_out_type,
                responses=problems(400, 404, 409, 412, 422),
                summary=summary,
            )

    def _register_delete(self) -> None:
        async def delete(request: Request, entity_id: str, manager: Any, cascade: Cascade = None) -> Response:
            id = await self._require_state(request, entity_id, manager)
            await manager.delete_by_id(id, cascade=cascade)
            return Response(status_code=204)

        self._annotate(delete)
        self.router.add_api_route(
            "/{entity_id}",
            delete,
            methods=["DELETE"],
            status_code=204,
            responses=problems(400, 404, 409, 412),
            summary="Delete",
        )

    def _register_descriptions(self) -> None:
        async def stats(manager: Any) -> CollectionStats:
            return CollectionStats(total=await manager.count())

        async def schema() -> dict[str, Any]:
            return self.json_schema()

        async def operations() -> list[OperationInfo]:
            return list_operations(self.router.routes)

        self._annotate(stats)
        self.register_collection_operation("schema", schema, summary="JSON Schema")
        self.register_collection_operation("stats", stats, response_model=CollectionStats, summary="Numbers")
        self.register_collection_operation("operations", operations, summary="What this collection offers")

    async def _require_state(self, request: Request, entity_id: str, manager: AnyManager) -> ULID:
        id = self._parse_ulid(entity_id)
        entity = await manager.repository.find_for_update(id)
        if entity is None:
            raise self._not_found(entity_id)
        require_match(request, manager.etag(entity))
        return id

    def _annotate(self, handler: Callable[..., Any], **types: Any) -> None:
        # FastAPI reads the types here; they are only known now.
        handler.__annotations__.update(types)
        if "manager" in handler.__annotations__:
            handler.__annotations__["manager"] = Annotated[Any, Depends(self.manager_factory)]

    def _parse_ulid(self, entity_id: str) -> ULID:
        if entity_id.startswith("$"):
            raise NotFoundError(
                f"There is no operation {entity_id} here; {self.prefix}/$operations lists them",
                code="operation-unknown",
                found=entity_id,
            )
        try:
            return ULID(entity_id)
        except InvalidULIDError as error:
            error.instance = f"{self.prefix}/{entity_id}"
            raise

    def _not_found(self, entity_id: str) -> NotFoundError:
        return NotFoundError(f"Entity with id {entity_id} not found", instance=f"{self.prefix}/{entity_id}")


async def _changed(manager: AnyManager, entity: Any) -> Response:
    return json_bytes(await manager.render_one(entity), headers={"ETag": manager.etag(entity)})


async def answer_list(request: Request, manager: AnyManager, window: Window, query: Query) -> Response:
    """Return the entities that `query` asks for, as the window wants them: all, a page, or the next after a cursor."""
    headers: dict[str, str] = {}
    if window.paged:
        page, size = window.page_number, window.page_size
        query = Query(query.filters, query.sort, limit=size, offset=(page - 1) * size)
        items = await manager.render_list(query)
        content = as_page([item for _, item in items], await manager.count(query), page, size)
    elif window.cursor is not None:
        if query.sort:
            raise BadRequestError(
                "A walk by cursor goes by id; leave out sort, or ask for pages", code="cursor-with-sort", field="sort"
            )
        size = window.page_size
        query = Query(query.filters, limit=size + 1, after=decode_cursor(window.cursor))
        items = await manager.render_list(query)
        if len(items) > size:
            following = request.url.include_query_params(cursor=encode_cursor(items[size - 1][0]))
            headers["Link"] = f'<{following}>; rel="next"'
        content = as_array([item for _, item in items[:size]])
    else:
        items = await manager.render_list(Query(query.filters, query.sort, limit=window.limit))
        content = as_array([item for _, item in items])
    return with_etag(request, content, content_etag(content), headers)
