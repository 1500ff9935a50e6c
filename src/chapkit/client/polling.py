"""How a client waits for a job: which call comes next, and when it is over. Nothing here sends."""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Generic, TypeVar

from chapkit.client.calls import Call
from chapkit.client.errors import (
    ApiError,
    ClientError,
    ConnectionFailed,
    JobCanceled,
    JobFailed,
    JobTimedOut,
    TimedOut,
)
from chapkit.client.job_calls import Events, JobCalls
from chapkit.job.schemas import JobRecord, JobStatus

AnswerT = TypeVar("AnswerT")
Clock = Callable[[], float]
WAIT = 30.0
"""Seconds that one request for the end of a job waits."""
EVENTS_WAIT = 20.0
"""Seconds that one request for events waits."""
OUTAGE = 60.0
"""Seconds that a service may be out of reach, as it is while it starts anew."""
_PAUSES = (0.1, 0.2, 0.5, 1.0)
_OUT = frozenset({429, 502, 503, 504})


class Polling(ABC, Generic[AnswerT]):
    """Requests that follow one another until something is over."""

    is_over = False

    def __init__(self, outage: float, clock: Clock) -> None:
        self.pause = 0.0
        """Seconds until the next request."""
        self._clock = clock
        self._outage = outage
        self._out_since: float | None = None
        self._asked_at = 0.0
        self._asked_for = 0.0
        self._idle = 0

    @abstractmethod
    def next_call(self) -> Call[AnswerT]:
        """Return what to send now."""

    def bear(self, error: ClientError) -> None:
        """Go on after an error that may pass soon.

        Raises:
            ClientError: The error itself, if it will not pass or has lasted too long.
        """
        now = self._clock()
        self._out_since = now if self._out_since is None else self._out_since
        if not _may_pass(error) or now - self._out_since >= self._outage:
            raise error
        self._rest()

    def _begin(self, wait: float) -> None:
        self._asked_at, self._asked_for, self.pause = self._clock(), wait, 0.0

    def _answered(self, *, with_news: bool) -> None:
        self._out_since = None
        if with_news or self._clock() - self._asked_at >= self._asked_for / 2:
            self._idle = 0
        else:
            # A service that does not wait, such as one that stops, must not be asked without a break.
            self._rest()

    def _rest(self) -> None:
        self.pause = _PAUSES[min(self._idle, len(_PAUSES) - 1)]
        self._idle += 1


class Waiting(Polling[JobRecord]):
    """Waits for the end of a job."""

    def __init__(
        self, calls: JobCalls, id: str, timeout: float | None, clock: Clock = time.monotonic, outage: float = OUTAGE
    ) -> None:
        super().__init__(outage, clock)
        self._calls = calls
        self._id = id
        self._timeout = timeout
        self._deadline = None if timeout is None else clock() + timeout

    def next_call(self) -> Call[JobRecord]:
        """Return what to send now."""
        wait = WAIT if self._left is None else round(min(WAIT, self._left), 3)
        self._begin(wait)
        return self._calls.get(self._id, wait)

    def take(self, record: JobRecord) -> None:
        """Take note of the job as it is.

        Raises:
            JobTimedOut: It has not ended, and the time is over.
        """
        self.is_over = record.status.is_final
        if not self.is_over:
            if self._timeout is not None and not self._left:
                raise JobTimedOut(record, self._timeout)
            self._answered(with_news=False)
            self._shorten_pause()

    def bear(self, error: ClientError) -> None:
        """Go on after an error that may pass soon, as long as there is time."""
        if self._left == 0.0:
            raise error
        super().bear(error)
        self._shorten_pause()

    @property
    def _left(self) -> float | None:
        return None if self._deadline is None else max(0.0, self._deadline - self._clock())

    def _shorten_pause(self) -> None:
        self.pause = self.pause if self._left is None else min(self.pause, self._left)


class Following(Polling[Events | JobRecord]):
    """Reads the events of a job, each once; with `follow`, until the job has ended."""

    def __init__(
        self,
        calls: JobCalls,
        id: str,
        after: int,
        follow: bool,
        clock: Clock = time.monotonic,
        outage: float = OUTAGE,
    ) -> None:
        super().__init__(outage if follow else 0.0, clock)
        self._calls = calls
        self._id = id
        self._after = after
        self._follow = follow
        self._wait = 0.0
        self._has_ended = False
        self._is_unsure = False

    def next_call(self) -> Call[Events | JobRecord]:
        """Return what to send now."""
        if self._is_unsure:
            self._begin(0.0)
            return self._calls.get(self._id)
        self._begin(self._wait)
        return self._calls.events(self._id, self._after, self._wait)

    def take(self, answer: Events | JobRecord) -> Events:
        """Take note of an answer and return the events in it."""
        if isinstance(answer, JobRecord):
            self._look_at(answer)
            return []
        if answer:
            self._note(answer)
        else:
            self._answered(with_news=False)
            # Nothing behind the end is the end: a job that runs again after its failure has more.
            self.is_over = self._has_ended or not self._follow
            self._is_unsure = not self.is_over
        return answer

    def _note(self, events: Events) -> None:
        self._answered(with_news=True)
        self._after = events[-1].number
        states = [event.data["status"] for event in events if event.kind == "status" and "status" in event.data]
        if states:
            self._has_ended = JobStatus(states[-1]).is_final
        self._wait = EVENTS_WAIT if self._follow and not self._has_ended else 0.0

    def _look_at(self, record: JobRecord) -> None:
        self._out_since = None
        self._is_unsure = False
        self._has_ended = record.status.is_final
        # What happened since the last look may still have to be read.
        self._wait = 0.0 if self._has_ended else EVENTS_WAIT


def ended_well(record: JobRecord) -> JobRecord:
    """Return a job that has completed.

    Raises:
        JobFailed: It failed.
        JobCanceled: It was canceled.
    """
    if record.status is JobStatus.FAILED:
        raise JobFailed(record)
    if record.status is JobStatus.CANCELED:
        raise JobCanceled(record)
    return record


def _may_pass(error: ClientError) -> bool:
    if isinstance(error, ApiError):
        return error.status in _OUT
    return isinstance(error, ConnectionFailed | TimedOut)
