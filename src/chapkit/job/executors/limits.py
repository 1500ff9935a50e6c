"""What a child process may use, and what it has used."""

import math
import os
import resource
import sys
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from chapkit.core.errors import ConfigurationError

_IS_LINUX = sys.platform == "linux"
_FORGET_PEAK = "5"


@dataclass(frozen=True)
class ProcessLimits:
    """What one call in a child process may use; `None` sets no limit."""

    memory: int | None = None
    """Bytes of address space (Linux): more than what is really in use, libraries included."""
    cpu_seconds: float | None = None
    """Seconds of processor time, rounded up to whole ones."""

    def __post_init__(self) -> None:
        """Refuse what leaves nothing to work with.

        Raises:
            ConfigurationError: A limit is not above zero (`process-limits-invalid`).
        """
        for name, value in (("memory", self.memory), ("cpu_seconds", self.cpu_seconds)):
            if value is not None and value <= 0:
                raise ConfigurationError(
                    f"ProcessLimits({name}={value}) leaves nothing to work with; give more than 0, or None",
                    code="process-limits-invalid",
                    field=name,
                    found=value,
                )

    @contextmanager
    def applied(self) -> Generator[None]:
        """Hold this process to the limits inside of the block, counted from here on."""
        with _lowered(resource.RLIMIT_AS, self.memory if _IS_LINUX else None):
            spent = _spent()
            seconds = None if self.cpu_seconds is None else math.ceil(spent + self.cpu_seconds)
            with _lowered(resource.RLIMIT_CPU, seconds):
                yield


class Used(NamedTuple):
    """What a call has used."""

    cpu_seconds: float
    """Processor time of the child and of what it started and waited for."""
    peak_memory: int
    """Bytes of memory that the child itself held at most."""


class Meter:
    """Measures what this process uses from here on."""

    def __init__(self) -> None:
        if _IS_LINUX:
            _write_own("clear_refs", _FORGET_PEAK)
        self._cpu_seconds = _spent(with_children=True)

    def read(self) -> Used:
        """Return what was used since the meter was made."""
        peak = _status(os.getpid()) if _IS_LINUX else None
        if peak is None:
            # macOS counts bytes.
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if _IS_LINUX else 1)
        return Used(_spent(with_children=True) - self._cpu_seconds, peak)


def usage_of(pid: int) -> Used | None:
    """Return what another process has used in its life, where the system tells (Linux)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    peak = _status(pid)
    ticks = sum(int(field) for field in fields[11:15])
    return None if peak is None else Used(ticks / os.sysconf("SC_CLK_TCK"), peak)


def _spent(*, with_children: bool = False) -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) if with_children else (resource.RUSAGE_SELF,)
    usages = [resource.getrusage(kind) for kind in kinds]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def _status(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    # A process that has ended has no such line any more.
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _write_own(name: str, text: str) -> None:
    try:
        Path(f"/proc/self/{name}").write_text(text, encoding="ascii")
    except OSError:
        # Not offered by this kernel: the peak is that of the whole life of the child.
        return


@contextmanager
def _lowered(kind: int, limit: int | None) -> Generator[None]:
    if limit is None:
        yield
        return
    before, most = resource.getrlimit(kind)
    allowed = [value for value in (limit, before, most) if value != resource.RLIM_INFINITY]
    resource.setrlimit(kind, (min(allowed), most))
    try:
        yield
    finally:
        resource.setrlimit(kind, (before, most))
