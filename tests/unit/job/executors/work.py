"""Functions for child processes, which import this module by its name."""

import asyncio
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog

from chapkit.core.errors import ConflictError
from chapkit.job.current import current_job, find_current_job


def add(left: int, right: int = 0) -> int:
    return left + right


async def add_later(left: int, right: int) -> int:
    await asyncio.sleep(0)
    return left + right


def add_by_coroutine(left: int, right: int) -> Any:
    return add_later(left, right)


def same(value: Any) -> Any:
    return value


def pid() -> int:
    return os.getpid()


def pid_when(path: str, count: int) -> int:
    """Return the process id when so many calls have come here."""
    Path(path, f"{os.getpid()}").touch()
    while len(list(Path(path).iterdir())) < count:
        time.sleep(0.005)
    return os.getpid()


def wait_for(path: str) -> str:
    while not Path(path).exists():
        time.sleep(0.005)
    return "done"


def begin_and_hang(path: str) -> None:
    """Say which process this is, then never end."""
    _tell(path, os.getpid())
    while True:
        time.sleep(60)


def begin_and_hang_deaf(path: str) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    begin_and_hang(path)


def begin_and_hang_with_family(path: str) -> None:
    """Start a program and fork, then never end."""
    program = subprocess.Popen(["sleep", "600"])
    twin = os.fork()
    if twin == 0:
        time.sleep(600)
        os._exit(0)
    _tell(path, os.getpid(), program.pid, twin)
    while True:
        time.sleep(60)


def begin_and_hold_the_interpreter(path: str) -> None:
    """Never let another thread of the process have its turn."""
    sys.setswitchinterval(1e9)
    program = subprocess.Popen(["sleep", "600"])
    _tell(path, os.getpid(), program.pid)
    while True:
        pass


def tidy_up(path: str) -> None:
    """Write down that the end was asked for."""
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    _tell(path, os.getpid())
    while not ended.wait(0.01):
        pass
    while not current_job().cancel_requested:
        time.sleep(0.001)
    Path(path + ".tidied").touch()


def leave_a_fork_and_die(path: str) -> None:
    """Die while a forked process has copies of everything that is open."""
    twin = os.fork()
    if twin == 0:
        time.sleep(600)
        os._exit(0)
    _tell(path, os.getpid(), twin)
    os._exit(7)


def kill_self(number: int = signal.SIGKILL) -> None:
    os.kill(os.getpid(), number)
    time.sleep(60)


def close_everything(path: str) -> None:
    _tell(path, os.getpid())
    os.closerange(3, 256)
    time.sleep(600)


def fail(error: BaseException) -> None:
    secret = "value of a variable"
    assert secret
    raise error


def fail_with(make: Callable[[], BaseException]) -> None:
    raise make()


def leave(code: int) -> None:
    sys.exit(code)


def burn(seconds: float) -> float:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return time.process_time()


def hold(size: int) -> int:
    return len(bytearray(b"x") * size)


def limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_AS)[0], resource.getrlimit(resource.RLIMIT_CPU)[0]


def tell_job() -> tuple[str, int, bool]:
    job = current_job()
    job.check_canceled()
    job.progress(0.25, "fold 1 of 4")
    job.log("warned", level="warning", rows=3, of=Path("a"))
    logging.getLogger("model").warning("from logging")
    structlog.get_logger("model").info("from structlog", step=2)
    return str(job.job_id), job.attempt, job.cancel_requested


def tell_and_wait(path: str) -> str:
    current_job().progress(0.5)
    return wait_for(path)


def leave_a_thread(path: str) -> None:
    """Go on telling about a job that is over."""
    job = current_job()

    def work() -> None:
        wait_for(path)
        job.log("too late")

    threading.Thread(target=work, daemon=True).start()


def has_job() -> bool:
    return find_current_job() is not None


def signals() -> tuple[bool, bool, bool]:
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    return ignored, signal.getsignal(signal.SIGTERM) is signal.SIG_DFL, os.getpgrp() != os.getpid()


class Own(Exception):
    """Its constructor wants something else than what it keeps."""

    def __init__(self, row: int, column: str) -> None:
        super().__init__(f"row {row}, column {column}")
        self.row = row


class Locked(Exception):
    """Cannot be pickled."""

    def __init__(self) -> None:
        super().__init__("locked")
        self.lock = threading.Lock()


class Trap:
    """Can be pickled, but not made again."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _spring, ()


class ParentTrap:
    """Can be made again in the process that has made it only."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _only_in, (os.getpid(),)


class Twice:
    """Its method may be called in a child."""

    def __init__(self, factor: int, **more: Any) -> None:
        self.factor = factor
        self.__dict__.update(more)

    def times(self, value: int) -> int:
        return self.factor * value

    def __call__(self, value: int) -> int:
        return self.times(value)


def conflict() -> BaseException:
    return ConflictError("taken", code="test-taken", found=3)


def unspeakable() -> BaseException:
    return Mute("a")


class Mute(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


def lock() -> Any:
    return threading.Lock()


def make_trap() -> ParentTrap:
    return ParentTrap()


def _spring() -> None:
    raise ValueError("sprung")


def _only_in(process: int) -> "ParentTrap":
    if process != os.getpid():
        raise ValueError("not in this process")
    return ParentTrap()


def _tell(path: str, *numbers: int) -> None:
    Path(path + ".part").write_text(" ".join(map(str, numbers)))
    os.rename(path + ".part", path)
