"""A trigger for one moment."""

from dataclasses import dataclass
from datetime import datetime

from chapkit.scheduler.moments import clamped, instant
from chapkit.scheduler.trigger import Trigger


@dataclass(frozen=True)
class Once(Trigger):
    """Fires a single time.

    Args:
        at: The moment, aware; kept in UTC.

    Raises:
        NaiveTimeError: It says no zone (`schedule-time-naive`).
        TimeRangeError: It lies outside of the calendar (`schedule-time-out-of-range`).
    """

    at: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "at", instant(self.at, "at"))

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the moment, if it is still to come."""
        return self.at if clamped(moment) < self.at else None
