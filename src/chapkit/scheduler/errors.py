"""What can be wrong with a schedule."""

from collections.abc import Sequence
from datetime import datetime

from chapkit.core.errors import ConfigurationError, UnprocessableError

MOST_SHOWN = 120


class NaiveTimeError(UnprocessableError):
    """A moment without a zone, which would be another one on each machine."""

    def __init__(self, name: str, found: object) -> None:
        problem = "which says no time zone" if isinstance(found, datetime) else "which is no datetime"
        super().__init__(
            f"{name} is {shown(found)}, {problem}; write a moment with its offset, "
            "'2027-03-01T06:00:00Z' or '2027-03-01T08:00:00+02:00'; in Python, datetime(2027, 3, 1, 6, tzinfo=UTC)",
            code="schedule-time-naive",
            field=name,
            found=str(found)[:MOST_SHOWN],
        )


class TimeRangeError(UnprocessableError):
    """A moment too far away for any calendar."""

    def __init__(self, name: str, found: object) -> None:
        super().__init__(
            f"{name} is {shown(found)}; schedules know the years from 1900 to 9997",
            code="schedule-time-out-of-range",
            field=name,
            found=str(found)[:MOST_SHOWN],
        )


class TimezoneUnknownError(UnprocessableError):
    """No time zone has this name."""

    def __init__(self, found: object, did_you_mean: Sequence[str]) -> None:
        hint = f" (did you mean {' or '.join(repr(name) for name in did_you_mean)}?)" if did_you_mean else ""
        super().__init__(
            f"There is no time zone {shown(found)}{hint}; write a name of the IANA database, such as 'Africa/Kigali', "
            "or 'UTC'",
            code="timezone-unknown",
            field="timezone",
            found=str(found)[:MOST_SHOWN],
            did_you_mean=list(did_you_mean),
        )


class TimezoneDataMissingError(ConfigurationError):
    """This machine knows no time zones."""

    def __init__(self, found: str) -> None:
        super().__init__(
            f"The time zone {shown(found)} cannot be looked up: this machine has no time zone database. Install the "
            "package tzdata, by `pip install tzdata` or the package manager of the system; 'UTC' works without it",
            code="timezone-data-missing",
            field="timezone",
            found=found[:MOST_SHOWN],
        )


class CronInvalidError(UnprocessableError):
    """The cron expression cannot be read."""

    def __init__(self, expression: object, reason: str, *, field: str, found: object, expected: str) -> None:
        super().__init__(
            f"The cron expression {shown(expression)} cannot be read: {reason}",
            code="cron-invalid",
            field=field,
            found=str(found)[:MOST_SHOWN],
            expected=expected,
        )


class NeverFiresError(UnprocessableError):
    """The expression means days that no calendar has."""

    def __init__(self, expression: str) -> None:
        super().__init__(
            f"The cron expression {shown(expression)} would never run: no year has such a day. Look at day-of-month "
            "and month, and mind that day-of-month and day-of-week must both hold if one of them begins with *",
            code="schedule-never-fires",
            field="expression",
            found=expression[:MOST_SHOWN],
        )


class IntervalInvalidError(UnprocessableError):
    """The length of an interval cannot be read, or is too short or too long."""

    def __init__(self, found: object, hint: str = "", *, field: str = "every") -> None:
        super().__init__(
            f"{shown(found)} is no interval; it goes from 1 second to 366 days, as seconds (900), as text ('15m', "
            f"'1h30m', '2d'), by ISO 8601 ('PT15M'), or as a timedelta{hint}",
            code="interval-invalid",
            field=field,
            found=str(found)[:MOST_SHOWN],
        )


class WindowInvalidError(UnprocessableError):
    """The window ends before it begins."""

    def __init__(self, start: object, end: object) -> None:
        super().__init__(
            f"The window from {start} until {end} is empty: the end must come after the start",
            code="schedule-window-invalid",
            field="end",
            found=str(end),
            expected=f"later than {start}",
        )


class MissedPolicyInvalidError(UnprocessableError):
    """What to do with missed ticks cannot be read."""

    def __init__(self, found: object) -> None:
        super().__init__(
            f"{shown(found)} does not say what becomes of missed ticks; write 'skip', 'latest', or {{'all': 10}} with "
            "a number from 1 to 1000",
            code="missed-policy-invalid",
            field="missed",
            found=str(found)[:MOST_SHOWN],
        )


class JitterInvalidError(UnprocessableError):
    """The jitter is no number of seconds that makes sense."""

    def __init__(self, found: object) -> None:
        super().__init__(
            f"A jitter of {shown(found)} makes no sense; write seconds from 0 to 86400",
            code="jitter-invalid",
            field="jitter",
            found=str(found)[:MOST_SHOWN],
        )


def shown(value: object) -> str:
    """Return the value as it may stand in a text for people: never longer than a line."""
    text = value.isoformat() if isinstance(value, datetime) else repr(value)
    return text if len(text) <= MOST_SHOWN else text[: MOST_SHOWN - 3] + "..."
