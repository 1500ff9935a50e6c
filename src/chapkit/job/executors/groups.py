"""Groups of processes that end together, and with the process that made them."""

import os
import signal
import subprocess
import sys
import threading
import time

_SHELL = "/bin/sh"
_SHELL_GUARD = "trap '' HUP INT TERM; read -r _; kill -KILL 0"
# For containers without a shell.
_PYTHON_GUARD = (
    "import os, signal, sys; [signal.signal(n, signal.SIG_IGN) for n in (1, 2, 15)]; "
    "sys.stdin.buffer.read(); os.killpg(0, 9)"
)
_EMPTY_PATIENCE = 0.25
_LOOK_EVERY = 0.005


class ProcessGroup:
    """An empty group that others join; it is killed when this process ends, even by `kill -9`.

    A tiny process, the guard, opens the group and waits for the end of a pipe that only this process
    holds. It needs nothing of those it guards: a function that never lets go of the interpreter and
    what a program has started are killed with the rest. As long as the guard is not waited for, the
    system gives the number of the group to nobody else, so no signal can hit a stranger.
    """

    def __init__(self, shell: str = _SHELL) -> None:
        self._lock = threading.Lock()
        self._guard = subprocess.Popen(
            guard_command(shell),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            process_group=0,
        )
        self._is_ended = False
        self.id = self._guard.pid
        """What `os.setpgid` and `subprocess.Popen(process_group=...)` take."""

    def signal(self, number: int) -> None:
        """Send a signal to all members; a group that has ended gets none."""
        with self._lock:
            if not self._is_ended:
                _signal(self.id, number)

    def end(self) -> None:
        """Kill what is left and return when it is gone; call it from a thread."""
        with self._lock:
            if self._is_ended:
                return
            self._is_ended = True
            _signal(self.id, signal.SIGKILL)
            self._guard.communicate()
        _wait_until_empty(self.id)


def guard_command(shell: str = _SHELL) -> list[str]:
    """Return the command of a guard: a shell where there is one."""
    if os.access(shell, os.X_OK):
        return [shell, "-c", _SHELL_GUARD]
    return [sys.executable, "-I", "-S", "-c", _PYTHON_GUARD]


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        # macOS answers that it is not permitted where only ended processes are left.
        return False
    return True


def _wait_until_empty(group: int) -> None:
    # Killed processes take a moment to go. Where nobody waits for orphans they never do, hence the end.
    end = time.monotonic() + _EMPTY_PATIENCE
    while _signal(group, 0) and time.monotonic() < end:
        time.sleep(_LOOK_EVERY)
