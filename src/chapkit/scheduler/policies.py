"""What happens to ticks that come late, at the same time, or all together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Self

from chapkit.scheduler.errors import JitterInvalidError, MissedPolicyInvalidError
from chapkit.scheduler.moments import clamped

_MOST_CAUGHT_UP = 1000
_LONGEST_JITTER = 86_400
_HASH_BITS = 64


class Overlap(StrEnum):
    """What a tick does while the job of an earlier one still goes on."""

    ALLOW = "allow"
    """It starts beside it."""
    SKIP = "skip"
    """It does not run; those that are made up for wait for one another."""
    QUEUE = "queue"
    """It waits for the other one."""
    REPLACE = "replace"
    """It cancels the other one and starts; those that are made up for wait for one another."""


@dataclass(frozen=True)
class Missed:
    """What becomes of ticks that nobody was there for: `Missed.skip()`, `Missed.latest()` or `Missed.all(10)`.

    Args:
        most: How many of the missed ticks run, the latest first of all; 0 if none.
        is_alone: Whether a missed tick runs only if none that is still on time does.
    """

    most: int
    is_alone: bool = False

    @classmethod
    def skip(cls) -> Self:
        """Return the policy by which no missed tick runs."""
        return cls(0)

    @classmethod
    def latest(cls) -> Self:
        """Return the policy by which one run makes up for all: that of the latest tick that is due."""
        return cls(1, is_alone=True)

    @classmethod
    def all(cls, most: int) -> Self:
        """Return the policy by which each missed tick runs, but at most the latest `most`.

        Raises:
            MissedPolicyInvalidError: The number is not from 1 to 1000 (`missed-policy-invalid`).
        """
        is_number = isinstance(most, int) and not isinstance(most, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
        if not is_number or not 1 <= most <= _MOST_CAUGHT_UP:
            raise MissedPolicyInvalidError({"all": most})
        return cls(most)

    @property
    def wants_all(self) -> bool:
        """True if each of the missed ticks runs, as far as they are not too many."""
        return self.most > 0 and not self.is_alone

    @classmethod
    def from_wire(cls, value: Any) -> Self:
        """Return the policy that is written as `"skip"`, `"latest"` or `{"all": 10}`.

        Raises:
            MissedPolicyInvalidError: It is none of them (`missed-policy-invalid`).
        """
        match value:
            case "skip":
                return cls.skip()
            case "latest":
                return cls.latest()
            case {"all": int() as most} if len(value) == 1:
                return cls.all(most)
            case _:
                raise MissedPolicyInvalidError(value)

    def to_wire(self) -> str | dict[str, int]:
        """Return the policy as `from_wire` reads it."""
        if not self.most:
            return "skip"
        return "latest" if self.is_alone else {"all": self.most}


def missed(
    ticks_due: Sequence[datetime], policy: Missed, grace: timedelta, *, now: datetime
) -> tuple[list[datetime], list[datetime]]:
    """Return which of the ticks run now and which never, both in order.

    A tick within the grace is late, but not missed: it runs whatever the policy says.

    Args:
        ticks_due: Those until `now` that nobody has run, in any order.
        policy: What becomes of the missed ones.
        grace: So late a tick may be and still count as on time.
        now: The present moment.
    """
    oldest = clamped(now, "now") - grace
    due = sorted(ticks_due)
    late = [tick for tick in due if tick < oldest]
    on_time = due[len(late) :]
    most = 0 if policy.is_alone and on_time else policy.most
    split = max(0, len(late) - most)
    return late[split:] + on_time, late[:split]


def jittered(moment: datetime, seconds: float, seed: str) -> datetime:
    """Return the moment delayed by less than `seconds`; the same delay in every process and at every try.

    Args:
        moment: When the tick is due.
        seconds: From 0 to 86400.
        seed: What tells schedules apart: the identifier of the schedule.

    Raises:
        JitterInvalidError: The seconds make no sense (`jitter-invalid`).
    """
    check_jitter(seconds)
    moment = clamped(moment)
    # Not `hash`, which is another one in each process.
    text = f"{seed}\n{moment.isoformat(timespec='microseconds')}"
    chance = int.from_bytes(blake2b(text.encode(), digest_size=_HASH_BITS // 8).digest())
    return moment + timedelta(microseconds=math.floor(seconds * 1_000_000) * chance >> _HASH_BITS)


def check_jitter(seconds: float) -> None:
    """Refuse what is no jitter.

    Raises:
        JitterInvalidError: The seconds make no sense (`jitter-invalid`).
    """
    is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)  # pyright: ignore[reportUnnecessaryIsInstance]
    if not is_number or not 0 <= seconds <= _LONGEST_JITTER:
        raise JitterInvalidError(seconds)
