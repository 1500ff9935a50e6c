"""The time, as something that can be replaced."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Protocol

_LENGTH_WITHOUT_ZONE = len("2026-01-01T00:00:00.000000")


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        return datetime.now(UTC)


def utc_now() -> datetime:
    """Return the present moment of the machine, aware, in UTC."""
    return datetime.now(UTC)


def to_text(moment: datetime) -> str:
    """Return `moment` as it stands on the wire: UTC with six digits of a second and a `Z`."""
    # Remembered in UTC only: elsewhere the two moments of a repeated hour count as equal.
    return _utc_text(moment if moment.tzinfo is UTC else moment.astimezone(UTC))


# One moment is often written many times, for all rows of a transaction.
@lru_cache(maxsize=64)
def _utc_text(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")[:_LENGTH_WITHOUT_ZONE] + "Z"
