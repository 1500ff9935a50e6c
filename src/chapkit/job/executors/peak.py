"""The most memory that this process has held at once.

The system keeps one such number for each process. On Linux it can be set back to what is held now, so that the peak
of something that begins later is not hidden by what was before.
"""

import os
import resource
import sys
import threading

_IS_LINUX = sys.platform == "linux"
_FORGET = b"5"
_PEAK_LINE = b"\nVmHWM:"
_ENOUGH = 8192
"""Bytes; the line stands in the first few hundred of the file."""


class Watch:
    """What the process has held at most since the watch began."""

    def __init__(self, held: int, *, is_exact: bool) -> None:
        self._first = held
        self._most = held
        self._is_exact = is_exact

    def note(self, held: int) -> None:
        """Take in what the process has held at most lately."""
        self._most = max(self._most, held)

    @property
    def peak(self) -> int | None:
        """Bytes; `None` where it stayed below what was held before, and the system cannot tell how far."""
        return self._most if self._is_exact or self._most > self._first else None


class PeakMemory:
    """Watches the memory of this process for any number of things that run at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: list[Watch] = []
        self._highest = 0

    @property
    def highest(self) -> int:
        """Bytes that the process has held at most in its life."""
        with self._lock:
            self._note()
            return self._highest

    def begin(self) -> Watch:
        """Watch from now on."""
        with self._lock:
            held = self._note()
            # From what is held now the system counts by itself, so there is nothing to begin with.
            watch = Watch(0, is_exact=True) if forget_peak() else Watch(held, is_exact=False)
            self._watches.append(watch)
        return watch

    def end(self, watch: Watch) -> int | None:
        """Return the bytes that the process has held at most meanwhile, or `None` where that cannot be told."""
        with self._lock:
            self._note()
            self._watches.remove(watch)
        return watch.peak

    def _note(self) -> int:
        held = peak_of_process()
        self._highest = max(self._highest, held)
        for watch in self._watches:
            watch.note(held)
        return held


PEAK_MEMORY = PeakMemory()
"""One for the process, whatever services run in it: so is the number of the system."""


def peak_of_process() -> int:
    """Return the bytes that this process has held at most since that was forgotten."""
    peak = peak_of(os.getpid()) if _IS_LINUX else None
    if peak is None:
        # macOS counts bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if _IS_LINUX else 1)
    return peak


def peak_of(pid: int) -> int | None:
    """Return the bytes that a process has held at most, where the system tells (Linux) and the process runs."""
    # Done for each attempt, so without the layers of a file object, which take longer than the system itself.
    try:
        file = os.open(f"/proc/{pid}/status", os.O_RDONLY)
        try:
            text = os.read(file, _ENOUGH)
        finally:
            os.close(file)
    except OSError:
        return None
    # A process that has ended has no such line any more.
    _, found, rest = text.partition(_PEAK_LINE)
    return int(rest.split(None, 1)[0]) * 1024 if found else None


def forget_peak() -> bool:
    """Count the peak anew from what is held now; false where the system cannot."""
    try:
        file = os.open("/proc/self/clear_refs", os.O_WRONLY)
        try:
            os.write(file, _FORGET)
        finally:
            os.close(file)
    except OSError:
        return False
    return True
