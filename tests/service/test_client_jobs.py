from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chapkit.client import AsyncClient, Client, Conflict, JobCanceled, JobFailed, JobTimedOut, NotFound
from chapkit.core.ids import ULID
from chapkit.job.schemas import JobEventRecord, JobRecord, JobStatus
from tests.service.worker_service import service

pytestmark = pytest.mark.anyio
PATIENCE = 20.0


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    with Client(app=service(f"sqlite+aiosqlite:///{tmp_path / 'service.db'}", 0.0)) as client:
        yield client


@pytest.fixture
async def async_client(tmp_path: Path) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(app=service(f"sqlite+aiosqlite:///{tmp_path / 'service.db'}", 0.0)) as client:
        yield client


def submitted(client: Client, handler: str = "report", seconds: float = 0) -> JobRecord:
    response = client.request("POST", f"/submit/{handler}", params={"seconds": seconds})
    return JobRecord.model_validate(response.json())


def states(events: list[JobEventRecord]) -> list[str]:
    return [event.data["status"] for event in events if event.kind == "status"]


def test_a_job_is_waited_for(client: Client) -> None:
    job = client.jobs.wait(submitted(client).id, PATIENCE)
    assert (job.status, job.attempt, job.kind) == (JobStatus.COMPLETED, 1, "test.report")
    assert client.jobs.get(job.id) == job


def test_the_failure_of_a_job_is_raised_with_its_cause(client: Client) -> None:
    job = submitted(client, "failing")
    with pytest.raises(JobFailed, match="No rain was measured") as caught:
        client.jobs.wait(job.id, PATIENCE)
    assert caught.value.error_code == "rain-missing"
    assert caught.value.record.id == job.id
    assert client.jobs.wait(job.id, raise_on_failure=False).status is JobStatus.FAILED


def test_a_wait_that_is_too_short_says_where_the_job_stands(client: Client) -> None:
    job = submitted(client, seconds=30)
    with pytest.raises(JobTimedOut, match=r"is still (pending|running) after 0\.1 s"):
        client.jobs.wait(job.id, 0.1)


def test_jobs_are_listed_counted_and_deleted(client: Client) -> None:
    done, failed = submitted(client), submitted(client, "failing")
    for job in (done, failed):
        client.jobs.wait(job.id, PATIENCE, raise_on_failure=False)
    assert [job.id for job in client.jobs.list()] == [failed.id, done.id]
    assert [job.id for job in client.jobs.list(status="failed")] == [failed.id]
    assert [job.id for job in client.jobs.list(kind="test.report", limit=1)] == [done.id]
    page = client.jobs.page(2, 1)
    assert (page.total, [job.id for job in page.items]) == (2, [done.id])
    stats = client.jobs.stats()
    assert (stats.total, stats.by_status[JobStatus.FAILED]) == (2, 1)
    client.jobs.delete(done.id)
    for call in (client.jobs.get, client.jobs.wait, client.jobs.delete, lambda id: list(client.jobs.events(id))):
        with pytest.raises(NotFound):
            call(done.id)


def test_a_job_that_waits_is_canceled(client: Client) -> None:
    for _ in range(4):
        submitted(client, seconds=0.5)
    job = submitted(client)
    assert client.jobs.cancel(job.id).status is JobStatus.CANCELED
    with pytest.raises(JobCanceled):
        client.jobs.wait(job.id, PATIENCE)
    with pytest.raises(Conflict):
        client.jobs.cancel(job.id)


def test_a_failed_job_is_sent_to_run_again(client: Client) -> None:
    job = submitted(client, "failing")
    client.jobs.wait(job.id, PATIENCE, raise_on_failure=False)
    assert client.jobs.retry(job.id, {"seconds": 0}, key="once").status is JobStatus.PENDING
    ended = client.jobs.wait(job.id, PATIENCE, raise_on_failure=False)
    assert ended.attempt >= 2
    assert client.jobs.retry(job.id, {"seconds": 0}, key="once") == ended
    assert states(list(client.jobs.events(job.id))).count("failed") == 2


def test_events_are_read_from_any_place_on(client: Client) -> None:
    job = client.jobs.wait(submitted(client).id, PATIENCE)
    events = list(client.jobs.events(job.id))
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert states(events) == ["pending", "running", "completed"]
    assert list(client.jobs.events(job.id, 2)) == events[2:]
    assert list(client.jobs.events(job.id, follow=True)) == events
    assert list(client.jobs.events(job.id, len(events), follow=True)) == []


def test_events_are_followed_to_the_end(client: Client) -> None:
    job = submitted(client, seconds=0.5)
    events = list(client.jobs.events(job.id, follow=True))
    assert [event.number for event in events] == list(range(1, len(events) + 1))
    assert states(events)[-1] == "completed"
    assert client.jobs.get(job.id).status is JobStatus.COMPLETED


def test_a_job_that_is_not_there_is_not_found(client: Client) -> None:
    with pytest.raises(NotFound, match="Job not found"):
        client.jobs.wait(ULID(), PATIENCE)
    with pytest.raises(NotFound):
        list(client.jobs.events(ULID(), follow=True))


async def test_the_async_client_waits_and_follows(async_client: AsyncClient) -> None:
    response = await async_client.request("POST", "/submit/report", params={"seconds": 0.2})
    id = response.json()["id"]
    events = [event async for event in async_client.jobs.events(id, follow=True)]
    assert states(events) == ["pending", "running", "completed"]
    assert (await async_client.jobs.wait(id, PATIENCE)).status is JobStatus.COMPLETED
