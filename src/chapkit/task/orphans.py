"""Tasks whose function is missing: disabled at the start, and enabled again when it is back."""

from collections.abc import Sequence
from typing import Any

from chapkit.core.database import Database
from chapkit.core.events import EntitySaved
from chapkit.core.logging import get_logger
from chapkit.core.services import Services
from chapkit.task.functions import TaskFunctions
from chapkit.task.models import Task
from chapkit.task.repository import TaskRepository
from chapkit.task.schemas import ORPHAN, TaskOut


class Orphans:
    """Compares the tasks of a service with its functions."""

    def __init__(self, services: Services, functions: TaskFunctions) -> None:
        self._services = services
        self._functions = functions

    async def list(self) -> Sequence[TaskOut]:
        """Return the tasks whose function is missing."""
        async with self._services.scope.read() as scope:
            tasks = await TaskRepository(scope.session).find_functions()
        return [TaskOut.model_validate(task) for task in tasks if self._is_orphan(task)]

    async def sort_out(self) -> int:
        """Disable the tasks whose function is missing, enable those whose function is back; return how many miss it."""
        async with self._services.scope.read() as scope:
            tasks = await TaskRepository(scope.session).find_functions()
        wrong = [task for task in tasks if self._is_orphan(task) == task.enabled and self._may_change(task)]
        if wrong:
            await self._mend(wrong)
        return sum(map(self._is_orphan, tasks))

    async def _mend(self, tasks: Sequence[Task]) -> None:
        async with self._services.scope.write() as scope:
            repository = TaskRepository(scope.session)
            for old in tasks:
                task = await repository.find_for_update(old.id)
                # Another process that starts now may have done it.
                if task is None or self._is_orphan(task) != task.enabled or not self._may_change(task):
                    continue
                missing = task.enabled
                task.enabled = not missing
                task.disabled_by = ORPHAN if missing else None
                task.disabled_reason = _reason(task.command) if missing else None
                await repository.update(task)
                await scope.emit(EntitySaved(task, created=False, changes={"enabled": (missing, not missing)}))
                event = "task.orphaned" if missing else "task.back"
                get_logger("chapkit.task").warning(event, task_id=task.id, function=task.command)

    def _is_orphan(self, task: Task) -> bool:
        return task.task_type == "python" and self._functions.find(task.command) is None

    def _may_change(self, task: Task) -> bool:
        return task.enabled or task.disabled_by == ORPHAN


async def validate_and_disable_orphaned_tasks(app: Any) -> int:
    """Compare the tasks of a started application with its functions; return how many miss theirs.

    A service built `with_tasks()` does that by itself when it starts.
    """
    services: Services | None = getattr(app.state, "services", None)
    orphans = None if services is None else services.find(Orphans)
    if services is None or orphans is None or services.find(Database) is None:
        return 0
    return await orphans.sort_out()


def _reason(command: str) -> str:
    return f"No function is registered as '{command}' in this service; it is enabled again when there is one"
