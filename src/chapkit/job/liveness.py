"""Which of the other processes that work on jobs are gone."""

import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from chapkit.core.ids import ULID
from chapkit.job.claiming import LEASE
from chapkit.job.endings import Outcome
from chapkit.job.presence import BEAT, Presence

DEAD_AFTER = LEASE.total_seconds()
"""Seconds without lock and sign of life after which a process is dead whose lock may get lost while it lives."""
STOPPED_AFTER = 3 * DEAD_AFTER
"""Seconds without a sign of life after which a process that still holds its lock is taken for stopped."""


@dataclass(frozen=True)
class Owner:
    """What another process says of itself."""

    id: ULID
    lock: str
    host: str
    pid: int
    seen_at: datetime


@dataclass(frozen=True)
class Lost:
    """A process that is gone: what became of its attempts, and the lock that it leaves, if it is dead."""

    outcome: Outcome
    lock: str | None = None


@dataclass(frozen=True)
class _Sight:
    """Since when another process was not seen to move, by the clock and the beats of this one."""

    seen_at: datetime
    is_free: bool
    noticed_at: float
    beats: int


class Liveness:
    """Watches the others, and tells who of them is dead or stopped."""

    def __init__(self, presence: Presence, monotonic: Callable[[], float]) -> None:
        self._presence = presence
        self._monotonic = monotonic
        self._sights: dict[ULID, _Sight] = {}

    async def list_lost(self, owners: Sequence[Owner], *, doubting: bool) -> dict[ULID, Lost]:
        """Return those that are gone.

        Args:
            owners: All that are known.
            doubting: Wait for a second sign that a process is dead, where its lock may be lost while it lives.
        """
        known = {owner.id for owner in owners}
        self._sights = {id: sight for id, sight in self._sights.items() if id in known}
        lost: dict[ULID, Lost] = {}
        for owner in owners:
            if owner.id == self._presence.id:
                continue
            is_free = await self._presence.locks.is_free(owner.lock) is True
            still = self._seconds_still(owner, is_free)
            if is_free and self._is_dead(owner, still, doubting=doubting):
                lost[owner.id] = Lost(Outcome.RECOVERED, owner.lock)
            elif still >= STOPPED_AFTER:
                lost[owner.id] = Lost(Outcome.TAKEN_OVER)
        return lost

    def _is_dead(self, owner: Owner, still: float, *, doubting: bool) -> bool:
        is_doubtful = doubting and self._presence.locks.may_be_lost
        return not is_doubtful or still >= DEAD_AFTER or _has_ended(owner)

    def _seconds_still(self, owner: Owner, is_free: bool) -> float:
        """Return for how long it has not moved while this process could have seen it move."""
        now, beats = self._monotonic(), self._presence.beats
        sight = self._sights.get(owner.id)
        if sight is None or (sight.seen_at, sight.is_free) != (owner.seen_at, is_free):
            self._sights[owner.id] = _Sight(owner.seen_at, is_free, now, beats)
            return 0.0
        # Who writes for long lets nobody show himself; then this process could not either.
        possible = 2 * (beats - sight.beats) * BEAT.total_seconds()
        return min(now - sight.noticed_at, possible)


def _has_ended(owner: Owner) -> bool:
    """Tell whether it was a process of this machine that is there no more."""
    if owner.host != socket.gethostname():
        return False
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        # It is there, but another user's.
        pass
    return False
