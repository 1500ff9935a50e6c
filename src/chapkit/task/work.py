"""One execution of a task as its handler sees it: what to run, and what is told of it afterwards."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from chapkit.core.error_text import text_of
from chapkit.core.errors import InvalidULIDError
from chapkit.core.ids import ULID
from chapkit.core.services import Scope
from chapkit.job.claims import storable
from chapkit.job.failures import describe_failure
from chapkit.task.refusals import TaskDisabledError, TaskUnknownError
from chapkit.task.repository import TaskRepository
from chapkit.task.schemas import PYTHON
from chapkit.task.stored import StoredTask


@dataclass(frozen=True)
class TaskWork:
    """A task as it is when its job starts, with the parameters of this execution."""

    command: str
    task_type: str
    parameters: Mapping[str, Any] | None
    task: StoredTask | None = None
    more: dict[str, Any] = field(default_factory=dict[str, Any])
    """What the metadata of the artifact tell beside that."""

    @property
    def snapshot(self) -> dict[str, Any]:
        """What the artifact says of the task."""
        task = self.task
        return {
            "id": None if task is None else task.id,
            "command": self.command,
            "task_type": self.task_type,
            "parameters": None if self.parameters is None else dict(self.parameters),
            "created_at": None if task is None else task.created_at,
            "updated_at": None if task is None else task.updated_at,
        }

    @property
    def metadata(self) -> dict[str, Any]:
        """What can be told of the artifact without its content."""
        task_id = None if self.task is None else self.task.id
        return {"task_id": task_id, "command": self.command, "parameters": self.parameters, **self.more}


async def load_work(scope: Scope, payload: Mapping[str, Any]) -> TaskWork:
    """Return what a job is to run, with changes that were made since it was submitted.

    Raises:
        TaskUnknownError: The task was deleted meanwhile (`task-unknown`).
        TaskDisabledError: It was disabled meanwhile (`task-disabled`).
    """
    given: Mapping[str, Any] | None = payload.get("parameters")
    if "function" in payload:
        return TaskWork(payload["function"], PYTHON, given or {})
    task = await _find(scope, payload)
    if task is None:
        raise TaskUnknownError(str(payload.get("task_id")))
    if not task.enabled:
        raise TaskDisabledError(task.id, task.disabled_reason, is_orphan=task.is_orphan)
    return _work_of(task, given)


async def describe_work(scope: Scope, payload: Mapping[str, Any]) -> TaskWork:
    """Return what can still be told of a job that could not be run."""
    if "function" in payload:
        return TaskWork(payload["function"], PYTHON, payload.get("parameters"))
    task = await _find(scope, payload)
    if task is None:
        return TaskWork("", "", payload.get("parameters"), more={"task_id": payload.get("task_id")})
    return _work_of(task, payload.get("parameters"))


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return what the artifact says of a failure."""
    return {"type": type(error).__name__, "message": storable(text_of(error)), "traceback": describe_failure(error)}


def _work_of(task: StoredTask, given: Mapping[str, Any] | None) -> TaskWork:
    parameters = task.parameters if given is None else {**(task.parameters or {}), **given}
    return TaskWork(task.command, task.task_type, parameters, task)


async def _find(scope: Scope, payload: Mapping[str, Any]) -> StoredTask | None:
    try:
        task_id = ULID(payload["task_id"])
    except (InvalidULIDError, KeyError):
        return None
    return await TaskRepository(scope.session).find_stored(task_id)
