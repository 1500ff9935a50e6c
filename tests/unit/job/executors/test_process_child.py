"""The side of the child, in this process: its messages, as they come over the pipe."""

import multiprocessing
import os
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any

import pytest

from chapkit.core.ids import ULID
from chapkit.job.errors import JobCanceledError, ProcessExitError
from chapkit.job.executors import child
from chapkit.job.executors.channel import Channel, ChannelClosedError, UnreadableError, UnsendableError
from chapkit.job.executors.child import CallServer, ChildJob, Request, Setup, run_child, watch_parent
from chapkit.job.executors.limits import ProcessLimits
from chapkit.job.executors.raised import ChildError, Raised
from tests.unit.job.executors import work


class Reports:
    """Takes what a channel sends."""

    def __init__(self) -> None:
        self.channel, self._other = self._pair()
        self.server = CallServer(self._other, ProcessLimits())

    def ask(self, function: Any, *args: Any, job: tuple[str, int] | None = None, **kwargs: Any) -> list[Any]:
        """Return all messages of one call."""
        self.channel.send(Request(function, args, kwargs, job))
        messages: list[Any] = []
        while not messages or messages[-1][0] not in (child.RETURNED, child.RAISED):
            messages.append(self.channel.receive())
        return messages

    @staticmethod
    def _pair() -> tuple[Channel, Channel]:
        ours, theirs = multiprocessing.Pipe()
        return Channel(ours), Channel(theirs)


@pytest.fixture
def reports() -> Generator[Reports]:
    made = Reports()
    thread = threading.Thread(target=made.server.serve)
    thread.start()
    assert made.channel.receive() == (child.READY,)
    yield made
    made.channel.close()
    thread.join(10)
    assert not thread.is_alive()
    made._other.close()


def test_a_call_is_acknowledged_before_its_objects_are_made(reports: Reports) -> None:
    taken, begun, answer = reports.ask(work.add, 1, right=2)
    assert (taken, begun[0], answer[:2]) == ((child.TAKEN,), child.BEGUN, (child.RETURNED, 3))
    taken, answer = reports.ask(work.same, work.Trap())
    assert (taken, answer[0], answer[1].message) == ((child.TAKEN,), child.RAISED, "sprung")


@pytest.mark.parametrize("function", [work.add_later, work.add_by_coroutine])
def test_a_coroutine_is_awaited(reports: Reports, function: Any) -> None:
    assert reports.ask(function, 1, 2)[-1][:2] == (child.RETURNED, 3)


def test_a_function_speaks_with_its_job(reports: Reports) -> None:
    identity = (str(ULID()), 4)
    messages = reports.ask(work.tell_job, job=identity)
    assert messages[2:4] == [
        (child.PROGRESS, 0.25, "fold 1 of 4"),
        (child.LOG, "warned", "warning", {"rows": 3, "of": "a"}),
    ]
    assert messages[-1][:2] == (child.RETURNED, (*identity, False))
    assert reports.ask(work.has_job)[-1][1] is False


def test_an_error_and_a_result_that_cannot_travel_are_told(reports: Reports) -> None:
    assert reports.ask(work.fail, ValueError("no"))[-1][1].type_name == "ValueError"
    assert "cannot be sent back" in reports.ask(work.lock)[-1][1].message


@pytest.mark.parametrize(
    ("error", "travels"),
    [
        (KeyError("a"), True),
        (work.Own(1, "b"), True),
        (work.conflict(), True),
        (ProcessExitError(SystemExit(3)), True),
        (work.Locked(), False),
    ],
)
def test_an_error_is_pickled_if_it_stays_the_same(error: Exception, travels: bool) -> None:
    again = Raised.of(error).error()
    assert (type(again) is type(error)) is travels
    assert isinstance(again, ChildError) is not travels


def test_an_error_without_a_text_is_told_by_its_name() -> None:
    assert Raised.of(work.unspeakable()).message == "(its text cannot be made: ValueError)"


def test_a_job_that_is_asked_to_stop_knows() -> None:
    told: list[Any] = []
    job = ChildJob(ULID(), 1, lambda *message: told.append(message))
    job.check_canceled()
    job.request_cancel()
    with pytest.raises(JobCanceledError):
        job.check_canceled()
    job.progress(1)
    assert told == [(job, child.PROGRESS, 1.0, None)]


def test_a_job_that_is_over_is_not_heard_any_more(reports: Reports) -> None:
    jobs = [ChildJob(ULID(), 1, reports.server._tell) for _ in range(2)]
    reports.server._job = jobs[1]
    for number, job in enumerate(jobs):
        job.progress(number)
    assert reports.channel.receive() == (child.PROGRESS, 1.0, None)


def test_the_end_of_the_parent_is_the_end_of_the_group(monkeypatch: pytest.MonkeyPatch) -> None:
    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "killpg", lambda group, number: killed.append((group, number)))
    server = Reports().server
    server.request_cancel()
    server._job = job = ChildJob(ULID(), 1, lambda *message: None)
    told, control = multiprocessing.Pipe(duplex=False)
    control.send_bytes(b"stop")
    control.close()
    watch_parent(told, server)
    assert job.cancel_requested
    assert killed == [(os.getpgrp(), 9)]
    told.close()


@contextmanager
def _as_child(monkeypatch: pytest.MonkeyPatch) -> Generator[tuple[Connection, Connection, Connection, list[Any]]]:
    """Let nothing of what a child does to its process happen to this one."""
    done: list[Any] = []
    monkeypatch.setattr(os, "setpgid", lambda *numbers: done.append(numbers))
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: done.append(hooks))
    monkeypatch.setattr("signal.signal", lambda *numbers: done.append(numbers))
    monkeypatch.setattr(child, "watch_parent", lambda *args: None)
    ours, theirs = multiprocessing.Pipe()
    told, control = multiprocessing.Pipe(duplex=False)
    with ours, theirs, told, control:
        yield ours, theirs, told, done


@pytest.mark.parametrize("logs_alike", [False, True])
def test_a_child_joins_its_group_and_answers(monkeypatch: pytest.MonkeyPatch, logs_alike: bool) -> None:
    with _as_child(monkeypatch) as (ours, theirs, told, done):
        channel = Channel(ours)
        channel.send(Request(work.add, (1, 2), {}, None))
        ours_end = threading.Thread(target=_receive, args=(channel, 4))
        ours_end.start()
        run_child(theirs, told, Setup(os.getppid(), 7, ProcessLimits(), logs_alike))
        ours_end.join(10)
        assert done[0] == (0, 7)
        assert len([item for item in done if isinstance(item, dict)]) == 2


def test_a_child_whose_parent_has_gone_already_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with _as_child(monkeypatch) as (_, theirs, told, done):
        run_child(theirs, told, Setup(os.getppid() + 1, 7, ProcessLimits(), False))
        assert done == [(0, 7)]


def test_a_message_that_breaks_off_leaves_no_trace() -> None:
    one, other = Reports._pair()
    threading.Thread(target=_send_all, args=(one, [b"x" * 3_000_000, work.lock()], "next")).start()
    assert other.receive() == "next"
    one.close()
    other.close()


def test_a_message_that_cannot_be_read_does_not_spoil_the_next() -> None:
    one, other = Reports._pair()
    threading.Thread(target=_send_all, args=(one, [work.Trap(), b"x" * 3_000_000], "next")).start()
    with pytest.raises(UnreadableError, match="sprung"):
        other.receive()
    assert other.receive() == "next"
    one.close()
    with pytest.raises(ChannelClosedError):
        other.receive()
    with pytest.raises(ChannelClosedError):
        other.send("more")
    with pytest.raises(ChannelClosedError):
        other.send(b"x" * 5_000_000)
    other.close()
    with pytest.raises(ChannelClosedError):
        other.has_message(0)


def _send_all(channel: Channel, *messages: Any) -> None:
    for message in messages:
        with suppress(UnsendableError):
            channel.send(message)


def _receive(channel: Channel, count: int) -> None:
    for _ in range(count):
        channel.receive()
    channel.close()
