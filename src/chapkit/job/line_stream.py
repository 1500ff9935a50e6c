"""The output of a program as lines in the log of a job."""

from chapkit.job.current import RunningJob

MAX_LINES = 1000
"""Lines of one output that are logged; the others are only kept with the output."""
MAX_LINE = 2000
"""Bytes of a line that are logged."""


class LineStream:
    """Logs each line once it is complete, so many and so long ones as are bearable."""

    def __init__(self, job: RunningJob, name: str) -> None:
        self._job = job
        self._name = name
        self._line = bytearray()
        self._lines = 0

    def add(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._lines > MAX_LINES:
            # All that is logged was logged; to split what is left out would cost more than to read it.
            return
        *complete, rest = data.split(b"\n", MAX_LINES + 1 - self._lines)
        for part in complete:
            self._extend(part)
            self._log()
        if self._lines <= MAX_LINES:
            self._extend(rest)

    def finish(self) -> None:
        """Log what came behind the last end of a line."""
        if self._line:
            self._log()

    def _extend(self, part: bytes) -> None:
        self._line += part[: MAX_LINE - len(self._line)]

    def _log(self) -> None:
        text = self._line.decode(errors="replace").rstrip("\r")
        self._line.clear()
        self._lines += 1
        if self._lines <= MAX_LINES:
            self._job.log(text, stream=self._name)
        elif self._lines == MAX_LINES + 1:
            self._job.log(f"Further lines of {self._name} are left out", level="warning", stream=self._name)
