"""Routes of tasks."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from fastapi import Depends
from fastapi import Query as QueryParameter
from starlette.requests import Request
from starlette.responses import Response

from chapkit.artifact.answers import JobAnswers, Prefer, responses
from chapkit.core.query import Filter, Operator, Query, Sort
from chapkit.core.schemas import PaginatedResponse
from chapkit.job.keys import IdempotencyKey, fingerprint_under
from chapkit.task.cache_admin import CacheAdmin
from chapkit.task.execution import Asked, TaskSubmitter
from chapkit.task.functions import TaskFunctions
from chapkit.task.orphans import Orphans
from chapkit.task.schemas import (
    TaskCacheStats,
    TaskExecuteRequest,
    TaskExecuteResponse,
    TaskFunctionOut,
    TaskIn,
    TaskInvalidateRequest,
    TaskInvalidateResponse,
    TaskOut,
)
from chapkit.web.crud import CrudRouter, Filters, Sorting, answer_list
from chapkit.web.dependencies import RequestServices, services_of
from chapkit.web.feature import CrudPermissions
from chapkit.web.filters import parse_filters, parse_sort
from chapkit.web.openapi import problems
from chapkit.web.paging import Window, get_window

_Enabled = Annotated[bool | None, QueryParameter(description="Only tasks that are enabled, or only those that are not")]
_NEWEST_FIRST = (Sort(("created_at",), descending=True),)


class TaskRouter(CrudRouter[TaskIn, TaskOut]):
    """The generic routes, and those of running tasks."""

    def __init__(
        self,
        prefix: str,
        tags: Sequence[str],
        manager_factory: Callable[..., Any],
        entity_in_type: type[TaskIn] = TaskIn,
        entity_out_type: type[TaskOut] = TaskOut,
        *,
        permissions: CrudPermissions | None = None,
        allow_execute: bool = True,
        answers: JobAnswers | None = None,
        **kwargs: Any,
    ) -> None:
        self.allow_execute = allow_execute
        self.answers = answers or JobAnswers("/api/v1/jobs", "/api/v1/artifacts")
        super().__init__(
            prefix, tags, entity_in_type, entity_out_type, manager_factory, permissions=permissions, **kwargs
        )

    def _register_routes(self) -> None:
        super()._register_routes()
        if self.allow_execute:
            self._register_execute()
        if self.permissions.read:
            self._register_reads()
        if self.permissions.delete:
            self._register_invalidate()

    def _register_list(self) -> None:
        async def find(
            request: Request,
            manager: Any,
            window: Annotated[Window, Depends(get_window)],
            filters: Filters = None,
            sort: Sorting = None,
            enabled: _Enabled = None,
        ) -> Response:
            conditions, order = parse_filters(filters or ()), parse_sort(sort)
            if enabled is not None:
                conditions = (*conditions, Filter(("enabled",), Operator.EQ, str(enabled).lower()))
                order = order or (() if window.cursor is not None else _NEWEST_FIRST)
            return await answer_list(request, manager, window, Query(filters=conditions, sort=order))

        self._annotate(find)
        self.router.add_api_route(
            "",
            find,
            methods=["GET"],
            response_model=list[TaskOut] | PaginatedResponse[TaskOut],
            responses=problems(400, 422),
            summary="List",
        )

    def _register_execute(self) -> None:
        async def execute(
            request: Request,
            entity_id: str,
            body: TaskExecuteRequest | None = None,
            key: IdempotencyKey = None,
            prefer: Prefer = None,
        ) -> Response:
            asked = Asked(
                parameters=body.parameters if body else None,
                options=body.job if body else None,
                key=key,
                fingerprint=await fingerprint_under(key, await request.body()),
            )
            submitter = services_of(request).get(TaskSubmitter)
            submitted = await submitter.execute(self._parse_ulid(entity_id), asked)
            job = submitted.job
            accepted = TaskExecuteResponse(
                job_id=job.id,
                message=f"Task submitted for execution. Job ID: {job.id}",
                artifact_id=job.artifact_id,
                cache=submitted.cache,
            )
            return await self.answers.answer(request, job, accepted, prefer)

        self.register_entity_operation(
            "execute",
            execute,
            http_method="POST",
            status_code=202,
            response_model=TaskExecuteResponse,
            responses=responses(400, 403, 404, 409, 422, 429, 503),
            summary="Run",
        )

    def _register_reads(self) -> None:
        async def functions(services: RequestServices) -> list[TaskFunctionOut]:
            return services.get(TaskFunctions).describe()

        async def orphans(services: RequestServices) -> Sequence[TaskOut]:
            return await services.get(Orphans).list()

        async def cache(services: RequestServices) -> TaskCacheStats:
            return await services.get(CacheAdmin).stats()

        for handler, model, summary in (
            (functions, list[TaskFunctionOut], "What tasks can call"),
            (orphans, list[TaskOut], "Tasks whose function is missing"),
            (cache, TaskCacheStats, "Kept results"),
        ):
            self.register_collection_operation(handler.__name__, handler, response_model=model, summary=summary)

    def _register_invalidate(self) -> None:
        async def invalidate(wanted: TaskInvalidateRequest, services: RequestServices) -> TaskInvalidateResponse:
            return TaskInvalidateResponse(dropped=await services.get(CacheAdmin).invalidate(wanted))

        self.register_collection_operation(
            "invalidate",
            invalidate,
            http_method="POST",
            response_model=TaskInvalidateResponse,
            responses=problems(422),
            summary="Drop kept results",
        )
