"""Which ticks are due, and which of them run; nothing here touches a database."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from chapkit.scheduler.models import Schedule, ScheduleBackfill
from chapkit.scheduler.moments import RESOLUTION
from chapkit.scheduler.policies import Missed, missed
from chapkit.scheduler.trigger_schemas import build_trigger
from chapkit.scheduler.triggers import Trigger, Window

MOST_RUNS = 50
"""Ticks that one transaction submits; what is more waits for the next one."""
_MOST_ON_TIME = 1000
_LEAST_SHOWN = 20
"""Missed ticks that are written down, however many more there were."""


@dataclass(frozen=True)
class Plan:
    """What a transaction does about the ticks of a schedule that are due."""

    runs: Sequence[datetime] = ()
    missed: Sequence[datetime] = ()
    """Never run; only the last ones, where there are very many."""
    next_run_at: datetime | None = None
    makes_up: bool = False
    """Nobody was there for some of those that run, and each of them is wanted."""


def trigger_of(schedule: Schedule | ScheduleBackfill) -> Trigger:
    """Return when a schedule is due, or was when a backfill was asked for, within its window."""
    return Window(schedule.start_at, schedule.end_at).limit(build_trigger(schedule.trigger))


def plan_ticks(schedule: Schedule, start: datetime, now: datetime) -> Plan:
    """Return what is to be done about the ticks that are due from `start` until now.

    The work is bounded, also when a schedule of seconds was asleep for a year.
    """
    trigger, end = trigger_of(schedule), now + RESOLUTION
    grace, policy = timedelta(seconds=schedule.grace), Missed.from_wire(schedule.missed)
    oldest = max(start, now - grace)
    late = trigger.latest(start, oldest, max(policy.most, _LEAST_SHOWN))
    on_time = list(trigger.between(oldest, end, _MOST_ON_TIME))
    due = [*late, *on_time]
    if not due:
        # The zone changes its clocks on other days now than when the tick was reckoned.
        return Plan(next_run_at=trigger.next_after(now))
    runs, never = missed(due, policy, grace, now=now)
    makes_up = policy.wants_all and (len(runs) > 1 or bool(late))
    if len(runs) > MOST_RUNS:
        # A last one that is left alone would look as if it were on time.
        number = MOST_RUNS - (len(runs) == MOST_RUNS + 1)
        rest = runs[number]
        return Plan(runs[:number], [tick for tick in never if tick < rest], rest, makes_up)
    return Plan(runs, never, trigger.next_after(due[-1]), makes_up)


def next_or_due(schedule: Schedule, due: datetime | None, now: datetime) -> datetime | None:
    """Return the first tick that nobody has seen to, where one was due already that the schedule still has."""
    upcoming = next_tick(schedule, now)
    if due is None or due > now or not schedule.enabled or schedule.held_reason is not None:
        return upcoming
    return due if Window(schedule.start_at, schedule.end_at).contains(due) else upcoming


def next_tick(schedule: Schedule, now: datetime) -> datetime | None:
    """Return the first tick after `now`, if the schedule may run at all."""
    if not schedule.enabled or schedule.held_reason is not None:
        return None
    return trigger_of(schedule).next_after(now)
