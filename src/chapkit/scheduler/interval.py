"""A trigger for every so many seconds."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from chapkit.scheduler.durations import duration
from chapkit.scheduler.moments import LATEST, clamped, instant
from chapkit.scheduler.trigger import Trigger

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, init=False)
class Interval(Trigger):
    """Fires at the anchor and every so long after it, in real time and without drift.

    The nth tick is `anchor + n * every`, whatever happened before; daylight saving has no influence, so a day is 24
    hours. For a time of day use `Cron`.

    Args:
        every: From 1 second to 366 days: a timedelta, seconds, `"15m"`, `"1h30m"`, `"PT15M"`.
        anchor: The first tick, aware; kept in UTC. By default 1970, so that quarters of an hour begin at the hour.

    Raises:
        IntervalInvalidError: The length cannot be read or makes no sense (`interval-invalid`).
        NaiveTimeError: The anchor says no zone (`schedule-time-naive`).
        TimeRangeError: The anchor lies outside of the calendar (`schedule-time-out-of-range`).
    """

    every: timedelta
    anchor: datetime

    def __init__(self, every: timedelta | float | str, anchor: datetime = EPOCH) -> None:
        object.__setattr__(self, "every", duration(every))
        object.__setattr__(self, "anchor", instant(anchor, "anchor"))

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first tick later than `moment`."""
        passed = clamped(moment) - self.anchor
        count = max(0, passed // self.every + 1)
        tick = self.anchor + count * self.every
        return tick if tick < LATEST else None
