"""Routes of schedules."""

import re
from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import Query as QueryParameter
from starlette.requests import Request
from starlette.responses import Response

from chapkit.core.ids import ULID
from chapkit.core.manager import BaseManager
from chapkit.core.rendering import as_array, as_page
from chapkit.core.schemas import PaginatedResponse
from chapkit.job.keys import IdempotencyKey
from chapkit.scheduler.backfills import Backfills
from chapkit.scheduler.manager import ScheduleManager
from chapkit.scheduler.on_demand import OnDemand
from chapkit.scheduler.plan import trigger_of
from chapkit.scheduler.preview import preview
from chapkit.scheduler.refusals import ScheduleNotFoundError
from chapkit.scheduler.schemas import (
    BackfillIn,
    BackfillResult,
    PauseIn,
    RunNowResult,
    ScheduleIn,
    ScheduleOut,
    SchedulePreview,
    SchedulePreviewIn,
    ScheduleRun,
)
from chapkit.scheduler.trigger_schemas import read_trigger
from chapkit.scheduler.views import upcoming
from chapkit.scheduler.words import explain
from chapkit.task.bodies import NoMembers
from chapkit.web.conditions import require_match
from chapkit.web.crud import CrudRouter
from chapkit.web.dependencies import RequestServices
from chapkit.web.openapi import problems
from chapkit.web.paging import DEFAULT_SIZE, FURTHEST, MAX_SIZE
from chapkit.web.responses import json_bytes, location_of

MOST_TICKS = 100
DEFAULT_TICKS = 5
DEFAULT_RUNS = 100
_Count = Annotated[int, QueryParameter(ge=1, le=MOST_TICKS, description="How many ticks.")]
_Limit = Annotated[int, QueryParameter(ge=1, le=MAX_SIZE, description="At most so many, as a bare list.")]
_Page = Annotated[
    int | None, QueryParameter(ge=1, le=FURTHEST, description="Page, counted from 1; answers with an envelope.")
]
_Size = Annotated[int | None, QueryParameter(ge=1, le=MAX_SIZE, description="Items on a page.")]

_states = re.compile(rb'\.[0-9a-f]+"')


class ScheduleRouter(CrudRouter[ScheduleIn, ScheduleOut]):
    """The generic routes, and what is special about schedules."""

    def __init__(self, *args: Any, jobs_prefix: str = "/api/v1/jobs", **kwargs: Any) -> None:
        self.jobs_prefix = jobs_prefix
        super().__init__(*args, **kwargs)

    def _register_routes(self) -> None:
        super()._register_routes()
        if self.permissions.read:
            self._register_looks()
        if self.permissions.update:
            self._register_switches()
            self._register_demands()

    def _register_looks(self) -> None:
        async def upcoming_ticks(entity_id: str, manager: Any, count: _Count = DEFAULT_TICKS) -> SchedulePreview:
            schedules: ScheduleManager = manager
            schedule = await schedules.get_entity(self._parse_ulid(entity_id))
            trigger = trigger_of(schedule)
            ticks = upcoming(trigger, read_trigger(schedule.trigger), schedules.clock.now(), count)
            return SchedulePreview(explanation=explain(trigger), next=ticks)

        async def runs(
            entity_id: str, manager: Any, limit: _Limit = DEFAULT_RUNS, page: _Page = None, size: _Size = None
        ) -> Response:
            return await _runs(manager, self._parse_ulid(entity_id), limit, page, size)

        async def explained(wanted: SchedulePreviewIn, manager: Any, count: _Count = DEFAULT_TICKS) -> SchedulePreview:
            schedules: ScheduleManager = manager
            return preview(wanted, schedules.clock.now(), count)

        for handler in (upcoming_ticks, runs, explained):
            self._annotate(handler)
        asked: dict[str, Any] = {"response_model": SchedulePreview, "responses": problems(400, 404, 422)}
        self.register_entity_operation("next", upcoming_ticks, summary="The next ticks", **asked)
        self.register_entity_operation(
            "runs",
            runs,
            response_model=list[ScheduleRun] | PaginatedResponse[ScheduleRun],
            responses=problems(400, 404, 422),
            summary="Ticks and their jobs, the newest first",
        )
        self.register_collection_operation(
            "preview",
            explained,
            http_method="POST",
            response_model=SchedulePreview,
            responses=problems(422),
            summary="Explain a trigger",
        )

    def _register_switches(self) -> None:
        async def pause(entity_id: str, manager: Any, body: PauseIn | None = None) -> Response:
            schedules: ScheduleManager = manager
            reason = None if body is None else body.reason
            return await _changed(schedules, await schedules.pause(self._parse_ulid(entity_id), reason))

        async def resume(entity_id: str, manager: Any, body: NoMembers | None = None) -> Response:
            schedules: ScheduleManager = manager
            return await _changed(schedules, await schedules.resume(self._parse_ulid(entity_id)))

        for name, handler, summary in (("pause", pause, "Pause"), ("resume", resume, "Go on with the next tick")):
            self._annotate(handler)
            self.register_entity_operation(
                name,
                handler,
                http_method="POST",
                response_model=ScheduleOut,
                responses=problems(400, 404),
                summary=summary,
            )

    def _register_demands(self) -> None:
        async def run_now(
            request: Request,
            entity_id: str,
            services: RequestServices,
            body: NoMembers | None = None,
            key: IdempotencyKey = None,
        ) -> Response:
            job_id = await OnDemand(services).run_now(self._parse_ulid(entity_id), key)
            answer = RunNowResult(job_id=job_id, message=f"Schedule submitted. Job ID: {job_id}")
            headers = {"Location": location_of(request, f"{self.jobs_prefix}/{job_id}")}
            return json_bytes(answer.model_dump_json().encode(), status=202, headers=headers)

        async def backfill(
            entity_id: str, wanted: BackfillIn, services: RequestServices, key: IdempotencyKey = None
        ) -> BackfillResult:
            return await Backfills(services).submit(self._parse_ulid(entity_id), wanted, key)

        self.register_entity_operation(
            "run-now",
            run_now,
            http_method="POST",
            status_code=202,
            response_model=RunNowResult,
            responses=problems(400, 404, 409, 422, 429, 503),
            summary="Run beside the ticks",
        )
        self.register_entity_operation(
            "backfill",
            backfill,
            http_method="POST",
            status_code=202,
            response_model=BackfillResult,
            responses=problems(400, 404, 409, 422, 503),
            summary="Make up for past ticks",
        )

    async def _require_state(self, request: Request, entity_id: str, manager: BaseManager[Any, Any, Any]) -> ULID:
        entity = await manager.get_entity_for_update(self._parse_ulid(entity_id))
        require_match(_of_definition(request), manager.etag(entity))
        return ULID.trusted(entity.id)

    def _not_found(self, entity_id: str) -> ScheduleNotFoundError:
        return ScheduleNotFoundError(entity_id)


def _of_definition(request: Request) -> Request:
    """Return the request with tags that do not depend on what ticks have changed."""
    headers = [
        (name, _states.sub(b'"', value) if name == b"if-match" else value) for name, value in request.scope["headers"]
    ]
    return Request({**request.scope, "headers": headers})


async def _changed(schedules: ScheduleManager, schedule: Any) -> Response:
    return json_bytes(await schedules.render_one(schedule), headers={"ETag": schedules.etag(schedule)})


async def _runs(schedules: ScheduleManager, id: ULID, limit: int, page: int | None, size: int | None) -> Response:
    if page is None and size is None:
        return json_bytes(as_array(_rendered(await schedules.list_runs(id, limit))))
    number, length = page or 1, size or DEFAULT_SIZE
    runs = await schedules.list_runs(id, length, (number - 1) * length)
    return json_bytes(as_page(_rendered(runs), await schedules.repository.count_runs(id), number, length))


def _rendered(runs: Sequence[ScheduleRun]) -> list[bytes]:
    return [run.model_dump_json().encode() for run in runs]
