"""What tests see of processes from outside."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chapkit.core.ids import ULID

PATIENCE = 30.0


def is_alive(pid: int) -> bool:
    """Tell whether the process runs; one that has ended and that nobody has waited for does not."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.parent.parent.is_dir() or status.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (OSError, IndexError):
        return False


def wait_until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    end = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < end, "it has not come to that"
        time.sleep(0.005)


async def comes_true(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    await asyncio.to_thread(wait_until, condition, patience)


async def processes_of(path: Path) -> list[int]:
    """Return the process ids that a function has written down."""
    await comes_true(path.exists)
    return [int(number) for number in path.read_text().split()]


class SeenJob:
    """A running job that remembers what it is told."""

    def __init__(self) -> None:
        self.job_id = ULID()
        self.attempt = 2
        self.cancel_requested = False
        self.told: list[tuple[Any, ...]] = []

    def check_canceled(self) -> None:
        if self.cancel_requested:
            raise RuntimeError("asked to stop")

    def progress(self, fraction: float, message: str | None = None) -> None:
        self.told.append(("progress", fraction, message))

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        self.told.append((level, message, values))
