"""What functions, coroutines and programs have used of the processor."""

import os
import sys
import time
from collections.abc import Callable, Coroutine, Generator
from typing import Any, TypeVar

from chapkit.job.claims import Usage
from chapkit.job.executors.peak import PEAK_MEMORY

T = TypeVar("T")
_MAXRSS_UNIT = 1 if sys.platform == "darwin" else 1024


class MeteredCoroutine:
    """Awaits a coroutine and measures its own steps, not what else runs on the loop in between."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any], note_usage: Callable[[Usage], object]) -> None:
        self._coroutine = coroutine
        self._note_usage = note_usage
        self._spent = 0.0

    def __await__(self) -> Generator[Any, Any, Any]:
        """Step through the coroutine."""
        error: BaseException | None = None
        memory = PEAK_MEMORY.begin()
        try:
            while True:
                awaited = self._step(error)
                error = None
                try:
                    yield awaited
                except BaseException as raised:
                    error = raised
        except StopIteration as end:
            return end.value
        finally:
            self._coroutine.close()
            self._note_usage(Usage(self._spent, PEAK_MEMORY.end(memory)))

    def _step(self, error: BaseException | None) -> Any:
        begun = time.thread_time()
        try:
            return self._coroutine.send(None) if error is None else self._coroutine.throw(error)
        finally:
            self._spent += time.thread_time() - begun


def metered(note_usage: Callable[[Usage], object], function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Return what the function returns, and note what this thread has used for it."""
    begun, memory = time.thread_time(), PEAK_MEMORY.begin()
    try:
        return function(*args, **kwargs)
    finally:
        note_usage(Usage(time.thread_time() - begun, PEAK_MEMORY.end(memory)))


class ProgramWait:
    """Asks whether a child has ended, and what it has used together with all that it has waited for itself."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        # Before it begins its own program, a child has the memory of this process, which is counted as its own.
        self._borrowed = PEAK_MEMORY.highest
        self.exit_code: int | None = None
        self.usage = Usage()

    def is_over(self) -> bool:
        """Tell whether it has ended; only then are its exit code and its usage known."""
        if self.exit_code is None:
            try:
                pid, status, used = os.wait4(self._pid, os.WNOHANG)
            except ChildProcessError:
                # Somebody else has waited for it, so nobody knows how it ended; subprocess takes that for success, too.
                self.exit_code = 0
                return True
            if pid:
                self.exit_code = os.waitstatus_to_exitcode(status)
                peak = used.ru_maxrss * _MAXRSS_UNIT
                seconds = used.ru_utime + used.ru_stime
                self.usage = Usage(seconds, peak if peak > self._borrowed else None)
        return self.exit_code is not None
