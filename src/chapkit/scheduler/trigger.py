"""What all triggers have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from datetime import datetime

from chapkit.scheduler.moments import RESOLUTION, clamped


class Trigger(ABC):
    """Says when something is due: a pure function of time, the same in every process.

    A moment that it is asked about may be in any zone but must be aware; what it answers is in UTC.
    """

    @abstractmethod
    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first tick later than `moment`; `None` if there is none any more.

        Raises:
            NaiveTimeError: The moment says no zone (`schedule-time-naive`).
        """

    def first(self, start: datetime) -> datetime | None:
        """Return the first tick at `start` or later."""
        return self.next_after(clamped(start, "start") - RESOLUTION)

    def between(self, start: datetime, end: datetime, limit: int) -> Iterator[datetime]:
        """Yield the first ticks from `start` on and before `end`, at most `limit`.

        The end is left out, so that two ranges side by side have no tick in common.
        """
        end = clamped(end, "end")
        tick = self.first(start)
        for _ in range(limit):
            if tick is None or tick >= end:
                return
            yield tick
            tick = self.next_after(tick)

    def latest(self, start: datetime, end: datetime, limit: int) -> list[datetime]:
        """Return the last ticks from `start` on and before `end`, at most `limit`, in order.

        It does not walk through the ticks before them: a schedule of seconds that slept for a year costs no more.
        """
        found: list[datetime] = []
        end = clamped(end, "end")
        while len(found) < limit and (tick := self._last(start, end)) is not None:
            found.append(tick)
            end = tick
        return found[::-1]

    def _last(self, start: datetime, end: datetime) -> datetime | None:
        tick = self.first(start)
        if tick is None or tick >= end:
            return None
        high = end
        while (following := self.next_after(tick)) is not None and following < end:
            middle = tick + (high - tick) / 2
            candidate = self.next_after(middle)
            if candidate is not None and candidate < end:
                tick = candidate
            else:
                high = middle
        return tick
