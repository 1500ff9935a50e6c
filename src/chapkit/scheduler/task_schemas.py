"""Schedules of a task, as the first design of them has it, with what was added since."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from chapkit.core.ids import ULID
from chapkit.core.types import UtcDatetime
from chapkit.job.options import JobOptions
from chapkit.scheduler.policies import Overlap
from chapkit.scheduler.schemas import GRACE, LONGEST_GRACE, ScheduleIn, ScheduleOut
from chapkit.scheduler.trigger_schemas import AwareMoment, CronTrigger, IntervalTrigger, OnceTrigger

ScheduleType = Literal["once", "interval", "cron"]
_NEEDED = {"once": "run_at", "interval": "interval_seconds", "cron": "cron_expression"}


class TaskScheduleIn(BaseModel):
    """When a task runs; what belongs to other types is ignored."""

    schedule_type: ScheduleType
    run_at: AwareMoment | None = Field(default=None, description="For `once`: the moment, with its offset.")
    interval_seconds: float | None = Field(default=None, description="For `interval`: 1 second to 366 days.")
    cron_expression: str | None = Field(default=None, description="For `cron`: five or six fields, or an alias.")
    timezone: str = Field(default="UTC", description="For `cron`: name of the IANA database.")
    enabled: bool = True
    name: str | None = Field(default=None, min_length=1, max_length=200)
    parameters: dict[str, Any] | None = Field(default=None, description="These take the place of the task's own ones.")
    start_at: AwareMoment | None = None
    end_at: AwareMoment | None = None
    jitter: float = 0.0
    missed: Any = "latest"
    grace: float = Field(default=GRACE, ge=0, le=LONGEST_GRACE)
    overlap: Overlap = Overlap.SKIP
    max_failures: int | None = Field(default=None, ge=1)
    job: JobOptions | None = None
    tags: list[str] = Field(default_factory=list[str])

    @model_validator(mode="after")
    def _check_type(self) -> "TaskScheduleIn":
        needed = _NEEDED[self.schedule_type]
        if getattr(self, needed) is None:
            raise ValueError(f"schedule_type={self.schedule_type!r} needs {needed}")
        return self

    def to_schedule(self, task_id: ULID, name: str) -> ScheduleIn:
        """Return the schedule that submits this task; `name` is for one that was given none."""
        arguments: dict[str, Any] = {"task_id": str(task_id)}
        if self.parameters is not None:
            arguments["parameters"] = self.parameters
        given = self.model_fields_set & set(ScheduleIn.model_fields) - {"name"}
        rules = {field: getattr(self, field) for field in given}
        return ScheduleIn(name=self.name or name, target="task", arguments=arguments, trigger=self._trigger(), **rules)

    def _trigger(self) -> OnceTrigger | IntervalTrigger | CronTrigger:
        if self.run_at is not None and self.schedule_type == "once":
            return OnceTrigger(at=self.run_at)
        if self.interval_seconds is not None and self.schedule_type == "interval":
            return IntervalTrigger(every=self.interval_seconds)
        return CronTrigger(expression=self.cron_expression or "", timezone=self.timezone)


class TaskScheduleUpdateIn(BaseModel):
    """Whether a schedule runs."""

    model_config = ConfigDict(extra="forbid")

    enabled: bool


class TaskScheduleOut(ScheduleOut):
    """A schedule of a task; the members of its type are set, the others are null."""

    schedule_type: ScheduleType
    run_at: UtcDatetime | None = None
    interval_seconds: float | None = None
    cron_expression: str | None = None
    last_run_at: UtcDatetime | None = Field(default=None, description="The last tick that had a job.")
