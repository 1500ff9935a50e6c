"""From when until when a trigger counts."""

from dataclasses import dataclass
from datetime import datetime

from chapkit.scheduler.errors import WindowInvalidError
from chapkit.scheduler.moments import RESOLUTION, clamped
from chapkit.scheduler.trigger import Trigger


@dataclass(frozen=True)
class Window:
    """A span of time: ticks count from `start` on and before `end`.

    Args:
        start: Aware; the first moment that counts, or `None` if any.
        end: Aware; the first moment that does not count any more, or `None` if all do.

    Raises:
        NaiveTimeError: One says no zone (`schedule-time-naive`).
        WindowInvalidError: The end is not after the start (`schedule-window-invalid`).
    """

    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        for name in ("start", "end"):
            if (moment := getattr(self, name)) is not None:
                object.__setattr__(self, name, clamped(moment, name))
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise WindowInvalidError(self.start.isoformat(), self.end.isoformat())

    def contains(self, moment: datetime) -> bool:
        """Tell whether a tick at this moment counts."""
        moment = clamped(moment)
        return (self.start is None or self.start <= moment) and (self.end is None or moment < self.end)

    def limit(self, trigger: Trigger) -> Trigger:
        """Return a trigger with the ticks of the other one that lie in the window."""
        return trigger if self.start is None and self.end is None else Limited(trigger, self)


def window_of(start_at: datetime | None, end_at: datetime | None) -> Window:
    """Return the window of a schedule, refusing its limits by the names that they have there.

    Raises:
        NaiveTimeError: One says no zone (`schedule-time-naive`).
        WindowInvalidError: The end is not after the start (`schedule-window-invalid`).
    """
    for name, moment in (("start_at", start_at), ("end_at", end_at)):
        if moment is not None:
            clamped(moment, name)
    try:
        return Window(start_at, end_at)
    except WindowInvalidError as error:
        error.extensions["field"] = "end_at"
        raise


@dataclass(frozen=True)
class Limited(Trigger):
    """Another trigger within a window."""

    trigger: Trigger
    window: Window

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first tick in the window later than `moment`."""
        start, end = self.window.start, self.window.end
        moment = clamped(moment)
        if start is not None and moment < start:
            moment = start - RESOLUTION
        tick = self.trigger.next_after(moment)
        return tick if tick is not None and (end is None or tick < end) else None
