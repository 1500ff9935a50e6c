import http.client
import json
import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from chapkit.client import Client, Retries
from tests.service.processes import MODULE, PATIENCE, Process, free_port

pytestmark = pytest.mark.timeout(90)


class Served:
    """The service in a process of its own, with a job that nobody runs."""

    def __init__(self, process: Process, client: Client) -> None:
        self.process = process
        self.client = client
        self.url = str(client.transport.http.base_url)
        self.job = str(client.request("POST", "/submit/report").json()["id"])


@pytest.fixture
def served(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Served]:
    port = free_port()
    database = f"sqlite+aiosqlite:///{tmp_path / 'service.db'}"
    process = Process(database, tmp_path / "words", MODULE, str(port), GRACEFUL_TIMEOUT=request.param)
    try:
        with Client(f"http://127.0.0.1:{port}", retries=Retries(attempts=200, longest_pause=0.2)) as client:
            client.info()
            yield Served(process, client)
    finally:
        process.close()


@pytest.mark.parametrize("served", ["1"], indirect=True)
def test_an_open_stream_does_not_hold_up_the_end_of_the_service(served: Served) -> None:
    with httpx.stream("GET", f"{served.url}/api/v1/jobs/{served.job}/$stream", timeout=PATIENCE) as response:
        assert next(response.iter_lines())
        served.process.send(signal.SIGTERM)
        assert served.process.ends() == -signal.SIGTERM
    assert "Application shutdown complete" in served.process.words


@pytest.mark.parametrize("served", ["30"], indirect=True)
def test_a_stream_ends_when_the_service_is_asked_to_stop(served: Served) -> None:
    with httpx.stream("GET", f"{served.url}/api/v1/jobs/{served.job}/$stream", timeout=PATIENCE) as response:
        lines = (line for line in response.iter_lines() if line.startswith("data: "))
        assert next(lines)
        served.process.send(signal.SIGTERM)
        assert list(lines) == []
    assert served.process.ends() == -signal.SIGTERM
    assert "timeout graceful shutdown exceeded" not in served.process.words


@pytest.mark.parametrize("served", ["30"], indirect=True)
@pytest.mark.parametrize("path", ["?wait=60", "/$events?after=1&wait=60"])
def test_a_long_poll_is_answered_when_the_service_is_asked_to_stop(served: Served, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", httpx.URL(served.url).port, timeout=PATIENCE)
    connection.request("GET", f"/api/v1/jobs/{served.job}{path}")
    # Once a later request is answered, the service has read the earlier one.
    served.client.info()
    served.process.send(signal.SIGTERM)
    assert connection.getresponse().status == 200
    connection.close()
    assert served.process.ends() == -signal.SIGTERM


@pytest.mark.parametrize("served", ["1"], indirect=True)
def test_a_request_that_takes_longer_than_the_service_waits_is_told_to_come_again(served: Served) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", httpx.URL(served.url).port, timeout=PATIENCE)
    connection.request("GET", "/endless")
    served.client.info()
    served.process.send(signal.SIGTERM)
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Retry-After")) == (503, "1")
    assert json.loads(answer.read())["code"] == "service-stopping"
    connection.close()
    assert served.process.ends() == -signal.SIGTERM
