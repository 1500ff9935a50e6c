"""The times of a cron expression on a calendar without any time zone."""

from calendar import monthrange
from datetime import datetime

from chapkit.scheduler.cron_fields import CronFields, bits

_LAST_YEAR = 9998
# 29 February falls on a given weekday every 40 years at the latest; nothing else is as rare.
_YEARS_TO_SEARCH = 50


class WallTimes:
    """Searches what comes next, by bits instead of by trying."""

    __slots__ = ("_first", "_hours", "_known_days", "_minutes", "_months", "_rule", "_seconds")

    def __init__(self, fields: CronFields) -> None:
        self._rule = fields.days
        # There are 28 kinds of months: by the weekday they begin with, and their length.
        self._known_days: dict[tuple[int, int], int] = {}
        self._months = bits(fields.months)
        self._hours = bits(fields.hours)
        self._minutes = bits(fields.minutes)
        self._seconds = bits(fields.seconds)
        self._first = (min(fields.hours), min(fields.minutes), min(fields.seconds))

    def at_or_after(self, wall: datetime) -> datetime | None:
        """Return the first time at `wall` or later; `None` if there is none within 50 years.

        Args:
            wall: Naive, without fractions of a second.
        """
        year, month, day = wall.year, wall.month, wall.day
        days = self._days(year, month) if self._months >> month & 1 else 0
        if days >> day & 1 and (time := self._time_from(wall.hour, wall.minute, wall.second)):
            return wall.replace(hour=time[0], minute=time[1], second=time[2])
        days &= -2 << day
        last_year = min(_LAST_YEAR, year + _YEARS_TO_SEARCH)
        while not days:
            month = _next(self._months, month + 1)
            if month < 0:
                year, month = year + 1, _next(self._months, 1)
            if year > last_year:
                return None
            days = self._days(year, month)
        hour, minute, second = self._first
        return wall.replace(year, month, _next(days, 1), hour, minute, second)

    def _days(self, year: int, month: int) -> int:
        kind = monthrange(year, month)
        found = self._known_days.get(kind)
        if found is None:
            found = self._known_days[kind] = self._rule.in_month(*kind)
        return found

    def _time_from(self, hour: int, minute: int, second: int) -> tuple[int, int, int] | None:
        _, first_minute, first_second = self._first
        if self._hours >> hour & 1:
            if self._minutes >> minute & 1 and (found := _next(self._seconds, second)) >= 0:
                return hour, minute, found
            if (found := _next(self._minutes, minute + 1)) >= 0:
                return hour, found, first_second
        if (found := _next(self._hours, hour + 1)) >= 0:
            return found, first_minute, first_second
        return None


def _next(values: int, start: int) -> int:
    """Return the lowest set bit from `start` on, -1 if there is none."""
    rest = values >> start
    return start + (rest & -rest).bit_length() - 1 if rest else -1
