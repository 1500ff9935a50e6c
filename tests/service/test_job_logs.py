import asyncio
import logging
import threading
from typing import Any, ClassVar

import httpx
import pytest
import structlog

from chapkit.core.logging import get_logger
from chapkit.core.services import Services
from chapkit.job.context import JobContext
from chapkit.job.current import current_job
from chapkit.job.feature import JobFeature
from chapkit.job.ports import JobHandler, JobOutcome
from chapkit.ops.logs import LoggingFeature
from tests.serving import application, serving
from tests.unit.job.parts import HandlersFeature, JobSystem

pytestmark = pytest.mark.anyio
HOST = logging.getLogger("host.model")


def compute() -> None:
    HOST.info("plain function")
    get_logger("model").warning("structured", fold=1)


async def compute_async() -> None:
    await asyncio.sleep(0)
    HOST.info("coroutine function")


def compute_much() -> None:
    for number in range(2000):
        HOST.info("step %d", number)
    HOST.error("diverged")


def fail() -> None:
    try:
        raise ValueError("no rain")
    except ValueError:
        HOST.exception("cannot go on")
        raise


def compute_in_own_thread() -> None:
    thread = threading.Thread(target=HOST.info, args=("unheard",))
    thread.start()
    thread.join()
    current_job().log("told")


FUNCTIONS: dict[str, Any] = {
    "compute": compute,
    "compute_async": compute_async,
    "compute_much": compute_much,
    "fail": fail,
    "own_thread": compute_in_own_thread,
}


class Computing(JobHandler):
    """Calls a function of this module, in a thread or on the job loop."""

    name: ClassVar[str] = "test.computing"

    async def execute(self, context: JobContext) -> JobOutcome:
        HOST.info("handler")
        await context.run_user_function(FUNCTIONS[context.payload["function"]])
        return JobOutcome()


class ComputingApart(Computing):
    """Calls it in a process of its own."""

    name: ClassVar[str] = "test.computing-apart"
    executor = "process"


class Service:
    """A service that runs the functions."""

    def __init__(self, url: str) -> None:
        features = (
            LoggingFeature(),
            JobFeature(shutdown_timeout=0.0),
            HandlersFeature((Computing(), ComputingApart())),
        )
        self.app = application(*features, url=url)

    async def logged(self, client: httpx.AsyncClient, function: str, handler: str = Computing.name) -> list[Any]:
        """Return what the log events of a job hold."""
        services: Services = self.app.state.services
        system = JobSystem(services)
        job = await system.submit(handler, {"function": function})
        await system.finished(job.id)
        events: list[Any] = []
        while page := (await client.get(f"/api/v1/jobs/{job.id}/$events", params={"after": len(events)})).json():
            events += page
        assert [event["number"] for event in events] == list(range(1, len(events) + 1))
        return [event["data"] for event in events if event["kind"] == "log"]


@pytest.mark.parametrize("handler", [Computing.name, ComputingApart.name])
async def test_what_a_function_logs_is_read_as_events_of_its_job(database_url: str, handler: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        assert await service.logged(client, "compute", handler) == [
            {"level": "info", "message": "handler", "logger": "host.model"},
            {"level": "info", "message": "plain function", "logger": "host.model"},
            {"level": "warning", "message": "structured", "logger": "model", "fold": 1},
        ]
        lines = await service.logged(client, "compute_async", handler)
        assert [line["message"] for line in lines] == ["handler", "coroutine function"]


async def test_each_job_has_its_own_lines(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        both = await asyncio.gather(*(service.logged(client, "compute") for _ in range(2)))
    assert [len(lines) for lines in both] == [3, 3]


async def test_too_many_lines_are_cut_and_counted_but_the_error_is_there(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        lines = await service.logged(client, "compute_much")
    assert [line["message"] for line in lines[:2]] == ["handler", "step 0"]
    assert lines[-2]["message"] == "diverged"
    assert lines[-1]["left_out"] == 1101
    assert len(lines) == 902


async def test_a_failure_is_logged_for_clients_without_its_traceback(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        lines = await service.logged(client, "fail")
    assert lines[1] == {
        "level": "error",
        "message": "cannot go on",
        "logger": "host.model",
        "error": "ValueError: no rain",
    }


async def test_a_thread_that_the_function_started_itself_is_not_heard(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        lines = await service.logged(client, "own_thread")
    assert [line["message"] for line in lines] == ["handler", "told"]


async def test_what_requests_log_belongs_to_no_job(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        HOST.info("outside")
        structlog.get_logger().info("outside")
        assert "outside" not in str(await service.logged(client, "compute"))
