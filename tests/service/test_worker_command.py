import signal
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chapkit.client import Client, Retries
from chapkit.job.schemas import JobRecord, JobStatus
from tests.service.processes import MODULE, PATIENCE, Process, free_port

pytestmark = pytest.mark.timeout(120)


class Service:
    """A service that runs no jobs itself, answering in a process of its own."""

    def __init__(self, url: str, client: Client) -> None:
        self.url = url
        self.client = client
        self.jobs = client.jobs


@pytest.fixture(scope="module")
def on_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    with serving(f"sqlite+aiosqlite:///{folder / 'service.db'}", folder) as service:
        yield service


@pytest.fixture
def on_postgres(postgres_url: str, tmp_path: Path) -> Iterator[Service]:
    with serving(postgres_url, tmp_path) as service:
        yield service


@contextmanager
def serving(url: str, folder: Path) -> Generator[Service]:
    port = free_port()
    process = Process(url, folder / "api", MODULE, str(port))
    try:
        with Client(f"http://127.0.0.1:{port}", retries=Retries(attempts=200, longest_pause=0.2)) as client:
            client.info()
            yield Service(url, client)
    finally:
        process.close()


@contextmanager
def worker(url: str, words: Path, *options: str, app: str = "app") -> Generator[Process]:
    process = Process(url, words, "chapkit", "worker", f"{MODULE}:{app}", *options)
    try:
        process.says("worker.started")
        yield process
    finally:
        process.close()


def submitted(service: Service, handler: str = "report", **options: str | float) -> JobRecord:
    response = service.client.request("POST", f"/submit/{handler}", params=options)
    assert response.status_code == 202, response.text
    return JobRecord.model_validate(response.json())


def reported(service: Service, job: JobRecord) -> tuple[int, int]:
    """Return process and attempt of the first report that is made from now on or was made before."""
    for event in service.jobs.events(job.id, follow=True):
        if event.kind == "log":
            pid, attempt = str(event.data["message"]).split()
            return int(pid), int(attempt)
    raise AssertionError("the job has ended without a report")


def test_a_worker_runs_what_another_process_accepts(on_sqlite: Service, tmp_path: Path) -> None:
    before = submitted(on_sqlite)
    assert on_sqlite.jobs.get(before.id).status is JobStatus.PENDING
    with worker(on_sqlite.url, tmp_path / "worker") as process:
        assert on_sqlite.jobs.wait(before.id, PATIENCE).attempt == 1
        assert reported(on_sqlite, before) == (process.pid, 1)
        assert on_sqlite.jobs.wait(submitted(on_sqlite).id, PATIENCE).status is JobStatus.COMPLETED
        process.send(signal.SIGTERM)
        assert process.ends() == 0
        assert "worker.stopped" in process.words


@pytest.mark.parametrize("database", ["on_sqlite", "on_postgres"])
def test_the_job_of_a_killed_worker_is_completed_by_another_one(
    request: pytest.FixtureRequest, database: str, tmp_path: Path
) -> None:
    api: Service = request.getfixturevalue(database)
    job = submitted(api, seconds=60)
    with worker(api.url, tmp_path / "first") as first:
        assert reported(api, job) == (first.pid, 1)
        first.send(signal.SIGKILL)
        assert first.ends() == -signal.SIGKILL
    with worker(api.url, tmp_path / "second") as second:
        assert api.jobs.wait(job.id, PATIENCE).attempt == 2
        reports = [event.data["message"] for event in api.jobs.events(job.id) if event.kind == "log"]
        assert reports == [f"{first.pid} 1", f"{second.pid} 2"]


def test_a_worker_that_is_stopped_puts_its_jobs_back(on_sqlite: Service, tmp_path: Path) -> None:
    job = submitted(on_sqlite, seconds=60)
    with worker(on_sqlite.url, tmp_path / "worker") as process:
        assert reported(on_sqlite, job) == (process.pid, 1)
        process.send(signal.SIGINT)
        assert process.ends() == 0
    assert on_sqlite.jobs.get(job.id).status is JobStatus.PENDING


def test_a_second_signal_ends_a_worker_at_once(on_sqlite: Service, tmp_path: Path) -> None:
    job = submitted(on_sqlite, seconds=120)
    with worker(on_sqlite.url, tmp_path / "worker", app="patient") as process:
        reported(on_sqlite, job)
        process.send(signal.SIGTERM)
        process.says("worker.stopping")
        process.send(signal.SIGTERM)
        assert process.ends() == -signal.SIGTERM


def test_a_worker_leaves_other_queues_alone(on_sqlite: Service, tmp_path: Path) -> None:
    other, own = submitted(on_sqlite), submitted(on_sqlite, queue="gpu")
    with worker(on_sqlite.url, tmp_path / "worker", "--queues", "gpu,large", "--concurrency", "1"):
        on_sqlite.jobs.wait(own.id, PATIENCE)
        on_sqlite.jobs.wait(submitted(on_sqlite, queue="gpu").id, PATIENCE)
    assert on_sqlite.jobs.get(other.id).status is JobStatus.PENDING


def test_a_service_that_cannot_be_built_ends_the_worker(tmp_path: Path) -> None:
    process = Process("nonsense", tmp_path / "worker", "chapkit", "worker", f"{MODULE}:app")
    assert process.ends() == 1
    assert "Error: " in process.words
    assert "(database-url-invalid)" in process.words
