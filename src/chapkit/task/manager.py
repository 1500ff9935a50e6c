"""Tasks in terms of schemas."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.core.manager import BaseManager
from chapkit.job.options import JobOptions
from chapkit.job.schemas import JobRecord
from chapkit.task.bodies import refuse_told
from chapkit.task.models import Task
from chapkit.task.refusals import TaskUnknownError
from chapkit.task.repository import TaskRepository
from chapkit.task.schemas import ORPHAN, PERSON, TaskIn, TaskOut

_CHECKED = frozenset({"command", "task_type", "parameters"})


class TaskRules(Protocol):
    """What a service accepts as a task."""

    def check(self, command: str, task_type: str, parameters: Mapping[str, Any] | None) -> None:
        """Go on, if the service could run such a task."""
        ...

    def check_queue(self, queue: str) -> None:
        """Go on, if the service has such a queue."""
        ...


Execute = Callable[[Task, Mapping[str, Any] | None, JobOptions | None], Awaitable[JobRecord]]
"""Submits a task in the unit of work of the manager."""


class TaskManager(BaseManager[Task, TaskIn, TaskOut]):
    """Manages tasks.

    Args:
        repo: Where they are.
        rules: What the service accepts; everything, if left out.
        execute: How a task is submitted; without it, none can be executed.
    """

    repository: TaskRepository

    def __init__(self, repo: TaskRepository, rules: TaskRules | None = None, execute: Execute | None = None) -> None:
        super().__init__(repo, Task, TaskOut)
        self._rules = rules
        self._execute = execute

    async def find_all(self, *, enabled: bool | None = None) -> list[TaskOut]:
        """Return every task by id, or those in one state, the newest first."""
        async with self._reading():
            return list(self._to_output_schemas(await self.repository.find_all(enabled=enabled)))

    async def execute_task(
        self, task_id: ULID, parameters: Mapping[str, Any] | None = None, job: JobOptions | None = None
    ) -> ULID:
        """Submit a task and return the identifier of its job; it starts once this unit of work is committed.

        Raises:
            TaskUnknownError: There is no such task (`task-unknown`).
            TaskDisabledError: It is not to be run (`task-disabled`).
            ConfigurationError: This manager was made without the jobs and artifacts of a service (`task-not-wired`).
        """
        if self._execute is None:
            raise ConfigurationError(
                "Task execution requires a scheduler and artifacts: add with_artifacts(...), with_jobs() and "
                "with_tasks() to the builder, and take the manager from a scope of the service",
                code="task-not-wired",
            )
        task = await self.repository.find_by_id(task_id)
        if task is None:
            raise TaskUnknownError(task_id)
        return (await self._execute(task, parameters, job)).id

    async def patch_entity(self, id: ULID, changes: Mapping[str, Any], schema: type[TaskIn]) -> Task:
        """Merge `changes` into the task; one that says `enabled: false` holds even when a missing function is back."""
        refuse_told(schema, changes)
        async with self.unit_of_work():
            task = await super().patch_entity(id, changes, schema)
            if changes.get("enabled") is False and task.disabled_by == ORPHAN:
                task.disabled_by = PERSON
                await self.repository.update(task)
            return task

    async def pre_save(self, entity: Task, data: TaskIn) -> None:
        """Refuse what could not be run, and note who switched it off."""
        self._check(entity)
        self._check_queue(entity)
        _note_state(entity, was_enabled=True)

    async def pre_update(self, entity: Task, data: TaskIn, old_values: dict[str, Any]) -> None:
        """Refuse what could not be run any more, and note who switched it off."""
        was_enabled = old_values.get("enabled", entity.enabled)
        changed = {name for name, before in old_values.items() if before != getattr(entity, name)}
        if changed & _CHECKED or (entity.enabled and not was_enabled):
            self._check(entity)
        if "job" in changed:
            self._check_queue(entity)
        _note_state(entity, was_enabled=was_enabled)

    def _values(self, data: TaskIn, fields: set[str]) -> dict[str, Any]:
        values = data.model_dump(include=fields)
        if values.get("job") is not None and data.job is not None:
            values["job"] = data.job.model_dump(mode="json", exclude_none=True)
        return values

    def _check(self, task: Task) -> None:
        if self._rules is not None:
            self._rules.check(task.command, task.task_type, task.parameters)

    def _check_queue(self, task: Task) -> None:
        queue = None if task.job is None else task.job.get("queue")
        if self._rules is not None and queue is not None:
            self._rules.check_queue(queue)


def _note_state(task: Task, *, was_enabled: bool) -> None:
    if task.enabled:
        task.disabled_by = task.disabled_reason = None
    elif was_enabled:
        task.disabled_by = PERSON
