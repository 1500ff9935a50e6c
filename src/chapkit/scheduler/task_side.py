"""What tasks and schedules have to do with one another."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from fastapi import APIRouter
from sqlalchemy import select

from chapkit.core.errors import ConflictError, InvalidULIDError
from chapkit.core.events import EntityDeleting, EntitySaved, Event
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.scheduler.feature import ScheduleFeature
from chapkit.scheduler.manager import ScheduleManager
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.repository import ScheduleRepository
from chapkit.scheduler.subjects import ScheduleSubjects, Subject
from chapkit.scheduler.task_routes import TaskScheduleRouter
from chapkit.task.feature import TaskFeature
from chapkit.task.functions import TaskFunctions
from chapkit.task.models import Task
from chapkit.task.repository import TaskRepository
from chapkit.task.target import TaskTarget
from chapkit.web.feature import CrudPermissions, Feature, Requirement


@dataclass(frozen=True)
class TaskScheduleFeature(Feature):
    """Schedules as operations on tasks; one that is disabled holds its schedules, one that goes takes them with it."""

    kind: ClassVar[str] = "task-schedules"
    requires: ClassVar[tuple[Requirement, ...]] = (
        Requirement("task", "with_tasks()"),
        Requirement("schedule", "with_schedules()"),
    )

    tasks_prefix: str = "/api/v1/tasks"
    tags: tuple[str, ...] = ("Tasks",)
    schedules_prefix: str = "/api/v1/schedules"
    permissions: CrudPermissions = field(default_factory=CrudPermissions)

    @classmethod
    def between(cls, features: Iterable[Feature], schedules: ScheduleFeature) -> "TaskScheduleFeature":
        """Return the operations on the tasks among `features`."""
        tasks = next((item for item in features if isinstance(item, TaskFeature)), TaskFeature())
        given = schedules.permissions
        # To schedule a task is to run it.
        allowed = replace(given, create=given.create and tasks.allow_execute)
        return cls(tasks.prefix, tasks.tags, schedules.prefix, allowed)

    def register(self, services: Services) -> None:
        """Watch what happens to tasks, and say which of them a schedule is about."""
        services.get(ScheduleSubjects).add(TaskTarget.name, _find_subject)
        services.on_event(_on_event)

    def routers(self) -> Iterable[APIRouter]:
        """Return the operations on tasks."""
        yield TaskScheduleRouter(self.tasks_prefix, self.tags, self.schedules_prefix, self.permissions).router

    @asynccontextmanager
    async def lifespan(self, services: Services) -> AsyncGenerator[None]:
        """Hold the schedules of tasks that were disabled while nobody was there to hear of it."""
        await _catch_up(services)
        yield


async def _find_subject(scope: Scope, arguments: Mapping[str, Any]) -> Subject:
    task = await _find_task(scope, arguments)
    return Subject() if task is None else Subject(task.id, _reason_to_hold(task))


async def _find_task(scope: Scope, arguments: Mapping[str, Any]) -> Task | None:
    tasks = TaskRepository(scope.session)
    if (task_id := arguments.get("task_id")) is not None:
        return await tasks.find_by_id(ULID(task_id)) if _is_ulid(task_id) else None
    command = arguments.get("task")
    if not isinstance(command, str) or scope.services.get(TaskFunctions).find(command) is not None:
        return None
    found = await tasks.find_by_command(command, limit=2)
    return found[0] if len(found) == 1 else None


async def _on_event(event: Event, scope: Scope) -> None:
    if not isinstance(event.entity, Task):
        return
    if isinstance(event, EntityDeleting):
        await _release(event.entity, scope, cascade=event.cascade is True)
    elif isinstance(event, EntitySaved):
        if event.created or "command" in event.changes:
            await _tie(scope, event.entity.command)
        if "enabled" in event.changes:
            await _hold_all(event.entity, scope)


async def _release(task: Task, scope: Scope, *, cascade: bool) -> None:
    """Delete the schedules of a task that is about to go.

    Raises:
        ConflictError: There are some, and nobody said that they go too (`task-has-schedules`).
    """
    manager = ScheduleManager(scope)
    schedules = await manager.repository.list_of_task(task.id, lock=True)
    if schedules and not cascade:
        raise ConflictError(
            f"Task {task.id} has {len(schedules)} schedules; delete them first, or with it: ?cascade=true",
            code="task-has-schedules",
            schedule_ids=[schedule.id for schedule in schedules],
        )
    # What the code declares comes back at the next start, and says then that its task is missing.
    manager.acts_for_code = True
    for schedule in schedules:
        await manager.delete_entity(schedule)


async def _hold_all(task: Task, scope: Scope) -> None:
    manager = scope.get(ScheduleManager)
    for schedule in await manager.repository.list_of_task(task.id, lock=True):
        await manager.hold(schedule, _reason_to_hold(task))


async def _tie(scope: Scope, command: str) -> None:
    """Let the schedules that waited for a task with this command be about it."""
    if scope.services.get(TaskFunctions).find(command) is None:
        manager = ScheduleManager(scope)
        for schedule in await manager.repository.list_untied(TaskTarget.name, command, lock=True):
            await manager.tie(schedule)


async def _catch_up(services: Services) -> None:
    await _tie_all(services)
    differs = Task.enabled == Schedule.held_reason.is_not(None)
    statement = select(Task.id).join(Schedule, Schedule.task_id == Task.id).where(differs).distinct()
    async with services.scope.read() as scope:
        changed = (await scope.session.scalars(statement)).all()
    if not changed:
        return
    async with services.scope.write() as scope:
        for task in await TaskRepository(scope.session).find_all_by_id(changed):
            await _hold_all(task, scope)


async def _tie_all(services: Services) -> None:
    async with services.scope.read() as scope:
        untied = await ScheduleRepository(scope.session).list_untied(TaskTarget.name)
        found = [item for item in untied if (await _find_subject(scope, item.arguments)).task_id is not None]
    if found:
        async with services.scope.write() as scope:
            for command in sorted({schedule.arguments["task"] for schedule in found}):
                await _tie(scope, command)


def _reason_to_hold(task: Task) -> str | None:
    if task.enabled:
        return None
    why = f": {task.disabled_reason}" if task.disabled_reason else ""
    return f"Task {task.id} is disabled{why}"


def _is_ulid(value: object) -> bool:
    try:
        ULID(value)
    except InvalidULIDError:
        return False
    return True
