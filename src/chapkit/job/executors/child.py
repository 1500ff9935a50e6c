"""What runs in a child process: one call after the other, until its parent is gone."""

import asyncio
import inspect
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from chapkit.core.ids import ULID
from chapkit.core.logging import add_request_context, clear_request_context, configure_logging
from chapkit.job.current import working_for
from chapkit.job.errors import JobCanceledError
from chapkit.job.executors.channel import Channel, ChannelClosedError, UnreadableError, UnsendableError
from chapkit.job.executors.containment import contained, contained_async
from chapkit.job.executors.limits import Meter, ProcessLimits
from chapkit.job.executors.process_errors import ResultNotPicklableError
from chapkit.job.executors.raised import Raised
from chapkit.job.executors.user_code import is_coroutine_function
from chapkit.job.logs import keeping_logs, listening_to_logging

READY, TAKEN, BEGUN, PROGRESS, LOG = "ready", "taken", "begun", "progress", "log"
RETURNED, RAISED = "returned", "raised"


class Request(NamedTuple):
    """A call on its way into a child."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    job: tuple[str, int] | None
    """Identifier and attempt of the job that the call works for."""


class ChildJob:
    """The running job as functions in the child see it; what they tell goes to the parent at once."""

    def __init__(self, job_id: ULID, attempt: int, tell: Callable[..., None]) -> None:
        self.job_id = job_id
        self.attempt = attempt
        self._tell = tell
        self._canceled = threading.Event()

    @property
    def cancel_requested(self) -> bool:
        """Tell whether the job should end at once; only who handles SIGTERM gets to see it."""
        return self._canceled.is_set()

    def request_cancel(self) -> None:
        """Let `cancel_requested` be true from now on."""
        self._canceled.set()

    def check_canceled(self) -> None:
        """Go on, unless the job was asked to stop.

        Raises:
            JobCanceledError: It was; let it through.
        """
        if self.cancel_requested:
            raise JobCanceledError

    def progress(self, fraction: float, message: str | None = None) -> None:
        """Tell how much is done, from 0 to 1, and with what."""
        self._tell(self, PROGRESS, float(fraction), None if message is None else str(message))

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        """Add a line to the events of the job."""
        plain = {name: v if isinstance(v, int | float | None) else str(v) for name, v in values.items()}
        self._tell(self, LOG, str(message), str(level), plain)


class CallServer:
    """Answers the calls that come over a channel."""

    def __init__(self, channel: Channel, limits: ProcessLimits) -> None:
        self._channel = channel
        self._limits = limits
        self._lock = threading.Lock()
        self._job: ChildJob | None = None

    def serve(self) -> None:
        """Answer until the other side is gone."""
        with suppress(ChannelClosedError):
            self._send(READY)
            while True:
                self._channel.has_message(None)
                self._send(TAKEN)
                self._answer()

    def request_cancel(self) -> None:
        """Let the job of the running call know that it is to end."""
        job = self._job
        if job is not None:
            job.request_cancel()

    def _answer(self) -> None:
        try:
            request: Request = self._channel.receive()
        except UnreadableError as error:
            self._send(RAISED, Raised.of(error.__cause__ or error), Meter().read())
            return
        # Whatever was imported for the call is none of its own doing.
        meter = Meter()
        self._send(BEGUN, meter.begun)
        try:
            value = self._perform(request)
        except BaseException as error:
            self._send(RAISED, Raised.of(error), meter.read())
            return
        finally:
            _flush()
        try:
            self._send(RETURNED, value, meter.read())
        except UnsendableError as error:
            self._send(RAISED, Raised.of(ResultNotPicklableError(value, error.detail)), meter.read())

    def _perform(self, request: Request) -> Any:
        with self._working_for(request.job), self._limits.applied():
            if is_coroutine_function(request.function):
                return asyncio.run(contained_async(request.function, *request.args, **request.kwargs))
            result = contained(request.function, *request.args, **request.kwargs)
            if inspect.iscoroutine(result):
                return asyncio.run(contained_async(lambda: result))
            return result

    @contextmanager
    def _working_for(self, job: tuple[str, int] | None) -> Generator[None]:
        if job is None:
            yield
            return
        self._job = ChildJob(ULID(job[0]), job[1], self._tell)
        add_request_context(job_id=job[0])
        try:
            with working_for(self._job), keeping_logs(self._job):
                yield
        finally:
            clear_request_context("job_id")
            with self._lock:
                self._job = None

    def _tell(self, job: ChildJob, *message: Any) -> None:
        # Threads that a function leaves behind, and processes that it forked, must not speak for the next job.
        with self._lock, suppress(ChannelClosedError):
            if job is self._job:
                self._channel.send(message)

    def _send(self, *message: Any) -> None:
        with self._lock:
            self._channel.send(message)


class Setup(NamedTuple):
    """What a child has to know of its parent."""

    parent: int
    group: int
    limits: ProcessLimits
    logs_alike: bool
    """Whether to set up logging as chapkit does."""


def run_child(connection: Connection, control: Connection, setup: Setup) -> None:
    """Be a child: join the group that dies with the parent, then answer calls."""
    try:
        os.setpgid(0, setup.group)
    except OSError:
        # The group has ended with the parent.
        return
    # Whoever looks after the group may have been done with it before this process was in it.
    if os.getppid() != setup.parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for end in (connection, control):
        os.set_inheritable(end.fileno(), False)
        # A process that the function forks and leaves behind would look like a child that lives.
        os.register_at_fork(after_in_child=end.close)
    if setup.logs_alike:
        configure_logging()
    server = CallServer(Channel(connection), setup.limits)
    threading.Thread(target=watch_parent, args=(control, server), name="chapkit-parent", daemon=True).start()
    with listening_to_logging():
        server.serve()


def watch_parent(control: Connection, server: CallServer) -> None:
    """Wait for the wish to stop, or for the end of the parent, which is the end of the whole group."""
    try:
        while True:
            control.recv_bytes()
            server.request_cancel()
    except (EOFError, OSError):
        os.killpg(os.getpgrp(), signal.SIGKILL)


def _flush() -> None:
    # The child is killed in the end, so nobody else writes what is left in the buffers.
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
