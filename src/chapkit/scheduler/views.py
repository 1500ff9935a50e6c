"""A schedule between its row and the wire."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from chapkit.core.errors import ChapkitError
from chapkit.job.options import JobOptions
from chapkit.scheduler.models import Schedule
from chapkit.scheduler.plan import trigger_of
from chapkit.scheduler.schemas import ScheduledJob, ScheduleIn, ScheduleOut, ScheduleState, TickOutcome, TickRecord
from chapkit.scheduler.trigger_schemas import (
    AnyTrigger,
    CronTriggerOut,
    IntervalTriggerOut,
    OnceTriggerOut,
    UpcomingTick,
    read_trigger,
    write_trigger,
)
from chapkit.scheduler.triggers import Trigger
from chapkit.scheduler.words import explain
from chapkit.scheduler.zones import find_zone

JobRow: TypeAlias = Mapping[Any, Any]
_KINDS: tuple[type[AnyTrigger], ...] = (OnceTriggerOut, IntervalTriggerOut, CronTriggerOut)
_JSON = frozenset({"arguments", "missed"})
_PLAIN = (
    "name",
    "target",
    "arguments",
    "start_at",
    "end_at",
    "jitter",
    "missed",
    "grace",
    "overlap",
    "enabled",
    "max_failures",
    "paused_reason",
    "held_reason",
    "managed_by",
    "task_id",
    "next_run_at",
    "failures",
    "id",
    "created_at",
    "updated_at",
    "tags",
)


def stored_values(data: ScheduleIn, fields: set[str]) -> dict[str, Any]:
    """Return the columns of what a client sent."""
    values: dict[str, Any] = {name: getattr(data, name) for name in fields - _JSON}
    values |= data.model_dump(mode="json", include=fields & _JSON)
    if "trigger" in fields:
        values["trigger"] = write_trigger(data.trigger)
    if "overlap" in fields:
        values["overlap"] = data.overlap.value
    if "job" in fields:
        values["job"] = None if data.job is None else data.job.model_dump(mode="json", exclude_none=True)
    return values


def anchored(spec: AnyTrigger, moment: datetime, before: AnyTrigger | None = None) -> str:
    """Return the JSON of a trigger; an interval without an anchor keeps the one it had, or is counted from `moment`."""
    if isinstance(spec, IntervalTriggerOut) and spec.anchor is None:
        had = before.anchor if isinstance(before, IntervalTriggerOut) and before.every == spec.every else None
        spec = spec.model_copy(update={"anchor": had or moment.replace(microsecond=0)})
    return write_trigger(spec)


def other_members(trigger: Mapping[str, Any]) -> dict[str, None]:
    """Return what only triggers of other kinds have, to be removed when a trigger changes its kind."""
    members: dict[Any, set[str]] = {kind.model_fields["type"].default: set(kind.model_fields) for kind in _KINDS}
    own = members.get(trigger.get("type"))
    every = {name for names in members.values() for name in names}
    return {} if own is None else dict.fromkeys(sorted(every - own))


def to_output(entity: Schedule, job: JobRow | None = None) -> ScheduleOut:
    """Return a schedule as it stands on the wire."""
    last = None
    if entity.last_scheduled_for is not None and entity.last_outcome is not None:
        last = TickRecord(
            scheduled_for=entity.last_scheduled_for,
            outcome=TickOutcome(entity.last_outcome),
            reason=entity.last_reason,
            job_id=entity.last_job_id,
        )
    values: dict[str, Any] = {name: getattr(entity, name) for name in _PLAIN}
    return ScheduleOut(
        **values,
        trigger=read_trigger(entity.trigger),
        explanation=_explanation(entity),
        job=None if entity.job is None else JobOptions.model_validate(entity.job),
        state=state_of(entity),
        last_tick=last,
        last_job=None if job is None else ScheduledJob.model_validate(dict(job)),
    )


def _explanation(entity: Schedule) -> str:
    try:
        return explain(trigger_of(entity))
    except ChapkitError as error:
        return error.detail


def state_of(entity: Schedule) -> ScheduleState:
    """Return whether something is going to happen."""
    if not entity.enabled:
        return ScheduleState.PAUSED
    if entity.held_reason is not None:
        return ScheduleState.HELD
    return ScheduleState.FINISHED if entity.next_run_at is None else ScheduleState.ACTIVE


def upcoming(trigger: Trigger, spec: AnyTrigger, after: datetime, count: int) -> list[UpcomingTick]:
    """Return the next ticks, each also by the clock of the trigger's zone."""
    zone = find_zone(spec.timezone if isinstance(spec, CronTriggerOut) else "UTC")
    ticks: list[UpcomingTick] = []
    tick = trigger.next_after(after)
    while tick is not None and len(ticks) < count:
        ticks.append(UpcomingTick(scheduled_for=tick, local=tick.astimezone(zone).isoformat()))
        tick = trigger.next_after(tick)
    return ticks
