"""Routes of jobs."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Depends, Header
from fastapi import Query as QueryParameter
from pydantic import AfterValidator, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from chapkit.core.errors import NotFoundError
from chapkit.core.ids import ULID
from chapkit.core.rendering import as_array, as_page
from chapkit.core.schemas import PaginatedResponse
from chapkit.core.types import storable_text
from chapkit.job.errors import JobNotFoundError
from chapkit.job.keys import IdempotencyKey
from chapkit.job.queue import JobQueue
from chapkit.job.repository import JobRepository
from chapkit.job.rows import Row, render
from chapkit.job.schemas import JobAttemptRecord, JobEventRecord, JobRecord, JobRetryRequest, JobStats, JobStatus
from chapkit.job.stream import JobStream
from chapkit.web.dependencies import scopes_of
from chapkit.web.openapi import problems
from chapkit.web.paging import DEFAULT_SIZE, FURTHEST, MAX_SIZE
from chapkit.web.responses import content_etag, json_bytes, with_etag
from chapkit.web.router import Router
from chapkit.web.sse import event_stream

_MANY = 1000
"""Records from which on composing a list would hold up the event loop."""
_Status = Annotated[JobStatus | None, QueryParameter(description="Only jobs in this status.")]
_Kind = Annotated[Annotated[str, AfterValidator(storable_text)] | None, QueryParameter(description="Of this kind.")]
_Limit = Annotated[int | None, QueryParameter(ge=1, le=FURTHEST, description="At most so many, as a bare list.")]
_Page = Annotated[
    int | None, QueryParameter(ge=1, le=FURTHEST, description="Page, counted from 1; answers with an envelope.")
]
_Size = Annotated[int | None, QueryParameter(ge=1, le=MAX_SIZE, description="Items on a page.")]
_Wait = Annotated[float, QueryParameter(ge=0, le=60, description="Seconds to wait for the end of the job.")]
_WaitForEvents = Annotated[float, QueryParameter(ge=0, le=60, description="Seconds to wait for an event.")]
_After = Annotated[int, QueryParameter(ge=0, le=FURTHEST, description="Only events behind the one with this number.")]
_Poll = Annotated[float, QueryParameter(gt=0, le=60, description="Accepted for older clients; changes come at once.")]
_LastSeen = Annotated[str | None, Header(alias="Last-Event-ID", description="Where to go on.")]


class JobRouter(Router):
    """The routes of jobs; `scheduler_factory` is a FastAPI dependency that returns the jobs."""

    def __init__(self, prefix: str, tags: Sequence[str], scheduler_factory: Callable[..., Any], **kwargs: Any) -> None:
        self.scheduler_factory = scheduler_factory
        super().__init__(prefix, tags, **kwargs)

    def _register_routes(self) -> None:
        self._register_list()
        self._register_descriptions()
        self._register_read()
        self._register_stop()
        self._register_events()

    def _register_list(self) -> None:
        async def find(
            request: Request,
            status_filter: _Status = None,
            kind: _Kind = None,
            limit: _Limit = None,
            page: _Page = None,
            size: _Size = None,
        ) -> Response:
            if page is None and size is None:
                content = await _array(request, status_filter, kind, limit)
            else:
                content = await _page(request, status_filter, kind, page or 1, size or DEFAULT_SIZE)
            return with_etag(request, content, content_etag(content))

        self._add("", find, "GET", "List", list[JobRecord] | PaginatedResponse[JobRecord], 422)

    def _register_descriptions(self) -> None:
        async def schema() -> dict[str, Any]:
            return TypeAdapter(list[JobRecord]).json_schema(mode="serialization")

        async def stats(jobs: Any) -> JobStats:
            return await _queue(jobs).stats()

        self._add("/$schema", schema, "GET", "JSON Schema")
        self._add("/$stats", stats, "GET", "Numbers", JobStats)

    def _register_read(self) -> None:
        async def read(request: Request, job_id: str, jobs: Any, wait: _Wait = 0.0) -> Response:
            id = self._parse_id(job_id)
            if wait:
                await _queue(jobs).wait_until_final(id, wait)
            row = await _queue(jobs).find_row(id)
            if row is None:
                raise JobNotFoundError(id)
            content = render([row])[0]
            return with_etag(request, content, content_etag(content))

        self._add("/{job_id}", read, "GET", "Read", JobRecord, 400, 404, 422)

    def _register_stop(self) -> None:
        async def cancel(job_id: str, jobs: Any) -> Response:
            record = await _queue(jobs).cancel(self._parse_id(job_id))
            return json_bytes(record.model_dump_json().encode())

        async def retry(
            job_id: str, jobs: Any, body: JobRetryRequest | None = None, key: IdempotencyKey = None
        ) -> Response:
            record = await _queue(jobs).retry(self._parse_id(job_id), body.payload if body else None, key=key)
            return json_bytes(record.model_dump_json().encode(), status=202)

        async def delete(job_id: str, jobs: Any) -> Response:
            await _queue(jobs).delete(self._parse_id(job_id))
            return Response(status_code=204)

        self._add("/{job_id}/$cancel", cancel, "POST", "Stop", JobRecord, 400, 404, 409)
        self._add("/{job_id}/$retry", retry, "POST", "Run again", JobRecord, 400, 404, 409, 422, status_code=202)
        self._add("/{job_id}", delete, "DELETE", "Stop and remove", None, 400, 404, 409, status_code=204)

    def _register_events(self) -> None:
        async def attempts(job_id: str, jobs: Any) -> Sequence[JobAttemptRecord]:
            return await _queue(jobs).list_attempts(self._parse_id(job_id))

        async def events(
            job_id: str, jobs: Any, after: _After = 0, wait: _WaitForEvents = 0.0
        ) -> Sequence[JobEventRecord]:
            return await _queue(jobs).wait_for_events(self._parse_id(job_id), after, wait)

        async def stream(
            request: Request, job_id: str, jobs: Any, poll_interval: _Poll = 0.5, last_event_id: _LastSeen = None
        ) -> Response:
            id = self._parse_id(job_id)
            seen = _event_number(last_event_id)
            source = JobStream(scopes_of(request), _queue(jobs).runtime.hub)
            if await source.start(id, seen) is None:
                # Tells a browser not to connect again.
                return Response(status_code=204)
            return event_stream(source.messages(id, seen))

        self._add("/{job_id}/$attempts", attempts, "GET", "Attempts", list[JobAttemptRecord], 400, 404)
        self._add("/{job_id}/$events", events, "GET", "Events", list[JobEventRecord], 400, 404, 422)
        self._add("/{job_id}/$stream", stream, "GET", "Events as a stream", None, 400, 404, 422)

    def _add(
        self,
        path: str,
        handler: Callable[..., Any],
        method: str,
        summary: str,
        model: Any = None,
        *statuses: int,
        status_code: int = 200,
    ) -> None:
        if "jobs" in handler.__annotations__:
            # FastAPI reads the types here; this one is only known now.
            handler.__annotations__["jobs"] = Annotated[Any, Depends(self.scheduler_factory)]
        self.router.add_api_route(
            path,
            handler,
            methods=[method],
            summary=summary,
            response_model=model,
            responses=problems(*statuses),
            status_code=status_code,
        )

    def _parse_id(self, job_id: str) -> ULID:
        if job_id.startswith("$"):
            raise NotFoundError(f"There is no operation {job_id} here", code="operation-unknown", found=job_id)
        return ULID(job_id)


def _event_number(text: str | None) -> int | None:
    if text is None or not text.isdecimal():
        return None
    # Python reads no number of thousands of digits, and no event has one.
    return int(text) if len(text) <= len(str(FURTHEST)) else FURTHEST


def _queue(jobs: Any) -> JobQueue:
    queue: JobQueue = jobs
    return queue


async def _array(request: Request, status: str | None, kind: str | None, limit: int | None) -> bytes:
    async with scopes_of(request).read(scan=limit is None) as scope:
        rows = await JobRepository(scope.session).list(status=status, kind=kind, limit=limit)
    if len(rows) < _MANY:
        return _compose(rows)
    return await to_thread.run_sync(_compose, rows)


async def _page(request: Request, status: str | None, kind: str | None, page: int, size: int) -> bytes:
    async with scopes_of(request).read() as scope:
        repository = JobRepository(scope.session)
        rows = await repository.list(status=status, kind=kind, limit=size, offset=(page - 1) * size)
        total = await repository.count(status=status, kind=kind)
    return as_page(render(rows), total, page, size)


def _compose(rows: Sequence[Row]) -> bytes:
    return as_array(render(rows))
