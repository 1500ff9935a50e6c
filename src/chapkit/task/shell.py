"""Commands as jobs: bounded, killed with all that they have started, their output kept."""

from pathlib import Path
from typing import Any, ClassVar

from pydantic_core import to_json

from chapkit.artifact.storage import ContentStorage
from chapkit.core.ids import ULID
from chapkit.core.services import Scope
from chapkit.job.commands import Command, CommandFailedError, CommandResult, CommandTimedOutError, run_command
from chapkit.job.context import JobContext
from chapkit.job.errors import JobTimeoutError
from chapkit.job.ports import JobOutcome
from chapkit.task.execution import COMMAND_GRACE, SHELL_HANDLER
from chapkit.task.recording import TaskHandler, record_artifact
from chapkit.task.refusals import ShellTasksOffError, TaskTypeChangedError
from chapkit.task.schemas import SHELL
from chapkit.task.work import describe_error, load_work

PARAMETERS = "CHAPKIT_PARAMETERS"
"""Environment variable of the command that holds the parameters of its task as JSON."""


class ShellTaskHandler(TaskHandler):
    """Runs the command of a task."""

    name: ClassVar[str] = SHELL_HANDLER

    def __init__(self, *, allow_shell: bool) -> None:
        super().__init__()
        self._allow_shell = allow_shell

    async def execute(self, context: JobContext) -> JobOutcome:
        """Run the command and keep what it writes.

        Raises:
            ShellTasksOffError: The service runs no commands (`shell-tasks-off`).
            CommandFailedError: It ended with another exit code than 0 (`command-failed`).
            JobTimeoutError: It took longer than it may (`job-timed-out`).
        """
        async with context.scope.read() as scope:
            work = await load_work(scope, context.payload)
        self._works[context] = work
        if not self._allow_shell:
            raise ShellTasksOffError
        if work.task_type != SHELL:
            raise TaskTypeChangedError(work.task_type)
        environment = {} if work.parameters is None else {PARAMETERS: to_json(work.parameters).decode()}
        limit = _limit(context.claim.timeout)
        command = Command(work.command, cwd=Path.cwd(), timeout=limit, env=environment)
        try:
            result = await run_command(command, context, stream=True)
        except CommandTimedOutError as error:
            raise JobTimeoutError(str(error)) from error
        if result.exit_code != 0:
            raise ShellTaskFailedError(result)
        content = {"task": work.snapshot, **_output(result)}
        prepared = await context.services.get(ContentStorage).coder.prepare(content)
        metadata = {"status": "success", **work.metadata, "exit_code": result.exit_code}

        async def record(scope: Scope) -> dict[str, ULID]:
            return {"artifact_id": await record_artifact(scope, context, prepared, metadata)}

        return JobOutcome(record=record)

    def describe_failure(self, error: BaseException) -> dict[str, Any]:
        """Return what the command wrote, as far as it ran, and what went wrong."""
        late = error.__cause__
        result = late.result if isinstance(late, CommandTimedOutError) else getattr(error, "result", None)
        output = _output(result) if isinstance(result, CommandResult) else _NOTHING
        return {**output, "error": describe_error(error)}


class ShellTaskFailedError(CommandFailedError):
    """The command of a task ended with another exit code than 0."""

    def __init__(self, result: CommandResult) -> None:
        super().__init__(result.program[:200], result.exit_code, result.stderr)
        self.result = result
        """What it wrote."""


_NOTHING = {"stdout": "", "stderr": "", "exit_code": None, "truncated": False}


def _output(result: CommandResult) -> dict[str, Any]:
    return {
        "stdout": result.stdout,
        "stderr": result.stderr,
        "exit_code": result.exit_code,
        "truncated": result.truncated,
    }


def _limit(timeout: float | None) -> float | None:
    """Return what the command may take; the attempt itself may take a little more, so that its output is kept."""
    return None if timeout is None else max(timeout - COMMAND_GRACE, timeout / 2)
