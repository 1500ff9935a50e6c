"""Whether a statement writes, and for how long others have had to wait because of it."""

import asyncio
import re
import time
from typing import Final

from chapkit.core.logging import get_logger

HELD_TOO_LONG: Final = 5.0
"""Seconds after which a transaction that writes is worth a line in the log."""
_reads = re.compile(r"\s*(SELECT|VALUES|EXPLAIN|PRAGMA|SHOW)\b", re.IGNORECASE).match
_may_read = re.compile(r"\s*WITH\b", re.IGNORECASE).match
_changes = re.compile(r"\b(INSERT|UPDATE|DELETE|REPLACE|MERGE)\b", re.IGNORECASE).search
_locks = re.compile(r"\bFOR\s+(NO\s+KEY\s+UPDATE|UPDATE|SHARE|KEY\s+SHARE)\b", re.IGNORECASE).search


def writes(sql: str) -> bool:
    """Tell whether a statement may write, or locks rows as if it did."""
    if _reads(sql):
        return _locks(sql) is not None
    return not _may_read(sql) or _changes(sql) is not None


class WriteWatch:
    """Logs that a function holds a transaction that writes for too long."""

    def __init__(self, function: str, limit: float = HELD_TOO_LONG) -> None:
        self.function = function
        self.intends = False
        """Whether whoever uses the session has said that it is going to write."""
        self._limit = limit
        self._begun: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Take note that the transaction writes from now on."""
        if self._begun is None:
            self._begun = time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(self._limit, self._complain)

    def end(self) -> None:
        """Take note that it has ended."""
        self.intends = False
        if self._timer is not None:
            self._timer.cancel()
            if self._seconds() >= self._limit:
                # The function did not let the timer have its turn.
                self._complain()
        self._begun = self._timer = None

    def _seconds(self) -> float:
        return 0.0 if self._begun is None else time.monotonic() - self._begun

    def _complain(self) -> None:
        self._timer = None
        get_logger("chapkit.task").warning(
            "task.transaction_held",
            function=self.function,
            seconds=round(self._seconds(), 1),
            hint="everybody else who writes has to wait: compute first and write at the end, or commit in between",
        )
