"""A child process as its parent sees it."""

import concurrent.futures
import multiprocessing
import os
import queue
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import Any

import structlog

from chapkit.core.logging import describe_error, get_logger
from chapkit.job.current import RunningJob
from chapkit.job.executors import child as protocol
from chapkit.job.executors.channel import Channel, ChannelClosedError, UnreadableError, UnsendableError
from chapkit.job.executors.groups import ProcessGroup
from chapkit.job.executors.limits import ProcessLimits, Used, time_of
from chapkit.job.executors.peak import peak_of
from chapkit.job.executors.process_errors import ArgumentsNotPicklableError, ResultNotReadableError, died
from chapkit.job.executors.raised import Raised

STOP_GRACE = 0.3
"""Seconds between asking a child to end and killing it."""
_LOOK_EVERY = 1.0
_EXIT_PATIENCE = 0.5
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.1


class NotTakenError(Exception):
    """The child was gone before it saw the call; another one may try."""

    def __init__(self, reason: Exception) -> None:
        super().__init__()
        self.reason = reason


@dataclass
class Call:
    """A call and what came of it."""

    function: Callable[..., Any]
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = field(default_factory=dict[str, Any])
    job: RunningJob | None = None
    outcome: concurrent.futures.Future[Any] = field(default_factory=concurrent.futures.Future[Any])
    usage: Used | None = None
    is_taken: bool = False

    def __post_init__(self) -> None:
        self.outcome.set_running_or_notify_cancel()

    def fail(self, error: Exception) -> None:
        """Say that the child is gone, because of `error`."""
        self.outcome.set_exception(error if self.is_taken else NotTakenError(error))


class Child:
    """A spawned process that answers calls, and the thread that speaks with it."""

    def __init__(self, limits: ProcessLimits) -> None:
        self.calls = 0
        """Number of calls it was given."""
        self.is_usable = True
        """Whether it may be given another one."""
        self.ended: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._limits = limits
        self._orders: queue.SimpleQueue[Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._group: ProcessGroup | None = None
        self._process: SpawnProcess | None = None
        self._channel: Channel | None = None
        self._control: Connection | None = None
        self._is_started = False
        self._killer: threading.Timer | None = None
        self._call: Call | None = None
        self._before: Used | None = None
        self._reason: Exception | None = None
        threading.Thread(target=self._keep, name="chapkit-child", daemon=True).start()

    def submit(self, call: Call) -> None:
        """Let the child answer a call, after those before it."""
        self.calls += 1
        with self._lock:
            if self._reason is None:
                self._orders.put(call)
                return
        call.fail(self._reason)

    def stop(self) -> None:
        """Ask the child to end and kill it a moment later, with all that it has started."""
        with self._lock:
            if self._killer is not None:
                return
            self._killer = threading.Timer(STOP_GRACE, self.kill)
            self._killer.daemon = True
            self._killer.start()
            self._measure()
            if self._control is not None:
                with suppress(OSError):
                    self._control.send_bytes(b"stop")
            self._retire(signal.SIGTERM)

    def kill(self) -> None:
        """End the child now, with all that it has started."""
        with self._lock:
            self._retire(signal.SIGKILL)

    def _retire(self, number: int) -> None:
        self.is_usable = False
        self._orders.put(None)
        self._signal(number)

    def _signal(self, number: int) -> None:
        if self._group is not None:
            self._group.signal(number)
        if self._process is not None and not self._is_started and self._process.exitcode is None:
            # It has not joined the group yet.
            self._process.kill()

    def _keep(self) -> None:
        problem: Exception | None = None
        try:
            self._answer_calls(self._start())
        except ChannelClosedError:
            self._measure()
        except Exception as error:
            problem = error
        try:
            code = self._end(patience=_EXIT_PATIENCE if self.is_usable else 0.0)
            reason = problem or died(code, self._limits, is_started=self._is_started)
        except Exception as error:
            reason = error
        self._dismiss(reason)

    def _answer_calls(self, channel: Channel) -> None:
        while (call := self._orders.get()) is not None:
            self._call = call
            if not self.is_usable:
                return
            self._perform(channel, call)
            self._call = None

    def _dismiss(self, reason: Exception) -> None:
        """Answer all who still wait, now that the child is gone."""
        with self._lock:
            self._reason = reason
        if self._call is not None:
            self._call.fail(reason)
        while not self._orders.empty():
            if (call := self._orders.get()) is not None:
                call.fail(reason)
        self.ended.set_result(None)

    def _start(self) -> Channel:
        group = ProcessGroup()
        with self._lock:
            self._group = group
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        told, control = context.Pipe(duplex=False)
        self._channel, self._control = Channel(ours), control
        setup = protocol.Setup(os.getpid(), group.id, self._limits, structlog.is_configured())
        process = context.Process(target=protocol.run_child, args=(theirs, told, setup), name="chapkit-child")
        try:
            process.start()
        finally:
            theirs.close()
            told.close()
        with self._lock:
            self._process = process
            if not self.is_usable:
                raise ChannelClosedError
        self._channel.receive()
        self._is_started = True
        return self._channel

    def _perform(self, channel: Channel, call: Call) -> None:
        job = None if call.job is None else (str(call.job.job_id), call.job.attempt)
        self._before = None
        try:
            channel.send(protocol.Request(call.function, call.args, call.kwargs, job))
        except UnsendableError as error:
            call.outcome.set_exception(ArgumentsNotPicklableError(call.function, error.detail))
            return
        while not call.outcome.done():
            while not channel.has_message(_LOOK_EVERY):
                self._measure()
            try:
                self._hear(call, *channel.receive())
            except UnreadableError as error:
                call.outcome.set_exception(ResultNotReadableError(error.detail))

    def _hear(self, call: Call, kind: str, *values: Any) -> None:
        if kind == protocol.TAKEN:
            call.is_taken = True
        elif kind == protocol.BEGUN:
            (self._before,) = values
            self._measure()
        elif kind == protocol.RETURNED:
            value, call.usage = values
            call.outcome.set_result(value)
        elif kind == protocol.RAISED:
            raised, call.usage = values
            self._fail(call, raised)
        elif call.job is not None:
            _report(call.job, kind, *values)

    def _fail(self, call: Call, raised: Raised) -> None:
        error = raised.error()
        if isinstance(error, MemoryError):
            # What is left of it may be in pieces.
            self.is_usable = False
        call.outcome.set_exception(error)

    def _measure(self) -> None:
        # Where the child ends without a word, this is the last that was seen of it.
        call, before, process = self._call, self._before, self._process
        if call is None or before is None or process is None or process.pid is None:
            return
        spent = time_of(process.pid)
        if spent is not None:
            # Of one that has ended already, the time is still told, the memory no longer.
            peak = peak_of(process.pid) or (call.usage or before).peak_memory
            # The system counts in ticks, the child itself more finely.
            call.usage = Used(max(0.0, spent - before.cpu_seconds), peak)

    def _end(self, patience: float) -> int | None:
        """Return the exit code when the child and all of its group are gone."""
        if self._process is not None:
            self._wait_for_exit(patience)
        with self._lock:
            self.is_usable = False
            if self._killer is not None:
                self._killer.cancel()
            self._signal(signal.SIGKILL)
        code = None if self._process is None else self._wait_for_exit(None)
        with self._lock:
            if self._process is not None and code is not None:
                self._process.close()
            self._process = None
        if self._group is not None:
            self._group.end()
        for end in (self._channel, self._control):
            if end is not None:
                end.close()
        return code

    def _wait_for_exit(self, patience: float | None) -> int | None:
        assert self._process is not None
        end = None if patience is None else time.monotonic() + patience
        pause = _FIRST_PAUSE
        while (code := self._process.exitcode) is None and (end is None or time.monotonic() < end):
            if not _exists(self._process.pid):
                break
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return code


def _exists(pid: int | None) -> bool:
    # Somebody else may have waited for the process; then nobody gets to know how it ended.
    try:
        os.kill(pid or 0, 0)
    except ProcessLookupError:
        return False
    return True


def _report(job: RunningJob, kind: str, *values: Any) -> None:
    try:
        if kind == protocol.PROGRESS:
            job.progress(*values)
        else:
            message, level, more = values
            job.log(message, level, **more)
    except Exception as error:
        get_logger("chapkit.job").warning("job.report_failed", job_id=str(job.job_id), **describe_error(error))
