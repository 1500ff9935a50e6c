"""Many items in one request: all or nothing, or each for itself."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends
from fastapi import Query as QueryParameter
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from chapkit.core.database_errors import translate
from chapkit.core.errors import BadRequestError, ChapkitError, NotFoundError
from chapkit.core.ids import ULID
from chapkit.core.rendering import as_array
from chapkit.core.schemas import BulkOperationError, BulkOperationResult
from chapkit.web.feature import CrudPermissions
from chapkit.web.openapi import problems
from chapkit.web.operations import add_operation
from chapkit.web.problems import KINDS, describe_validation, status_of
from chapkit.web.responses import json_bytes

MAX_ITEMS = 1000
_Items = Annotated[list[dict[str, Any]], Body(max_length=MAX_ITEMS)]
_Ids = Annotated[list[str], QueryParameter(alias="id", max_length=MAX_ITEMS)]
_Partial = Annotated[
    bool, QueryParameter(alias="partial", description="Keep what succeeds and answer 207 with an error per item")
]
Cascade = Annotated[bool | None, QueryParameter(description="Whether what hangs on the entity is deleted with it")]
"""What a deletion says of what hangs on an entity."""
Step = Callable[[Any], Awaitable[bytes | None]]


@dataclass
class _Outcome:
    items: list[bytes | None] = field(default_factory=list[bytes | None])
    errors: list[BulkOperationError] = field(default_factory=list[BulkOperationError])

    def content(self) -> bytes:
        failed = len(self.errors)
        head = {"total": len(self.items), "succeeded": len(self.items) - failed, "failed": failed}
        items = as_array([item or b"null" for item in self.items])
        return (
            to_json(head)[:-1] + b',"items":' + items + b',"errors":' + to_json(self.errors, exclude_none=True) + b"}"
        )


class _Refused(Exception):
    """At least one item was refused, so nothing is kept."""


def register_bulk(
    router: APIRouter, in_type: type[Any], out_type: type[Any], manager_factory: Any, allowed: CrudPermissions
) -> None:
    """Add POST, PATCH and DELETE on `$bulk`, as far as they are allowed."""
    rows = (
        (allowed.create, "POST", _creating(in_type), 201),
        (allowed.update, "PATCH", _patching(in_type), 200),
        (allowed.delete, "DELETE", _deleting(), 200),
    )
    for is_allowed, method, handler, status in rows:
        if is_allowed:
            handler.__annotations__["manager"] = Annotated[Any, Depends(manager_factory)]
            options = {
                "status_code": status,
                "response_model": BulkOperationResult[out_type],  # type: ignore[valid-type]
                "responses": problems(400, 404, 409, 422),
                "summary": f"{handler.__name__.capitalize()} many",
            }
            add_operation(router, "/$bulk", handler, method, options)


def _creating(in_type: type[Any]) -> Callable[..., Any]:
    adapter: TypeAdapter[Any] = TypeAdapter(in_type)

    async def create(items: _Items, manager: Any, partial: _Partial = False) -> Response:
        async def step(item: dict[str, Any]) -> bytes:
            return bytes(manager.render(await manager.create_entity(adapter.validate_python(item))))

        return await _run(manager, items, step, partial, 201)

    return create


def _patching(in_type: type[Any]) -> Callable[..., Any]:
    async def patch(items: _Items, manager: Any, partial: _Partial = False) -> Response:
        async def step(item: dict[str, Any]) -> bytes:
            changes = {name: value for name, value in item.items() if name != "id"}
            return bytes(manager.render(await manager.patch_entity(_id_of(item), changes, in_type)))

        return await _run(manager, items, step, partial, 200)

    return patch


def _deleting() -> Callable[..., Any]:
    async def delete(ids: _Ids, manager: Any, partial: _Partial = False, cascade: Cascade = None) -> Response:
        async def step(text: str) -> None:
            id = ULID(text)
            if not await manager.exists_by_id(id):
                raise NotFoundError(f"Entity with id {id} not found")
            await manager.delete_by_id(id, cascade=cascade)

        return await _run(manager, ids, step, partial, 200)

    return delete


def _id_of(item: dict[str, Any]) -> ULID:
    if "id" not in item:
        raise BadRequestError("Every item needs the id of the entity to change", code="id-missing", field="id")
    return ULID(item["id"])


async def _run(manager: Any, items: Sequence[Any], step: Step, partial: bool, status: int) -> Response:
    outcome = _Outcome()
    try:
        async with manager.unit_of_work():
            for index, item in enumerate(items):
                await _run_one(manager, index, item, step, outcome)
            if outcome.errors and not partial:
                raise _Refused
    except _Refused as refusal:
        raise _refusal(outcome) from refusal
    return json_bytes(outcome.content(), status=207 if outcome.errors else status)


async def _run_one(manager: Any, index: int, item: Any, step: Step, outcome: _Outcome) -> None:
    try:
        async with _savepoint(manager):
            outcome.items.append(await step(item))
        return
    except ValidationError as error:
        errors = describe_validation(error.errors(include_url=False, include_context=False))
        failure = BulkOperationError(
            index=index, status=422, code="request-invalid", detail=errors[0]["msg"], errors=errors
        )
    except SQLAlchemyError as error:
        failure = _failure(index, translate(error))
    except ChapkitError as error:
        failure = _failure(index, error)
    failure.id = str(item.get("id")) if isinstance(item, dict) and "id" in item else None  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    outcome.items.append(None)
    outcome.errors.append(failure)


@asynccontextmanager
async def _savepoint(manager: Any) -> AsyncGenerator[None]:
    async with manager.session.begin_nested():
        yield


def _failure(index: int, error: ChapkitError) -> BulkOperationError:
    return BulkOperationError(index=index, status=status_of(error), code=error.code, detail=error.detail)


def _refusal(outcome: _Outcome) -> ChapkitError:
    first = outcome.errors[0]
    kind = next((name for name, row in KINDS.items() if row.status == first.status), "bad-request")
    error = ChapkitError(
        f"{len(outcome.errors)} of {len(outcome.items)} items were refused, so none was kept; "
        f"item {first.index}: {first.detail}",
        code="bulk-refused",
        errors=[item.model_dump(exclude_none=True) for item in outcome.errors],
        total=len(outcome.items),
        failed=len(outcome.errors),
    )
    # The family of the first refusal decides the status.
    error.kind = kind
    return error
