"""Schedules as operations on a task."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from chapkit.core.errors import InvalidULIDError
from chapkit.core.ids import ULID
from chapkit.core.rendering import as_array
from chapkit.core.services import Scope
from chapkit.scheduler.manager import ScheduleManager
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.refusals import ScheduleNotFoundError
from chapkit.scheduler.schemas import ScheduleIn, ScheduleOut, TickOutcome
from chapkit.scheduler.task_schemas import TaskScheduleIn, TaskScheduleOut, TaskScheduleUpdateIn
from chapkit.scheduler.trigger_schemas import IntervalTriggerOut, OnceTriggerOut
from chapkit.scheduler.triggers import duration
from chapkit.task.models import Task
from chapkit.task.refusals import TaskUnknownError
from chapkit.task.repository import TaskRepository
from chapkit.web.dependencies import RequestScope
from chapkit.web.feature import CrudPermissions
from chapkit.web.openapi import problems
from chapkit.web.responses import json_bytes, location_of

_MOST_OF_NAME = 200


class TaskScheduleRouter:
    """`$schedule` and `$schedules` of tasks."""

    def __init__(
        self, prefix: str, tags: Sequence[str], schedules_prefix: str, permissions: CrudPermissions | None = None
    ) -> None:
        self.router = APIRouter(prefix=prefix, tags=list(tags))
        self.schedules_prefix = schedules_prefix
        allowed = permissions or CrudPermissions()
        if allowed.create:
            self._register_create()
        if allowed.read:
            self._register_list()
        if allowed.update:
            self._register_update()
        if allowed.delete:
            self._register_delete()

    def _register_create(self) -> None:
        async def schedule(request: Request, task_id: str, data: TaskScheduleIn, scope: RequestScope) -> Response:
            task = await _get_task(scope, ULID(task_id), lock=True)
            manager = scope.get(ScheduleManager)
            with data.as_sent():
                created = await manager.create_entity(data.to_schedule(task.id, task.command[:_MOST_OF_NAME]))
            headers = {"Location": location_of(request, f"{self.schedules_prefix}/{created.id}")}
            return json_bytes((await _render(manager, [created]))[0], status=201, headers=headers)

        self.router.add_api_route(
            "/{task_id}/$schedule",
            schedule,
            methods=["POST"],
            status_code=201,
            response_model=TaskScheduleOut,
            responses=problems(400, 404, 409, 422),
            summary="Schedule",
        )

    def _register_list(self) -> None:
        async def schedules(task_id: str, scope: RequestScope) -> Response:
            task = await _get_task(scope, ULID(task_id))
            manager = scope.get(ScheduleManager)
            return json_bytes(as_array(await _render(manager, await manager.repository.list_of_task(task.id))))

        self.router.add_api_route(
            "/{task_id}/$schedules",
            schedules,
            methods=["GET"],
            response_model=list[TaskScheduleOut],
            responses=problems(400, 404),
            summary="Its schedules",
        )

    def _register_update(self) -> None:
        async def change(task_id: str, schedule_id: str, data: TaskScheduleUpdateIn, scope: RequestScope) -> Response:
            manager = scope.get(ScheduleManager)
            schedule = await _get_own(manager, task_id, schedule_id)
            changed = await manager.patch_entity(schedule.id, data.model_dump(), ScheduleIn)
            return json_bytes((await _render(manager, [changed]))[0])

        self.router.add_api_route(
            "/{task_id}/$schedules/{schedule_id}",
            change,
            methods=["PATCH"],
            response_model=TaskScheduleOut,
            responses=problems(400, 404, 422),
            summary="Pause or go on",
        )

    def _register_delete(self) -> None:
        async def delete(task_id: str, schedule_id: str, scope: RequestScope) -> Response:
            manager = scope.get(ScheduleManager)
            await manager.delete_entity(await _get_own(manager, task_id, schedule_id))
            return Response(status_code=204)

        self.router.add_api_route(
            "/{task_id}/$schedules/{schedule_id}",
            delete,
            methods=["DELETE"],
            status_code=204,
            responses=problems(400, 404, 409),
            summary="Schedule no more",
        )


def task_output(entity: Schedule, output: ScheduleOut) -> TaskScheduleOut:
    """Return a schedule with the members that the first design has."""
    trigger = output.trigger
    values: dict[str, Any] = {}
    if isinstance(trigger, OnceTriggerOut):
        values["run_at"] = trigger.at
    elif isinstance(trigger, IntervalTriggerOut):
        values["interval_seconds"] = duration(trigger.every).total_seconds()
    else:
        values["cron_expression"] = trigger.expression
    if entity.last_outcome == TickOutcome.SUBMITTED:
        values["last_run_at"] = entity.last_scheduled_for
    members = {name: getattr(output, name) for name in ScheduleOut.model_fields}
    return TaskScheduleOut(**members, schedule_type=trigger.type, **values)


async def _render(manager: ScheduleManager, entities: Sequence[Schedule]) -> list[bytes]:
    outputs = await manager.to_outputs(entities)
    return [task_output(*both).model_dump_json().encode() for both in zip(entities, outputs, strict=True)]


async def _get_task(scope: Scope, id: ULID, *, lock: bool = False) -> Task:
    tasks = TaskRepository(scope.session)
    task = await (tasks.find_for_update(id) if lock else tasks.find_by_id(id))
    if task is None:
        raise TaskUnknownError(id)
    return task


async def _get_own(manager: ScheduleManager, task_id: str, schedule_id: str) -> Schedule:
    """Return a schedule of this task; one of another task is none."""
    wanted = ULID(task_id)
    try:
        schedule = await manager.get_entity_for_update(ULID(schedule_id))
    except InvalidULIDError:
        raise ScheduleNotFoundError(schedule_id) from None
    if schedule.task_id != wanted:
        raise ScheduleNotFoundError(schedule_id)
    return schedule
