"""One program from its start to the end of all that it has started, in one thread."""

import os
import selectors
import signal
import subprocess
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast

from chapkit.job.claims import Usage
from chapkit.job.current import RunningJob
from chapkit.job.excerpt import Excerpt
from chapkit.job.executors.groups import ProcessGroup
from chapkit.job.executors.metering import ProgramWait
from chapkit.job.line_stream import LineStream

STOP_GRACE = 0.5
"""Seconds between asking a program to end and killing it."""
_PIECE = 64 * 1024
_LOOK_EVERY = 0.05
_FIRST_PAUSE = 0.0005
_LAST_WORDS = 0.2
"""Seconds to wait for more output when the program has ended; only what left its group can still hold it open."""
_LAST_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True)
class Ending:
    """How a program ended."""

    exit_code: int
    stdout: Excerpt
    stderr: Excerpt
    is_late: bool
    duration_seconds: float
    usage: Usage


class CommandRun:
    """Runs a program once and reads what it writes as soon as it does."""

    def __init__(
        self, argv: list[str], timeout: float | None, max_output: int, stdin: bytes | None, job: RunningJob | None
    ) -> None:
        self._argv = argv
        self._timeout = timeout
        self._input = stdin
        self._outputs = {name: Excerpt(max_output) for name in ("stdout", "stderr")}
        self._lines = {} if job is None else {name: LineStream(job, name) for name in self._outputs}
        self._canceled = threading.Event()
        self._is_late = False
        self._kill_at: float | None = None

    def cancel(self) -> None:
        """Let the program be asked to end, and be killed a moment later."""
        self._canceled.set()

    def run(self, cwd: Path, environment: dict[str, str]) -> Ending:
        """Return when the program and all that it has started are gone.

        Raises:
            OSError: It cannot be started.
        """
        begun = time.monotonic()
        with ExitStack() as stack:
            group = ProcessGroup()
            stack.callback(group.end)
            process = stack.enter_context(self._start(group, cwd, environment))
            selector = stack.enter_context(self._selector(process))
            waiting = ProgramWait(process.pid)
            self._attend(waiting, group, selector, begun)
            # Nobody else is to wait for what is gone.
            process.returncode = waiting.exit_code
            # What it has left behind would hold the outputs open.
            group.signal(signal.SIGKILL)
            self._read_the_rest(selector)
        for lines in self._lines.values():
            lines.finish()
        return Ending(
            process.wait(),
            self._outputs["stdout"],
            self._outputs["stderr"],
            self._is_late,
            time.monotonic() - begun,
            waiting.usage,
        )

    def _start(self, group: ProcessGroup, cwd: Path, environment: dict[str, str]) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._argv,
            stdin=subprocess.DEVNULL if self._input is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            cwd=cwd,
            env=environment,
            process_group=group.id,
        )

    def _selector(self, process: "subprocess.Popen[bytes]") -> selectors.BaseSelector:
        selector = selectors.DefaultSelector()
        for name, output in (("stdout", process.stdout), ("stderr", process.stderr)):
            assert output is not None
            selector.register(output, selectors.EVENT_READ, name)
        if process.stdin is not None:
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, memoryview(self._input or b""))
        return selector

    def _attend(
        self, waiting: ProgramWait, group: ProcessGroup, selector: selectors.BaseSelector, begun: float
    ) -> None:
        pause = _FIRST_PAUSE
        while not waiting.is_over():
            self._stop_if_due(group, begun)
            if selector.get_map():
                self._serve(selector, _LOOK_EVERY)
            else:
                # It has closed its outputs, which mostly means that it is about to end.
                time.sleep(pause)
                pause = min(2 * pause, _LOOK_EVERY)

    def _stop_if_due(self, group: ProcessGroup, begun: float) -> None:
        now = time.monotonic()
        if self._kill_at is not None:
            if now >= self._kill_at:
                group.signal(signal.SIGKILL)
            return
        self._is_late = self._timeout is not None and now - begun >= self._timeout
        if self._is_late or self._canceled.is_set():
            self._kill_at = now + STOP_GRACE
            group.signal(signal.SIGTERM)

    def _read_the_rest(self, selector: selectors.BaseSelector) -> None:
        for key in list(selector.get_map().values()):
            if key.events == selectors.EVENT_WRITE:
                _drop(selector, key)
        size = 1
        read = 0
        while selector.get_map() and size and read < _LAST_BYTES:
            size = self._serve(selector, _LAST_WORDS)
            read += size

    def _serve(self, selector: selectors.BaseSelector, timeout: float) -> int:
        """Read and write what is possible now; return how many bytes and ends there were."""
        count = 0
        for key, _ in selector.select(timeout):
            count += self._write(selector, key) if key.events == selectors.EVENT_WRITE else self._read(selector, key)
        return count

    def _read(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> int:
        data = os.read(key.fd, _PIECE)
        if not data:
            _drop(selector, key)
            return 1
        self._outputs[key.data].add(data)
        if self._lines:
            self._lines[key.data].add(data)
        return len(data)

    def _write(self, selector: selectors.BaseSelector, key: selectors.SelectorKey) -> int:
        size = 0
        with suppress(BlockingIOError):
            try:
                size = os.write(key.fd, key.data[:_PIECE]) if key.data else 0
            except BrokenPipeError:
                # It does not want to read all of it.
                size = len(key.data)
        if size < len(key.data):
            selector.modify(key.fileobj, selectors.EVENT_WRITE, key.data[size:])
        else:
            _drop(selector, key)
        return size


def _drop(selector: selectors.BaseSelector, key: selectors.SelectorKey) -> None:
    selector.unregister(key.fileobj)
    cast("IO[bytes]", key.fileobj).close()
