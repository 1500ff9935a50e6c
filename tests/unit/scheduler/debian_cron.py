"""An independent reference: Debian's cron as a machine that lives through every minute, one after the other.

It shares nothing with the code under test. Whether a time matches is found by trying each item of each field; when jobs
run is found as the daemon finds it: by its virtual clock, which it compares with the clock on the wall at each minute.
"""

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from zoneinfo import ZoneInfo

_EPOCH = datetime(1970, 1, 1)
_MONTHS = ["", "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_WEEKDAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


def _number(text: str, names: list[str]) -> int:
    return names.index(text) if text in names else int(text)


def _holds(field: str, value: int, low: int, high: int, names: list[str]) -> bool:
    """Tell whether one of the items of a field holds for a value."""
    for item in field.split(","):
        span, _, step = item.partition("/")
        if span == "*":
            first, last = low, high
        elif "-" in span:
            first, last = (_number(end, names) for end in span.split("-"))
        else:
            first = _number(span, names)
            last = high if step else first
        if first <= value <= last and (value - first) % int(step or 1) == 0:
            return True
    return False


def _day_of_month_holds(field: str, day: datetime) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    for item in field.split(","):
        if item == "L":
            held = day.day == last
        elif item == "LW":
            workdays = [d for d in range(1, last + 1) if datetime(day.year, day.month, d).isoweekday() <= 5]
            held = day.day == workdays[-1]
        else:
            held = _holds(item, day.day, 1, 31, [])
        if held:
            return True
    return False


def _day_of_week_holds(field: str, day: datetime) -> bool:
    weekday = day.isoweekday() % 7
    last = calendar.monthrange(day.year, day.month)[1]
    for item in field.split(","):
        if "#" in item:
            name, count = item.split("#")
            same_before = [d for d in range(1, day.day + 1) if (day.day - d) % 7 == 0]
            held = _number(name, _WEEKDAYS) % 7 == weekday and len(same_before) == int(count)
        elif item.endswith("L"):
            held = int(item[:-1]) % 7 == weekday and day.day + 7 > last
        else:
            held = _holds(item, weekday, 0, 7, _WEEKDAYS) or (weekday == 0 and _holds(item, 7, 0, 7, _WEEKDAYS))
        if held:
            return True
    return False


@dataclass(frozen=True)
class Job:
    """A line of the crontab."""

    expression: str

    @cached_property
    def fields(self) -> list[str]:
        fields = self.expression.upper().split()
        return fields if len(fields) == 6 else ["0", *fields]

    @cached_property
    def is_wild(self) -> bool:
        """Whether it has a star at the begin of minute or hour."""
        return self.fields[1][0] == "*" or self.fields[2][0] == "*"

    @cached_property
    def _times(self) -> tuple[list[bool], list[bool], list[bool]]:
        second, minute, hour = self.fields[:3]
        return (
            [_holds(second, value, 0, 59, []) for value in range(60)],
            [_holds(minute, value, 0, 59, []) for value in range(60)],
            [_holds(hour, value, 0, 23, []) for value in range(24)],
        )

    def matches(self, wall: datetime) -> bool:
        seconds, minutes, hours = self._times
        if not (minutes[wall.minute] and hours[wall.hour] and seconds[wall.second]):
            return False
        _, _, _, day, month, weekday = self.fields
        if not _holds(month, wall.month, 1, 12, _MONTHS):
            return False
        by_date, by_week = _day_of_month_holds(day, wall), _day_of_week_holds(weekday, wall)
        return (by_date and by_week) if day[0] == "*" or weekday[0] == "*" else (by_date or by_week)


class Clock:
    """Real time and the clock on the wall, side by side, tick by tick; a tick is a minute, if not said."""

    def __init__(self, zone: str, start: datetime, end: datetime, tick: int = 60) -> None:
        self.tick = tick
        self._first = int(start.timestamp()) // tick
        self._walls: list[int] = []
        place = ZoneInfo(zone)
        for number in range(self._first, int(end.timestamp()) // tick):
            real = datetime.fromtimestamp(number * tick, place)
            offset = real.utcoffset()
            assert offset is not None
            self._walls.append(number + int(offset.total_seconds()) // tick)
        lowest, highest = min(self._walls), max(self._walls)
        self._shown = {wall: _EPOCH + timedelta(seconds=wall * tick) for wall in range(lowest, highest + 1)}

    def runs(self, job: Job) -> list[datetime]:
        """Return the real moments at which the daemon runs the job, one that runs several times at once named once."""
        return [
            datetime.fromtimestamp(number * self.tick, UTC)
            for number, has_run in enumerate(self._live(job), start=self._first)
            if has_run
        ]

    def _live(self, job: Job) -> Iterator[bool]:
        virtual = self._walls[0] - 1
        for running in self._walls:
            difference = (running - virtual) * self.tick / 60
            now, has_run = job.matches(self._shown[running]), False
            if running - virtual == 1:
                # The usual case: nothing has happened to the clock.
                virtual, has_run = running, now
            elif 5 < difference <= 180:
                # Forward: wild jobs for the present only, fixed ones for all that was missed.
                has_run = now if job.is_wild else False
                while virtual < running:
                    virtual += 1
                    has_run |= not job.is_wild and job.matches(self._shown[virtual])
            elif -180 < difference <= 0:
                # Backward: only wild jobs, until the virtual clock has been caught up with.
                has_run = now and job.is_wild
            else:
                # A correction of the clock.
                virtual, has_run = running, now
            yield has_run
