"""Tasks on the wire."""

from typing import Any, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, field_validator

from chapkit.core.ids import ULID
from chapkit.core.schemas import EntityIn, EntityOut
from chapkit.core.types import UtcDatetime, storable_text
from chapkit.job.options import JobOptions
from chapkit.task.bodies import StrictBody, told_only

SHELL: Literal["shell"] = "shell"
PYTHON: Literal["python"] = "python"
PERSON = "person"
ORPHAN = "orphan"
TASK_RESULT_TYPE = "task_result"
"""Type of the artifacts that tasks leave."""
MAX_COMMAND = 100_000
TaskType: TypeAlias = Literal["shell", "python"]


class TaskIn(StrictBody, EntityIn):
    """A task as a client sends it."""

    command: str = Field(
        min_length=1, max_length=MAX_COMMAND, description="A text for the shell, or the name of a registered function."
    )
    task_type: TaskType = SHELL
    parameters: dict[str, Any] | None = Field(default=None, description="What the function is called with.")
    enabled: bool = True
    disabled_reason: str | None = Field(default=None, max_length=1000, description="Why it is not to be run.")
    job: JobOptions | None = Field(default=None, description="How its jobs are run, if not as the function says.")

    @field_validator("command")
    @classmethod
    def _check_command(cls, command: str) -> str:
        if "\x00" in command:
            raise ValueError("a command cannot hold a NUL character; leave it out, or let printf write it")
        return command

    @field_validator("disabled_reason")
    @classmethod
    def _check_reason(cls, reason: str | None) -> str | None:
        return None if reason is None else storable_text(reason)


class TaskOut(EntityOut):
    """A task as the service stores it."""

    command: str
    task_type: str
    parameters: dict[str, Any] | None = None
    enabled: bool = True
    disabled_reason: str | None = None
    disabled_by: str | None = Field(
        default=None, description="`person`, or `orphan` where its function is missing; then it comes back by itself."
    )
    job: JobOptions | None = None


TaskIn.told = told_only(TaskOut, TaskIn)


class TaskExecuteRequest(StrictBody):
    """How a task is to be run this time."""

    parameters: dict[str, Any] | None = Field(default=None, description="These take the place of the task's own ones.")
    job: JobOptions | None = Field(default=None, description="How the job is run, if not as the task has it.")


class TaskExecuteResponse(BaseModel):
    """The job that runs the task, and where its result will be."""

    job_id: ULID
    message: str
    artifact_id: ULID | None = Field(
        default=None, description="Null where an equal call may bring the result; the job has it in the end."
    )
    cache: Literal["hit", "miss"] | None = Field(default=None, description="Null where nothing is kept.")


class TaskFunctionOut(BaseModel):
    """A registered function."""

    name: str
    type: str
    signature: str
    doc: str | None = Field(default=None, description="The first line of its documentation.")
    parameters: dict[str, Any] = Field(description="JSON Schema of what a client may send.")
    injected: dict[str, str] = Field(description="Type of each parameter that the service brings.")
    version: str | None = Field(default=None, description="What its author declared.")
    code_version: str = Field(description="Changes with the source of the function.")
    on_code_change: str
    tags: list[str]
    executor: str | None = None
    queue: str | None = None
    timeout: float | None = Field(default=None, description="Seconds that one attempt may take.")
    retry: dict[str, Any] | None = None
    cache: dict[str, Any] | None = None


class TaskCacheFunction(BaseModel):
    """The kept results of one function."""

    function: str
    results: int = Field(ge=0, description="Results that count now.")
    hits: int = Field(ge=0)
    misses: int = Field(ge=0)
    stale: int = Field(ge=0, description="Misses for which there was a result that had expired.")


class TaskCacheStats(BaseModel):
    """The kept results of all functions."""

    results: int = Field(ge=0)
    hits: int = Field(ge=0)
    misses: int = Field(ge=0)
    stale: int = Field(ge=0)
    oldest: UtcDatetime | None = None
    functions: list[TaskCacheFunction]


class TaskInvalidateRequest(BaseModel):
    """Which kept results are dropped; exactly one member says it."""

    model_config = ConfigDict(extra="forbid")

    tag: str | None = None
    function: str | None = None
    key: str | None = None
    all: bool | None = None


class TaskInvalidateResponse(BaseModel):
    """How many results were dropped."""

    dropped: int = Field(ge=0)
