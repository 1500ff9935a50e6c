"""The times of a day of a cron expression, in words."""

from collections.abc import Collection
from itertools import product

from chapkit.scheduler.cron_fields import CronFields
from chapkit.scheduler.lists_of_words import counted, in_runs, listed

_MOST_TIMES = 6
_FIRST = frozenset({0})
_MINUTES = 60
_HOURS = 24


def times_of_day(fields: CronFields) -> str | None:
    """Return `At 06:00 and 18:00`, if they are few enough to be named one by one."""
    count = len(fields.hours) * len(fields.minutes) * len(fields.seconds)
    if count > _MOST_TIMES:
        return None
    times = product(sorted(fields.hours), sorted(fields.minutes), sorted(fields.seconds))
    has_seconds = fields.seconds != _FIRST
    return "at " + listed(
        [f"{hour:02}:{minute:02}" + (f":{second:02}" if has_seconds else "") for hour, minute, second in times]
    )


def rhythm(fields: CronFields) -> str:
    """Return how often it runs within a day, and between which hours."""
    if fields.seconds != _FIRST:
        return _with_seconds(fields)
    minutes, hours = fields.minutes, fields.hours
    often = _often("minute", minutes, _MINUTES)
    if _is_full(hours, _HOURS) and (often or minutes == _FIRST):
        return often or "every hour"
    first, last = min(hours), max(hours)
    is_run = len(hours) == last - first + 1 < _HOURS
    if often and is_run:
        return f"{often} from {first:02}:00 to {last:02}:{max(minutes):02}"
    if len(minutes) == 1 and is_run:
        return f"every hour from {first:02}:{min(minutes):02} to {last:02}:{min(minutes):02}"
    if len(minutes) == 1 and not _is_full(hours, _HOURS) and (hourly := _often("hour", hours, _HOURS)):
        return f"{hourly} from 00:{min(minutes):02}"
    return f"{often or _at('minute', minutes)} of {_each('hour', hours, _HOURS)}"


def _with_seconds(fields: CronFields) -> str:
    often = _often("second", fields.seconds, _MINUTES)
    text = often or _at("second", fields.seconds)
    if not _is_full(fields.hours, _HOURS):
        text += f" of {_each('minute', fields.minutes, _MINUTES)} of {_each('hour', fields.hours, _HOURS)}"
    elif not _is_full(fields.minutes, _MINUTES):
        text += f" of {_each('minute', fields.minutes, _MINUTES)} of every hour"
    elif not often:
        text += " of every minute"
    return text


def is_bound_to_clock(fields: CronFields) -> bool:
    """Tell whether the words mean another time in another zone."""
    return not _is_full(fields.hours, _HOURS)


def _is_full(values: Collection[int], size: int) -> bool:
    return len(values) == size


def _often(noun: str, values: Collection[int], size: int) -> str | None:
    """Return `every 15 minutes`, if the values divide the whole evenly, beginning at 0, in more than two parts."""
    step = size // len(values)
    is_even = len(values) > 2 and sorted(values) == list(range(0, size, step))
    return counted(step, noun) if is_even and not size % step else None


def _at(noun: str, values: Collection[int]) -> str:
    return f"at {_each(noun, values)}"


def _each(noun: str, values: Collection[int], size: int | None = None) -> str:
    if size == len(values):
        return f"every {noun}"
    return f"{noun}{'s' if len(values) > 1 else ''} {listed(in_runs(values, str))}"
