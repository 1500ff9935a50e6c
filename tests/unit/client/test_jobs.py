import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from chapkit.client import AsyncClient, Client, JobFailed, JobTimedOut, NotFound, Retries
from chapkit.core.ids import ULID
from chapkit.job.schemas import JobStatus

pytestmark = pytest.mark.anyio
ID = ULID()
URL = "http://service"
AT = "2030-01-01T00:00:00Z"
Step = httpx.Response | type[httpx.RequestError]


class Script:
    """Answers with one step after the other and keeps the requests."""

    def __init__(self, *steps: Step) -> None:
        self._steps: Iterator[Step] = iter(steps)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        step = next(self._steps)
        if isinstance(step, httpx.Response):
            return step
        raise step("broken", request=request)

    async def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)

    @property
    def asked(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]

    def client(self, **options: Any) -> Client:
        retries = Retries(attempts=1, sleep=self.pauses.append)
        return Client(URL, transport=httpx.MockTransport(self), retries=retries, **options)

    def async_client(self, **options: Any) -> AsyncClient:
        retries = Retries(attempts=1, async_sleep=self.pause)
        return AsyncClient(URL, transport=httpx.MockTransport(self), retries=retries, **options)


def job(status: str = "running", **members: Any) -> httpx.Response:
    return httpx.Response(200, json={"id": ID, "status": status, **members})


def events(*items: tuple[int, str, dict[str, Any]]) -> httpx.Response:
    content = [{"number": number, "kind": kind, "data": data, "created_at": AT} for number, kind, data in items]
    return httpx.Response(200, json=content)


def status(number: int, value: str) -> tuple[int, str, dict[str, Any]]:
    return number, "status", {"status": value}


def test_jobs_are_listed_by_status_and_kind() -> None:
    script = Script(httpx.Response(200, json=[]), httpx.Response(200, json=[]))
    jobs = script.client().jobs
    assert jobs.list() == []
    assert jobs.list(status=JobStatus.FAILED, kind="train", limit=5) == []
    assert script.asked == ["GET /api/v1/jobs", "GET /api/v1/jobs?status_filter=failed&kind=train&limit=5"]


def test_an_unknown_status_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="done"):
        Script().client().jobs.list(status="done")


def test_a_page_of_jobs_has_the_total() -> None:
    page = {"items": [{"id": ID, "status": "failed"}], "total": 7, "page": 2, "size": 3, "pages": 3}
    script = Script(httpx.Response(200, json=page))
    found = script.client().jobs.page(2, 3, status="failed")
    assert (found.total, found.items[0].id) == (7, ID)
    assert script.asked == ["GET /api/v1/jobs?status_filter=failed&page=2&size=3"]


def test_a_job_is_read_canceled_deleted_and_counted() -> None:
    stats = {"total": 1, "by_status": {"running": 1}}
    script = Script(job(), job(), httpx.Response(204), httpx.Response(200, json=stats))
    jobs = script.client().jobs
    assert jobs.get(ID).status is JobStatus.RUNNING
    assert jobs.cancel(ID).id == ID
    jobs.delete(ID)
    assert jobs.stats().by_status == {JobStatus.RUNNING: 1}
    path = f"/api/v1/jobs/{ID}"
    assert script.asked == [f"GET {path}", f"POST {path}/$cancel", f"DELETE {path}", "GET /api/v1/jobs/$stats"]


@pytest.mark.parametrize(("payload", "sent"), [(None, b""), ({"a": 1}, b'{"payload":{"a":1}}')])
def test_a_job_is_sent_to_run_again(payload: dict[str, Any] | None, sent: bytes) -> None:
    script = Script(job("pending"))
    assert script.client().jobs.retry(ID, payload).status is JobStatus.PENDING
    assert script.asked == [f"POST /api/v1/jobs/{ID}/$retry"]
    assert script.requests[0].content == sent
    assert "Idempotency-Key" not in script.requests[0].headers


def test_a_key_makes_a_repeated_retry_the_same() -> None:
    script = Script(job("pending"))
    script.client().jobs.retry(ID, key="once")
    assert script.requests[0].headers["Idempotency-Key"] == "once"


def test_deleting_what_is_not_there_is_an_error_unless_an_answer_was_lost() -> None:
    with pytest.raises(NotFound):
        Script(httpx.Response(404)).client().jobs.delete(ID)
    lost = httpx.MockTransport(Script(httpx.ReadError, httpx.Response(404)))
    with Client(URL, transport=lost, retries=Retries(sleep=lambda seconds: None)) as client:
        client.jobs.delete(ID)


def test_a_wait_returns_the_job_that_has_completed() -> None:
    script = Script(job(), httpx.Response(503), httpx.ConnectError, job("completed"))
    assert script.client().jobs.wait(ID).status is JobStatus.COMPLETED
    assert script.asked == [f"GET /api/v1/jobs/{ID}?wait=30.0"] * 4
    assert script.pauses == [0.1, 0.2, 0.5]


def test_a_wait_is_given_more_time_than_other_requests() -> None:
    script = Script(job("completed"), job("completed"), job())
    with script.client(timeout=5.0) as client:
        client.jobs.wait(ID)
    with script.client(timeout=None) as client:
        client.jobs.wait(ID)
        client.jobs.get(ID)
    limits = [request.extensions["timeout"] for request in script.requests]
    assert limits[0] == {"connect": 5.0, "read": 35.0, "write": 5.0, "pool": 5.0}
    assert [limit["read"] for limit in limits] == [35.0, None, None]


def test_a_failure_is_raised_or_returned() -> None:
    failed = {"error": "no rain", "error_code": "job-failed"}
    script = Script(job("failed", **failed), job("failed", **failed))
    jobs = script.client().jobs
    with pytest.raises(JobFailed, match="no rain"):
        jobs.wait(ID)
    assert jobs.wait(ID, raise_on_failure=False).error == "no rain"


def test_a_wait_ends_with_its_time() -> None:
    with pytest.raises(JobTimedOut, match="still running after 0 s"):
        Script(job()).client().jobs.wait(ID, 0)


def test_events_are_read_without_gap_or_repeat() -> None:
    script = Script(
        events(status(1, "pending")),
        httpx.ReadError,
        events(status(2, "running"), (3, "log", {"message": "a"})),
        httpx.Response(502),
        events(status(4, "completed")),
        events(),
    )
    seen = [event.number for event in script.client().jobs.events(ID, follow=True)]
    assert seen == [1, 2, 3, 4]
    path = f"GET /api/v1/jobs/{ID}/$events?after="
    assert script.asked == [
        f"{path}{end}" for end in ("0", "1&wait=20.0", "1&wait=20.0", "3&wait=20.0", "3&wait=20.0", "4")
    ]


async def test_the_async_jobs_do_the_same() -> None:
    empty = {"items": [], "total": 0, "page": 1, "size": 100, "pages": 0}
    answers: list[Step] = [
        httpx.Response(200, json=[]),
        httpx.Response(200, json=empty),
        job(),
        job(),
        job("pending"),
        httpx.Response(204),
        httpx.Response(200, json={"total": 0, "by_status": {}}),
    ]
    script = Script(*answers)
    async with script.async_client() as client:
        jobs = client.jobs
        assert await jobs.list() == []
        assert (await jobs.page()).total == 0
        assert (await jobs.get(ID)).id == ID
        assert (await jobs.cancel(ID)).id == ID
        assert (await jobs.retry(ID, {"a": 1})).status is JobStatus.PENDING
        await jobs.delete(ID)
        assert (await jobs.stats()).total == 0
    assert json.loads(script.requests[4].content) == {"payload": {"a": 1}}


@pytest.mark.parametrize("raises", [True, False])
async def test_the_async_jobs_wait_and_follow(raises: bool) -> None:
    script = Script(job(), httpx.ConnectError, job("failed"), events(status(1, "failed")), httpx.ReadError, events())
    async with script.async_client() as client:
        wait: Callable[[], Any] = lambda: client.jobs.wait(ID, raise_on_failure=raises)  # noqa: E731
        if raises:
            with pytest.raises(JobFailed):
                await wait()
        else:
            assert (await wait()).status is JobStatus.FAILED
        assert [event.number async for event in client.jobs.events(ID, follow=True)] == [1]
    assert script.pauses == [0.1, 0.2, 0.1]
