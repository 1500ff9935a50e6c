"""Why a task cannot be saved or run."""

from collections.abc import Collection

from chapkit.core.errors import ChapkitError, ConflictError, ForbiddenError, NotFoundError, UnprocessableError
from chapkit.core.ids import ULID
from chapkit.task.errors import did_you_mean, nearest

_ENABLE = 'enable it with PATCH {"enabled": true}'


class TaskRefusal(Exception):
    """Marks errors that come again however often a job is tried."""


class TaskUnknownError(NotFoundError, TaskRefusal):
    """There is no such task."""

    def __init__(self, task_id: str) -> None:
        super().__init__(f"Task {task_id} not found", code="task-unknown", field="task_id", found=task_id)


class CommandUnknownError(UnprocessableError, TaskRefusal):
    """No function of the service has the name that a Python task calls."""

    def __init__(self, name: str, known: Collection[str]) -> None:
        near = nearest(name, known)
        super().__init__(
            f"No function is registered as '{name}' in this service{did_you_mean(near)}; "
            "GET $functions lists those that there are",
            code="task-function-unknown",
            field="command",
            found=name[:200],
            did_you_mean=near,
        )


class ShellTasksOffError(ForbiddenError, TaskRefusal):
    """Commands may run only where the service was built to run them."""

    def __init__(self) -> None:
        super().__init__(
            "This service runs no commands, because whoever may send one can do whatever the service can; "
            "with_tasks(allow_shell=True) allows them. For a registered function send task_type 'python'",
            code="shell-tasks-off",
            field="task_type",
        )


class TaskDisabledError(ConflictError, TaskRefusal):
    """The task is not to be run."""

    def __init__(self, task_id: ULID, reason: str | None, *, is_orphan: bool = False) -> None:
        way_out = "register the function again and restart the service" if is_orphan else _ENABLE
        super().__init__(
            f"Cannot execute disabled task {task_id}{f': {reason}' if reason else ''}; {way_out}",
            code="task-disabled",
            reason=reason,
        )


class TaskTypeChangedError(ConflictError, TaskRefusal):
    """The task has become one of another kind since its job was submitted."""

    def __init__(self, task_type: str) -> None:
        super().__init__(
            f"The task is of the type {task_type!r} now and was of another one when this job was submitted; "
            "execute it again",
            code="task-type-changed",
            found=task_type,
        )


class TaskCodeChangedError(ChapkitError, TaskRefusal):
    """The function is another one than when the job was submitted."""

    def __init__(self, function: str, before: str, now: str) -> None:
        super().__init__(
            f"The code of {function} has changed since the job was submitted (from {before} to {now}), and it is "
            "registered with on_code_change='fail'; submit it again, or run the new code with POST $retry",
            code="task-code-changed",
            function=function,
            expected=before,
            found=now,
        )


class ResultNotStorableError(ChapkitError, TaskRefusal):
    """The function returned something that is neither JSON nor a content."""

    def __init__(self, function: str, kind: str) -> None:
        super().__init__(
            f"{function} returned a {kind}, which JSON cannot carry; return JSON values, a frame, bytes or text, or "
            "say how it is written with register_serializer(...)",
            code="task-result-not-storable",
            function=function,
            found=kind,
        )
