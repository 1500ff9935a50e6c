"""What a running job has told that is not written down yet."""

import threading
from collections import deque
from collections.abc import Sequence

from chapkit.job.claims import Report

_PROGRESS = "progress"


class WaitingReports:
    """Keeps the lines and the newest progress; from any thread, and for every copy of a job's context."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # As many as the budget of the log admits: these, and one that says how many it has left out.
        self._lines: deque[Report] = deque()
        self._progress: Report | None = None

    def __bool__(self) -> bool:
        """Tell whether there is something to be written."""
        return bool(self._lines) or self._progress is not None

    def add(self, report: Report) -> None:
        """Keep a line, or what is now the newest progress."""
        with self._lock:
            if report.kind == _PROGRESS:
                self._progress = report
            else:
                self._lines.append(report)

    def put_back(self, reports: Sequence[Report]) -> None:
        """Keep what could not be written for the next time; of progress, what was told since is newer."""
        lines = [item for item in reports if item.kind != _PROGRESS]
        told = [item for item in reports if item.kind == _PROGRESS]
        with self._lock:
            self._lines.extendleft(reversed(lines))
            if told and self._progress is None:
                self._progress = told[-1]

    def take(self) -> list[Report]:
        """Return what was told since the last call: the lines, then the newest progress."""
        with self._lock:
            lines, progress = list(self._lines), self._progress
            self._lines.clear()
            self._progress = None
        return lines if progress is None else [*lines, progress]
