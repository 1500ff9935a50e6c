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
from chapkit.job.executors.peak import forget_peak, peak_of_process

_IS_LINUX = sys.platform == "linux"


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
        # Where it cannot be forgotten, the peak is that of the whole life of the child.
        forget_peak()
        self._cpu_seconds = _spent(with_children=True)

    @property
    def begun(self) -> Used:
        """What this process had used in its life when the meter was made, and the memory that it holds."""
        return Used(self._cpu_seconds, peak_of_process())

    def read(self) -> Used:
        """Return what was used since the meter was made."""
        return Used(_spent(with_children=True) - self._cpu_seconds, peak_of_process())


def time_of(pid: int) -> float | None:
    """Return the processor time of another process, with that of what it waited for, where the system tells (Linux).

    It is told of a process that has ended, too, until somebody has waited for it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    return sum(int(field) for field in fields[11:15]) / os.sysconf("SC_CLK_TCK")


def _spent(*, with_children: bool = False) -> float:
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN) if with_children else (resource.RUSAGE_SELF,)
    usages = [resource.getrusage(kind) for kind in kinds]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


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
