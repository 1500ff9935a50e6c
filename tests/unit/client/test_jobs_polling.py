from typing import Any

import pytest

from chapkit.client.errors import (
    ApiError,
    ClientError,
    ConnectionFailed,
    JobCanceled,
    JobFailed,
    JobTimedOut,
    NotFound,
    TimedOut,
    Unavailable,
)
from chapkit.client.job_calls import JobCalls
from chapkit.client.polling import EVENTS_WAIT, OUTAGE, WAIT, Following, Waiting, ended_well
from chapkit.core.clock import SystemClock
from chapkit.core.ids import ULID
from chapkit.job.schemas import JobEventRecord, JobRecord, JobStatus

ID = ULID()
OUTAGES = [
    ConnectionFailed("gone"),
    TimedOut("late"),
    Unavailable("busy", status=503),
    ApiError("bad gateway", status=502),
    ApiError("slow", status=429),
]


class Watch:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def record(status: str, **members: Any) -> JobRecord:
    return JobRecord(id=ID, status=JobStatus(status), **members)


def event(number: int, kind: str = "log", **data: Any) -> JobEventRecord:
    return JobEventRecord(number=number, kind=kind, data=data, created_at=SystemClock().now())


def waiting(watch: Watch, timeout: float | None = None) -> Waiting:
    return Waiting(JobCalls(), ID, timeout, watch)


def following(watch: Watch, after: int = 0, *, follow: bool = True) -> Following:
    return Following(JobCalls(), ID, after, follow, watch)


def asked(polling: Waiting | Following) -> tuple[str, dict[str, str]]:
    call = polling.next_call()
    return call.path.rpartition("/")[2], dict(call.params)


def test_a_wait_without_limit_asks_again_and_again() -> None:
    watch = Watch()
    wait = waiting(watch)
    for _ in range(3):
        call = wait.next_call()
        assert (dict(call.params), call.waits) == ({"wait": str(WAIT)}, WAIT)
        watch.now += WAIT
        wait.take(record("running"))
        assert (wait.is_over, wait.pause) == (False, 0.0)
    wait.take(record("completed"))
    assert wait.is_over


def test_a_wait_asks_for_no_more_than_the_time_that_is_left() -> None:
    watch = Watch()
    wait = waiting(watch, 40)
    assert asked(wait)[1] == {"wait": "30.0"}
    watch.now += 30
    wait.take(record("pending"))
    assert asked(wait)[1] == {"wait": "10.0"}
    watch.now += 10
    with pytest.raises(JobTimedOut, match=f"Job {ID} is still running after 40 s, 25% done; it goes on") as caught:
        wait.take(record("running", progress=0.25))
    assert caught.value.record.status is JobStatus.RUNNING
    assert caught.value.code == "job-not-ended"


def test_a_wait_of_no_time_looks_once() -> None:
    wait = waiting(Watch(), 0)
    assert asked(wait)[1] == {}
    with pytest.raises(JobTimedOut, match="still pending after 0 s; it goes on"):
        wait.take(record("pending"))


def test_a_service_that_does_not_wait_is_asked_with_growing_pauses() -> None:
    wait = waiting(Watch())
    pauses: list[float] = []
    for _ in range(6):
        wait.next_call()
        assert wait.pause == 0.0
        wait.take(record("running"))
        pauses.append(wait.pause)
    assert pauses == [0.1, 0.2, 0.5, 1.0, 1.0, 1.0]


def test_a_pause_is_no_longer_than_the_time_that_is_left() -> None:
    watch = Watch()
    wait = waiting(watch, 0.05)
    wait.next_call()
    wait.take(record("running"))
    assert wait.pause == pytest.approx(0.05)


@pytest.mark.parametrize("error", OUTAGES, ids=lambda error: type(error).__name__)
def test_a_wait_bears_an_outage_for_a_while(error: ClientError) -> None:
    watch = Watch()
    wait = waiting(watch)
    wait.next_call()
    wait.bear(error)
    assert wait.pause > 0
    watch.now += OUTAGE
    with pytest.raises(type(error)):
        wait.bear(error)


def test_an_outage_that_has_passed_does_not_count_for_the_next_one() -> None:
    watch = Watch()
    wait = waiting(watch)
    for _ in range(3):
        wait.next_call()
        wait.bear(ConnectionFailed("gone"))
        watch.now += OUTAGE * 0.9
        wait.take(record("running"))
    assert not wait.is_over


def test_an_outage_at_the_end_of_the_time_is_raised() -> None:
    watch = Watch()
    wait = waiting(watch, 5)
    watch.now += 5
    with pytest.raises(ConnectionFailed):
        wait.bear(ConnectionFailed("gone"))


def test_an_error_that_will_not_pass_is_raised_at_once() -> None:
    with pytest.raises(NotFound):
        waiting(Watch()).bear(NotFound("no such job", status=404))
    with pytest.raises(ClientError):
        waiting(Watch()).bear(ClientError("the application is not running"))


def test_events_are_read_page_by_page_until_there_are_no_more() -> None:
    read = following(Watch(), after=4, follow=False)
    assert asked(read) == ("$events", {"after": "4"})
    assert len(read.take([event(5), event(6)])) == 2
    assert asked(read) == ("$events", {"after": "6"})
    assert not read.is_over
    assert read.take([]) == []
    assert read.is_over


def test_without_follow_an_outage_is_raised() -> None:
    read = following(Watch(), follow=False)
    with pytest.raises(ConnectionFailed):
        read.bear(ConnectionFailed("gone"))


def test_events_are_followed_until_nothing_comes_behind_the_end() -> None:
    watch = Watch()
    read = following(watch)
    assert asked(read) == ("$events", {"after": "0"})
    read.take([event(1, "status", status="pending"), event(2, "status", status="running")])
    assert asked(read) == ("$events", {"after": "2", "wait": str(EVENTS_WAIT)})
    read.take([event(3, "progress", progress=0.5)])
    assert asked(read) == ("$events", {"after": "3", "wait": str(EVENTS_WAIT)})
    read.take([event(4, "status", status="completed")])
    assert not read.is_over
    assert asked(read) == ("$events", {"after": "4"})
    read.take([])
    assert read.is_over


def test_a_job_that_runs_again_after_its_failure_is_followed_further() -> None:
    read = following(Watch())
    read.next_call()
    read.take([event(1, "status", status="failed")])
    assert asked(read) == ("$events", {"after": "1"})
    read.take([event(2, "status", status="pending")])
    assert asked(read) == ("$events", {"after": "2", "wait": str(EVENTS_WAIT)})


def test_following_behind_the_last_event_of_a_job_that_has_ended_is_over_soon() -> None:
    read = following(Watch(), after=9)
    read.next_call()
    read.take([])
    assert asked(read) == (str(ID), {})
    assert read.take(record("completed")) == []
    assert asked(read) == ("$events", {"after": "9"})
    read.take([])
    assert read.is_over


def test_a_silent_job_is_looked_at_now_and_then() -> None:
    watch = Watch()
    read = following(watch, after=2)
    read.next_call()
    read.take([])
    read.next_call()
    read.take(record("running"))
    assert asked(read) == ("$events", {"after": "2", "wait": str(EVENTS_WAIT)})
    watch.now += EVENTS_WAIT
    read.take([])
    assert read.pause == 0.0
    assert asked(read) == (str(ID), {})


def test_a_service_that_does_not_wait_for_events_is_asked_with_pauses() -> None:
    read = following(Watch())
    read.next_call()
    read.take([event(1, "status", status="running")])
    read.next_call()
    read.take([])
    assert read.pause == 0.1


def test_the_end_of_a_job_that_completed_is_the_record() -> None:
    completed = record("completed")
    assert ended_well(completed) is completed


def test_the_end_of_a_job_that_failed_is_an_error_with_its_cause() -> None:
    failed = record("failed", error="no rain", error_code="job-failed")
    with pytest.raises(JobFailed, match=f"Job {ID} failed: no rain") as caught:
        ended_well(failed)
    error = caught.value
    assert (error.record, error.error, error.error_code, error.code) == (failed, "no rain", "job-failed", "job-failed")
    with pytest.raises(JobFailed, match="failed: job-poisoned"):
        ended_well(record("failed", error_code="job-poisoned"))


def test_the_end_of_a_job_that_was_canceled_is_an_error() -> None:
    with pytest.raises(JobCanceled, match=f"Job {ID} was canceled") as caught:
        ended_well(record("canceled"))
    assert (caught.value.record.status, caught.value.code) == (JobStatus.CANCELED, "job-canceled")
