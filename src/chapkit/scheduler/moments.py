"""Moments that schedules reckon with: aware, in UTC, within the calendar."""

from datetime import UTC, datetime, timedelta

from chapkit.scheduler.errors import NaiveTimeError, TimeRangeError

EARLIEST = datetime(1900, 1, 1, tzinfo=UTC)
LATEST = datetime(9998, 1, 1, tzinfo=UTC)
SECOND = timedelta(seconds=1)
RESOLUTION = timedelta(microseconds=1)


def instant(moment: datetime, name: str) -> datetime:
    """Return the moment in UTC.

    Raises:
        NaiveTimeError: It is naive, or no moment at all (`schedule-time-naive`).
        TimeRangeError: It lies outside of the calendar (`schedule-time-out-of-range`).
    """
    found = clamped(moment, name)
    if not EARLIEST <= found < LATEST:
        raise TimeRangeError(name, moment)
    return found


def clamped(moment: datetime, name: str = "moment") -> datetime:
    """Return the moment in UTC, or the nearest one that no tick can lie beyond.

    Raises:
        NaiveTimeError: It is naive (`schedule-time-naive`).
    """
    # A caller without a type checker may bring a text, which is worth the same advice.
    if not isinstance(moment, datetime) or moment.utcoffset() is None:  # pyright: ignore[reportUnnecessaryIsInstance]
        raise NaiveTimeError(name, moment)
    if moment.tzinfo is not UTC:
        try:
            moment = moment.astimezone(UTC)
        except OverflowError:
            moment = moment.replace(tzinfo=UTC)
    if moment < EARLIEST:
        return EARLIEST - RESOLUTION
    return min(moment, LATEST)
