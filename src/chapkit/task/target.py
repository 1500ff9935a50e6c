"""Tasks as something that can be submitted from elsewhere: by a schedule, for instance."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chapkit.core.errors import UnprocessableError
from chapkit.core.ids import ULID
from chapkit.core.services import Scope
from chapkit.job.schemas import JobSpec
from chapkit.job.targets import JobTarget
from chapkit.task.execution import Asked, Plan, TaskSubmitter
from chapkit.task.functions import TaskFunctions
from chapkit.task.refusals import CommandUnknownError, TaskUnknownError
from chapkit.task.repository import TaskRepository
from chapkit.task.stored import StoredTask


class TaskArguments(BaseModel):
    """Which task, and with what; exactly one of the first three says which."""

    model_config = ConfigDict(extra="forbid")

    task_id: ULID | None = Field(default=None, description="A stored task.")
    function: str | None = Field(default=None, description="A registered function, called without a task.")
    task: str | None = Field(default=None, description="A registered function, else the only task with this command.")
    parameters: dict[str, Any] | None = None


class TaskTarget(JobTarget):
    """Submits stored tasks, and registered functions without one."""

    name: ClassVar[str] = "task"

    def __init__(self, submitter: TaskSubmitter, functions: TaskFunctions) -> None:
        self._submitter = submitter
        self._functions = functions

    async def spec(self, scope: Scope, arguments: Mapping[str, Any]) -> JobSpec:
        """Return the job; one whose result is kept ends with that result as soon as it starts.

        Raises:
            UnprocessableError: The arguments make no sense (`target-arguments-invalid`), or do not fit the function.
            TaskUnknownError: There is no such task (`task-unknown`).
            TaskDisabledError: It is not to be run (`task-disabled`).
        """
        return (await self._plan(scope, _read(arguments))).spec

    async def _plan(self, scope: Scope, wanted: TaskArguments) -> Plan:
        asked = Asked(parameters=wanted.parameters)
        if wanted.function is not None:
            return self._submitter.plan_function(wanted.function, asked)
        tasks = TaskRepository(scope.session)
        if wanted.task_id is not None:
            task = await tasks.find_stored(wanted.task_id)
            if task is None:
                raise TaskUnknownError(wanted.task_id)
            return self._submitter.plan(task, asked)
        name = wanted.task or ""
        if self._functions.find(name) is not None:
            return self._submitter.plan_function(name, asked)
        found = await tasks.find_by_command(name, limit=2)
        if len(found) != 1:
            raise _several(name) if found else CommandUnknownError(name, self._functions.names)
        return self._submitter.plan(StoredTask.of(found[0]), asked)


def _read(arguments: Mapping[str, Any]) -> TaskArguments:
    try:
        wanted = TaskArguments.model_validate(dict(arguments))
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False, include_input=False)
        raise _invalid([(".".join(map(str, each["loc"])), each["msg"]) for each in found]) from error
    named = [name for name in ("task_id", "function", "task") if getattr(wanted, name) is not None]
    if len(named) != 1:
        where = named[1] if named else "task"
        raise _invalid([(where, "say with exactly one of task_id, function and task what is to be run")])
    return wanted


def _invalid(problems: Sequence[tuple[str, str]]) -> UnprocessableError:
    errors = [{"field": f"arguments.{where}", "message": message} for where, message in problems]
    return UnprocessableError(
        f"{errors[0]['field']}: {errors[0]['message']}",
        code="target-arguments-invalid",
        field=errors[0]["field"],
        errors=errors,
    )


def _several(command: str) -> UnprocessableError:
    return UnprocessableError(
        f"Several tasks have the command {command[:80]!r}; say by task_id which one is meant",
        code="task-ambiguous",
        field="arguments.task",
        found=command[:200],
    )
