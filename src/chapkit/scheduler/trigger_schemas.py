"""Triggers on the wire, and as they are stored."""

from datetime import datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    field_validator,
    model_validator,
)

from chapkit.core.clock import to_text
from chapkit.core.types import UtcDatetime
from chapkit.scheduler.errors import IntervalInvalidError
from chapkit.scheduler.triggers import Cron, Interval, Once, Trigger, duration, duration_text
from chapkit.task.bodies import StrictBody

_REMEMBERED = 4096


def _refuse_numbers(value: Any) -> Any:
    is_text = isinstance(value, str) and value.strip().lstrip("+-").replace(".", "", 1).isdecimal()
    if is_text or isinstance(value, int | float):
        raise ValueError("a number says no time zone; write the moment with its offset: 2027-03-01T08:00:00+02:00")
    return value


AwareMoment = Annotated[
    datetime, BeforeValidator(_refuse_numbers), PlainSerializer(to_text, return_type=str, when_used="json")
]
"""A moment that must say its zone, unlike elsewhere: a schedule that is an hour off helps nobody."""


class OnceTriggerOut(BaseModel):
    """One moment."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["once"] = "once"
    at: AwareMoment = Field(description="The moment, with its offset: `2027-03-01T08:00:00+02:00`.")

    def build(self) -> Trigger:
        """Return what reckons with it."""
        return Once(self.at)


class IntervalTriggerOut(BaseModel):
    """Every so many seconds, in real time and without drift."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["interval"] = "interval"
    every: str | float = Field(description="Seconds, or a text: `15m`, `1h30m`, `2d`, `PT15M`; 1 second to 366 days.")
    anchor: AwareMoment | None = Field(
        default=None, description="A moment from which is counted; `start_at`, or when the schedule was made, if null."
    )

    def build(self) -> Trigger:
        """Return what reckons with it."""
        return Interval(self.every) if self.anchor is None else Interval(self.every, self.anchor)


class CronTriggerOut(BaseModel):
    """When the clock of a time zone shows what an expression says."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["cron"] = "cron"
    expression: str = Field(description="Five or six fields, or `@hourly`, `@daily`, `@weekly`, `@monthly`, `@yearly`.")
    timezone: str = Field(default="UTC", description="Name of the IANA database: `Africa/Kigali`.")

    def build(self) -> Trigger:
        """Return what reckons with it."""
        return Cron(self.expression, self.timezone)


class OnceTrigger(StrictBody, OnceTriggerOut):
    """One moment, checked."""

    @model_validator(mode="after")
    def _settle(self) -> "OnceTrigger":
        self.at = Once(self.at).at
        return self


class IntervalTrigger(StrictBody, IntervalTriggerOut):
    """Every so many seconds, checked."""

    @field_validator("every", mode="before")
    @classmethod
    def _refuse_truth_value(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise IntervalInvalidError(value)
        return value

    @model_validator(mode="after")
    def _settle(self) -> "IntervalTrigger":
        self.every = duration_text(duration(self.every))
        if self.anchor is not None:
            self.anchor = Interval(self.every, self.anchor).anchor
        return self


class CronTrigger(StrictBody, CronTriggerOut):
    """A cron expression, checked."""

    @model_validator(mode="after")
    def _settle(self) -> "CronTrigger":
        self.expression = Cron(self.expression, self.timezone).expression
        return self


TriggerSpec: TypeAlias = Annotated[OnceTrigger | IntervalTrigger | CronTrigger, Field(discriminator="type")]
"""A trigger as a client sends it."""
AnyTrigger: TypeAlias = OnceTriggerOut | IntervalTriggerOut | CronTriggerOut
"""A trigger as it is told, also of one that this machine cannot reckon with, for want of its zone."""
TriggerOut: TypeAlias = Annotated[AnyTrigger, Field(discriminator="type")]


class UpcomingTick(BaseModel):
    """A tick that is still to come."""

    scheduled_for: UtcDatetime
    local: str = Field(description="The same moment by the clock of the trigger's zone.")


_ADAPTER: TypeAdapter[AnyTrigger] = TypeAdapter(TriggerOut)


def spec_of(trigger: Trigger) -> AnyTrigger:
    """Return a trigger as it stands on the wire.

    Raises:
        TypeError: It is none of the three kinds.
    """
    match trigger:
        case Once(at):
            return OnceTrigger(at=at)
        case Interval():
            return IntervalTrigger(every=duration_text(trigger.every), anchor=trigger.anchor)
        case Cron():
            return CronTrigger(expression=trigger.expression, timezone=trigger.timezone)
        case _:
            raise TypeError(f"a schedule has a Once, an Interval or a Cron, no {type(trigger).__name__}")


def write_trigger(spec: AnyTrigger) -> str:
    """Return the JSON that is stored of a trigger."""
    return spec.model_dump_json()


@lru_cache(_REMEMBERED)
def read_trigger(text: str) -> AnyTrigger:
    """Return the trigger that `write_trigger` has written; it may not be changed."""
    return _ADAPTER.validate_json(text)


@lru_cache(_REMEMBERED)
def build_trigger(text: str) -> Trigger:
    """Return what reckons with a stored trigger; reading an expression takes longer than asking it.

    Raises:
        UnprocessableError: This machine does not know its zone (any more).
    """
    return read_trigger(text).build()
