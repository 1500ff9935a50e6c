"""Schedules on the wire."""

from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BaseModel, Field, field_validator, model_validator

from chapkit.core.ids import ULID
from chapkit.core.schemas import EntityIn, EntityOut
from chapkit.core.types import UtcDatetime, storable_text
from chapkit.job.options import JobOptions
from chapkit.job.schemas import JobStatus
from chapkit.scheduler.policies import Missed, Overlap, check_jitter
from chapkit.scheduler.trigger_schemas import AwareMoment, TriggerOut, TriggerSpec, UpcomingTick
from chapkit.scheduler.window import window_of
from chapkit.task.bodies import NUMBER, StrictBody, told_only
from chapkit.task.json_values import JsonValues

GRACE = 60.0
"""Seconds that a tick may be late without being missed."""
SHORTEST_GRACE = 1.0
"""Less than that a tick is late by the time that anybody can see to it."""
MOST_BACKFILLED = 1000
MOST_FAILURES = 1_000_000
LONGEST_GRACE = 86_400.0
JSON = JsonValues(lambda _: None)
"""Checks what a client sent: what a column cannot hold would become null there, or nobody could write it."""
MissedPolicy: TypeAlias = Literal["skip", "latest"] | dict[str, int]
_MissedIn = Annotated[
    Any,
    Field(
        description='Ticks that nobody was there for: `"skip"`, `"latest"` (one run for all) or `{"all": 10}`.',
        json_schema_extra={
            "anyOf": [
                {"enum": ["skip", "latest"]},
                {
                    "type": "object",
                    "properties": {"all": {"type": "integer", "minimum": 1, "maximum": 1000}},
                    "required": ["all"],
                    "additionalProperties": False,
                },
            ]
        },
    ),
]


class ScheduleState(StrEnum):
    """Whether something is going to happen."""

    ACTIVE = "active"
    PAUSED = "paused"
    """By a person, or after too many failures; see `paused_reason`."""
    HELD = "held"
    """By what it depends on, such as a task that is disabled; see `held_reason`."""
    FINISHED = "finished"
    """There is no tick to come any more."""


class TickOutcome(StrEnum):
    """What became of a tick."""

    SUBMITTED = "submitted"
    SKIPPED = "skipped"
    FAILED = "failed"
    """No job could be submitted."""


class TickSource(StrEnum):
    """Why there is a tick."""

    TRIGGER = "trigger"
    BACKFILL = "backfill"
    MANUAL = "manual"


class ScheduleRules(BaseModel):
    """When a schedule runs, and what it does about everything that can come in its way."""

    trigger: TriggerSpec
    start_at: AwareMoment | None = Field(default=None, description="No tick before this moment.")
    end_at: AwareMoment | None = Field(default=None, description="No tick at this moment or later.")
    jitter: Annotated[float, NUMBER] = Field(
        default=0.0, description="The job starts up to so many seconds after its tick."
    )
    missed: _MissedIn = "latest"
    grace: Annotated[float, NUMBER] = Field(
        default=GRACE,
        ge=SHORTEST_GRACE,
        le=LONGEST_GRACE,
        description="Seconds that a tick may be late without being missed.",
    )
    overlap: Overlap = Field(default=Overlap.SKIP, description="While the job of an earlier tick has not ended.")
    enabled: bool = True
    max_failures: Annotated[int | None, NUMBER] = Field(
        default=None, ge=1, le=MOST_FAILURES, description="So many failures in a row pause it."
    )
    job: JobOptions | None = Field(default=None, description="How its jobs are run.")

    @field_validator("jitter")
    @classmethod
    def _check_jitter(cls, value: float) -> float:
        check_jitter(value)
        return value

    @field_validator("missed")
    @classmethod
    def _check_missed(cls, value: Any) -> MissedPolicy:
        policy: Any = Missed.from_wire(value).to_wire()
        wanted: MissedPolicy = policy
        return wanted

    @model_validator(mode="after")
    def _check_together(self) -> "ScheduleRules":
        window = window_of(self.start_at, self.end_at)
        # Only what was given, as assigning makes a member a given one.
        if window.start is not None:
            self.start_at = window.start
        if window.end is not None:
            self.end_at = window.end
        options = self.job
        if options is not None and options.run_after is not None:
            raise ValueError("job.run_after is the same moment for every job; leave it out, the trigger says when")
        if options is not None and options.concurrency_key is not None and self.overlap in _ONE_AFTER_ANOTHER:
            raise ValueError(
                f"job.concurrency_key cannot be chosen with overlap={self.overlap.value!r}, which has a key of its own"
            )
        return self


_ONE_AFTER_ANOTHER = (Overlap.QUEUE, Overlap.REPLACE)


class ScheduleIn(StrictBody, ScheduleRules, EntityIn):
    """A schedule as a client sends it."""

    name: str = Field(min_length=1, max_length=200, description="Any name; it need not be unique.")
    target: str = Field(description="What is submitted: `task`, `ml.train`, `ml.predict`, `ml.train:NAME`, `handler`.")
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any], description="What the target is told.")

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return storable_text(name)

    @field_validator("arguments")
    @classmethod
    def _check_arguments(cls, arguments: dict[str, Any]) -> dict[str, Any]:
        checked: dict[str, Any] = JSON.write(arguments, "arguments")
        return checked


class TickRecord(BaseModel):
    """What became of a tick."""

    scheduled_for: UtcDatetime
    outcome: TickOutcome
    reason: str | None = Field(default=None, description="Why there is no job.")
    job_id: ULID | None = None


class ScheduledJob(BaseModel):
    """The last job of a schedule, as it is now."""

    id: ULID
    status: JobStatus
    error: str | None = None
    error_code: str | None = None
    finished_at: UtcDatetime | None = None


class ScheduleOut(EntityOut):
    """A schedule as the service keeps it."""

    name: str
    target: str
    arguments: dict[str, Any]
    trigger: TriggerOut
    explanation: str = Field(description="The trigger in words.")
    start_at: UtcDatetime | None = None
    end_at: UtcDatetime | None = None
    jitter: float
    missed: MissedPolicy
    grace: float
    overlap: Overlap
    enabled: bool
    max_failures: int | None = None
    job: JobOptions | None = None
    state: ScheduleState
    paused_reason: str | None = None
    held_reason: str | None = None
    managed_by: str | None = Field(default=None, description="`code`, where the service itself declares it.")
    task_id: ULID | None = None
    next_run_at: UtcDatetime | None = Field(default=None, description="The tick that is due next.")
    failures: int = Field(default=0, description="Failures in a row, as far as a later tick has seen them.")
    last_tick: TickRecord | None = None
    last_job: ScheduledJob | None = Field(default=None, description="As it is now.")


ScheduleIn.told = told_only(ScheduleOut, ScheduleIn)


class ScheduleRun(TickRecord):
    """A tick with what became of its job."""

    source: TickSource = TickSource.TRIGGER
    created_at: UtcDatetime = Field(description="When it was decided.")
    job_status: JobStatus | None = Field(default=None, description="Null where there is no job, or no longer.")
    job_error: str | None = None
    job_error_code: str | None = None


class SchedulePreviewIn(StrictBody):
    """A trigger to be explained."""

    trigger: TriggerSpec
    start_at: AwareMoment | None = None
    end_at: AwareMoment | None = None


class SchedulePreview(BaseModel):
    """What a trigger means."""

    explanation: str
    next: list[UpcomingTick]


class BackfillIn(StrictBody):
    """A range of time whose ticks are made up for."""

    start: AwareMoment = Field(description="The first moment that counts.")
    end: AwareMoment = Field(description="The first moment that does not count any more; not in the future.")
    limit: Annotated[int, NUMBER] = Field(
        default=MOST_BACKFILLED, ge=1, le=MOST_BACKFILLED, description="So many ticks at most."
    )


class BackfillResult(BaseModel):
    """What became of the ticks of a range."""

    created: list[TickRecord]
    skipped: list[TickRecord] = Field(description="Those that have a job already.")
    failed: list[TickRecord] = Field(description="Those that no job could be submitted for.")
    continue_from: UtcDatetime | None = Field(
        default=None, description="The first tick beyond the limit: `start` of the next request."
    )


class PauseIn(StrictBody):
    """Why a schedule is paused."""

    reason: str | None = Field(default=None, min_length=1, max_length=1000, description="Shown as `paused_reason`.")

    @field_validator("reason")
    @classmethod
    def _check_reason(cls, reason: str | None) -> str | None:
        return None if reason is None else storable_text(reason)


class RunNowResult(BaseModel):
    """A job that somebody asked for."""

    job_id: ULID
    message: str
