from chapkit.core.ids import ULID
from chapkit.ml.cache import ParsedRequests


def test_a_request_is_handed_out_once() -> None:
    requests, job = ParsedRequests(), ULID()
    requests.put(job, "request", 10)
    assert requests.take(job) == "request"
    assert requests.take(job) is None


def test_the_oldest_requests_go_when_there_is_no_room() -> None:
    requests, jobs = ParsedRequests(max_bytes=100), [ULID() for _ in range(3)]
    for job in jobs:
        requests.put(job, job, 50)
    assert [requests.take(job) for job in jobs] == [None, jobs[1], jobs[2]]
    requests.put(jobs[0], "again", 100)
    assert requests.take(jobs[0]) == "again"


def test_a_request_that_is_too_large_is_not_kept() -> None:
    requests, small, large = ParsedRequests(max_bytes=100), ULID(), ULID()
    requests.put(large, "large", 101)
    requests.put(small, "small", 100)
    assert (requests.take(large), requests.take(small)) == (None, "small")
