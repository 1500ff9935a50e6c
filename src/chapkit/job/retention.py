"""How long finished jobs are kept."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from chapkit.core.errors import ConfigurationError
from chapkit.job.checks import is_whole

_UNITS: Mapping[str, str] = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_parse = re.compile(r"(\d{1,8})\s*([smhdw])").fullmatch
_LONGEST = timedelta(days=100 * 365)


@dataclass(frozen=True)
class Retention:
    """What is kept of jobs that have ended; the job that an artifact came from stays as long as the artifact.

    Args:
        age: Remove jobs that ended so long ago: a `timedelta`, or a text such as `"90d"`, `"12h"`; never, if `None`.
        count: Keep so many, beside those that artifacts need, and remove the oldest beyond; any number, if `None`.
        events_age: Remove the events of jobs that ended so long ago, and keep the job; with the job, if `None`.
    """

    age: timedelta | str | None = timedelta(days=90)
    count: int | None = 100_000
    events_age: timedelta | str | None = None

    def __post_init__(self) -> None:
        _duration("age", self.age)
        _duration("events_age", self.events_age)
        if self.count is not None and not is_whole(self.count, 0):
            raise _invalid("count", self.count)

    @property
    def longest(self) -> timedelta | None:
        """How long a job is kept; `None` if for ever."""
        return _duration("age", self.age)

    @property
    def longest_for_events(self) -> timedelta | None:
        """How long events are kept; `None` if as long as their job."""
        return _duration("events_age", self.events_age)

    def describe(self) -> dict[str, Any]:
        """Return the settings as they stand on the wire, durations in seconds."""
        longest, events = self.longest, self.longest_for_events
        return {
            "age_seconds": None if longest is None else longest.total_seconds(),
            "count": self.count,
            "events_age_seconds": None if events is None else events.total_seconds(),
        }


def _duration(name: str, value: timedelta | str | None) -> timedelta | None:
    if value is None:
        return None
    found: object = value
    if isinstance(value, str):
        match = _parse(value.strip())
        if match is None:
            raise _invalid(name, found)
        value = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if not _is_duration(value):
        raise _invalid(name, found)
    return value


def _is_duration(value: object) -> bool:
    return isinstance(value, timedelta) and timedelta(0) < value <= _LONGEST


def _invalid(name: str, found: object) -> ConfigurationError:
    return ConfigurationError(
        f"Retention({name}={found!r}) makes no sense; age and events_age are a timedelta above 0, a text such as "
        "'90d', '12h' or '30m', or None; count is 0 or more, or None",
        code="retention-invalid",
        field=name,
    )
