"""Commands as jobs: bounded, killed with all that they have started, their output kept."""

from collections.abc import Mapping
from dataclasses import dataclass
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
from chapkit.task.execution import COMMAND_LIMIT, SHELL_HANDLER, attempt_limit
from chapkit.task.payloads import whole_payload
from chapkit.task.recording import TaskHandler, record_artifact
from chapkit.task.refusals import ShellTasksOffError, TaskTypeChangedError
from chapkit.task.schemas import SHELL
from chapkit.task.work import describe_error, load_work

PARAMETERS = "CHAPKIT_PARAMETERS"
"""Environment variable of the command that holds the parameters of its task as JSON."""
_LAST_MOMENT = 1.0
"""Seconds at most by which a command ends before an attempt whose limit was set by a schedule."""


class ShellTaskHandler(TaskHandler):
    """Runs the command of a task."""

    name: ClassVar[str] = SHELL_HANDLER

    def __init__(self, *, allow_shell: bool, folder: Path | None = None) -> None:
        super().__init__()
        self._allow_shell = allow_shell
        self._folder = folder

    async def execute(self, context: JobContext) -> JobOutcome:
        """Run the command and keep what it writes.

        Raises:
            ShellTasksOffError: The service runs no commands (`shell-tasks-off`).
            CommandFailedError: It ended with another exit code than 0 (`command-failed`).
            JobTimeoutError: It took longer than it may (`job-timed-out`).
        """
        payload = await whole_payload(context)
        async with context.scope.read() as scope:
            work = await load_work(scope, payload)
        self._works[context] = work
        if not self._allow_shell:
            raise ShellTasksOffError
        if work.task_type != SHELL:
            raise TaskTypeChangedError(work.task_type)
        environment = {} if work.parameters is None else {PARAMETERS: to_json(work.parameters).decode()}
        limit = limit_of(context.claim.timeout, context.labels)
        seconds = None if limit is None else limit.seconds
        command = Command(work.command, cwd=self._folder, timeout=seconds, env=environment)
        try:
            result = await run_command(command, context, stream=True)
        except CommandTimedOutError as error:
            context.note_usage(error.result.usage)
            told = error if limit is None else CommandTimedOutError(error.result.program, limit.told, error.result)
            raise JobTimeoutError(str(told)) from error
        context.note_usage(result.usage)
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


@dataclass(frozen=True)
class Limit:
    """How long a command may take."""

    seconds: float
    told: float
    """What the user has written."""


def limit_of(timeout: float | None, labels: Mapping[str, Any]) -> Limit | None:
    """Return the limit of a command in an attempt that may take `timeout` seconds.

    What a schedule says takes the place of the limit of the attempt; then the command ends a moment before that, as
    what it wrote could not be kept after it.
    """
    if timeout is None:
        return None
    wanted: float | None = labels.get(COMMAND_LIMIT)
    if wanted is not None and timeout == attempt_limit(wanted):
        return Limit(wanted, wanted)
    return Limit(timeout - min(_LAST_MOMENT, timeout / 10), timeout)
