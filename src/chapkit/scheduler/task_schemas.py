"""Schedules of a task, as the first design of them has it, with what was added since."""

from collections.abc import Generator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from chapkit.core.errors import UnprocessableError
from chapkit.core.ids import ULID
from chapkit.core.types import UtcDatetime
from chapkit.job.options import JobOptions
from chapkit.scheduler.errors import IntervalInvalidError
from chapkit.scheduler.moments import instant
from chapkit.scheduler.policies import Overlap
from chapkit.scheduler.schemas import GRACE, JSON, LONGEST_GRACE, MOST_FAILURES, SHORTEST_GRACE, ScheduleIn, ScheduleOut
from chapkit.scheduler.trigger_schemas import AwareMoment, CronTrigger, IntervalTrigger, OnceTrigger
from chapkit.task.bodies import NUMBER, StrictBody, refused

ScheduleType = Literal["once", "interval", "cron"]
_NEEDED = {"once": "run_at", "interval": "interval_seconds", "cron": "cron_expression"}
_TYPES = {**{member: type for type, member in _NEEDED.items()}, "timezone": "cron"}
_SENT_AS = {"at": "run_at", "every": "interval_seconds", "expression": "cron_expression"}


class TaskScheduleIn(StrictBody):
    """When a task runs; what belongs to other types may only stand there with its default."""

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
    jitter: Annotated[float, NUMBER] = 0.0
    missed: Any = "latest"
    grace: Annotated[float, NUMBER] = Field(default=GRACE, ge=SHORTEST_GRACE, le=LONGEST_GRACE)
    overlap: Overlap = Overlap.SKIP
    max_failures: Annotated[int | None, NUMBER] = Field(default=None, ge=1, le=MOST_FAILURES)
    job: JobOptions | None = None
    tags: list[str] = Field(default_factory=list[str])

    @field_validator("run_at")
    @classmethod
    def _check_moment(cls, value: datetime | None) -> datetime | None:
        return None if value is None else instant(value, "run_at")

    @field_validator("parameters")
    @classmethod
    def _check_parameters(cls, parameters: dict[str, Any] | None) -> dict[str, Any] | None:
        checked: dict[str, Any] | None = JSON.write(parameters, "parameters")
        return checked

    @field_validator("interval_seconds", mode="before")
    @classmethod
    def _refuse_truth_value(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise IntervalInvalidError(value, field="interval_seconds")
        return value

    @model_validator(mode="after")
    def _check_type(self) -> "TaskScheduleIn":
        own = self.schedule_type
        others = {name: getattr(self, name) for name, type in _TYPES.items() if type != own}
        if wrong := {name: value for name, value in others.items() if value != _default(name)}:
            raise refused(
                type(self),
                [
                    (
                        "member_of_another_type",
                        (name,),
                        f"it belongs to schedule_type={_TYPES[name]!r}, and this one is {own!r}; leave it out",
                        value,
                    )
                    for name, value in wrong.items()
                ],
            )
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

    @contextmanager
    def as_sent(self) -> Generator[None]:
        """Let errors name the members of this body, instead of those of the schedule that is made of it."""
        names = {**_SENT_AS, "trigger": _NEEDED[self.schedule_type]}
        try:
            yield
        except UnprocessableError as error:
            if (field := error.extensions.get("field")) in names:
                error.extensions["field"] = names[field]
            raise

    def _trigger(self) -> OnceTrigger | IntervalTrigger | CronTrigger:
        if self.run_at is not None and self.schedule_type == "once":
            return OnceTrigger(at=self.run_at)
        if self.interval_seconds is not None and self.schedule_type == "interval":
            return IntervalTrigger(every=self.interval_seconds)
        return CronTrigger(expression=self.cron_expression or "", timezone=self.timezone)


def _default(member: str) -> Any:
    return TaskScheduleIn.model_fields[member].default


class TaskScheduleUpdateIn(StrictBody):
    """Whether a schedule runs."""

    enabled: bool


class TaskScheduleOut(ScheduleOut):
    """A schedule of a task; the members of its type are set, the others are null."""

    schedule_type: ScheduleType
    run_at: UtcDatetime | None = None
    interval_seconds: float | None = None
    cron_expression: str | None = None
    last_run_at: UtcDatetime | None = Field(default=None, description="The last tick that had a job.")
