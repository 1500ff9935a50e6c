import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result
from fastapi import FastAPI

from chapkit.api import ServiceBuilder, ServiceInfo
from chapkit.cli import worker as command
from chapkit.cli.main import main
from chapkit.cli.running import run_until_stopped
from chapkit.core.errors import UnavailableError
from chapkit.job.engine import JobEngine

INFO = ServiceInfo(display_name="Worked")
SERVICE = """
from chapkit.api import ServiceBuilder, ServiceInfo

info = ServiceInfo(display_name="Worked")
app = ServiceBuilder(info=info, database_url="sqlite+aiosqlite:///worked.db").with_jobs(queues={"gpu": 1}).build()
forgetful = ServiceBuilder(info=info).with_jobs().build()
idle = ServiceBuilder(info=info).build()
"""


class Told:
    """Keeps what the engine was told, and what would have been run."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.facts: dict[str, Any] = {}
        self.error: Exception | None = None

    def configure(self, engine: object, concurrency: int | None = None, queues: Sequence[str] | None = None) -> None:
        self.settings = {"concurrency": concurrency, "queues": queues}

    def run(self, service: FastAPI, **facts: Any) -> None:
        self.facts = facts
        if self.error is not None:
            raise self.error


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Told:
    (tmp_path / "worked_service.py").write_text(SERVICE)
    monkeypatch.chdir(tmp_path)
    told = Told()
    monkeypatch.setattr(JobEngine, "configure", lambda engine, **settings: told.configure(engine, **settings))
    monkeypatch.setattr(command, "run_until_stopped", told.run)
    return told


def call(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["worker", *arguments])


def test_a_worker_takes_all_queues_and_every_processor(told: Told) -> None:
    assert call("worked_service:app").exit_code == 0
    assert told.settings == {"concurrency": command.processors(), "queues": None}
    assert told.facts == {"app": "worked_service:app", "queues": "all", "concurrency": command.processors()}


def test_a_worker_does_what_it_is_told(told: Told) -> None:
    assert call("worked_service", "--queues", "gpu, default,gpu", "--concurrency", "8").exit_code == 0
    assert told.settings == {"concurrency": 8, "queues": ["gpu", "default"]}


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--queues", "a,,b"], "no list of names"),
        (["--queues", ""], "no list of names"),
        (["--concurrency", "0"], "not in the range"),
        (["--concurrency", "many"], "not a valid integer"),
        (["--speed", "9"], "No such option"),
        (["more"], "unexpected extra argument"),
    ],
)
def test_a_wrong_option_is_refused(told: Told, arguments: list[str], text: str) -> None:
    result = call("worked_service:app", *arguments)
    assert result.exit_code == 2
    assert text in result.output
    assert told.facts == {}


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("worked_service:idle", "app-without-jobs"),
        ("worked_service:forgetful", "worker-database-in-memory"),
        ("nowhere_service:app", "app-module-missing"),
    ],
)
def test_a_service_that_cannot_be_worked_for_is_refused_in_one_line(told: Told, target: str, code: str) -> None:
    result = call(target)
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert result.output.endswith(f"({code})\n")
    assert result.output.count("\n") == 1


def test_a_queue_that_the_service_does_not_have_is_refused(told: Told) -> None:
    result = call("worked_service:app", "--queues", "gpu,cpu")
    assert result.exit_code == 2
    assert "has no queue 'cpu'; it has default, gpu, and more with .with_jobs(queues={'cpu': None})" in result.output
    assert told.settings == {}


def test_a_service_that_does_not_start_ends_the_worker_in_one_line(told: Told) -> None:
    told.error = UnavailableError("The server does not answer", code="database-unreachable")
    result = call("worked_service:app")
    assert (result.exit_code, result.output) == (1, "Error: The server does not answer (database-unreachable)\n")


def test_a_defect_is_not_hidden(told: Told) -> None:
    told.error = RuntimeError("a defect")
    assert call("worked_service:app").exception is told.error


def test_processors_are_counted_where_nobody_says_which_may_be_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= command.processors() <= (os.cpu_count() or 1)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    assert command.processors() == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert command.processors() == 1


def test_names_are_left_out_or_each_there_once() -> None:
    context, parameter = click.Context(main), click.Option(["--queues"])
    assert command.split(context, parameter, None) is None
    assert command.split(context, parameter, "b,a, b") == ["b", "a"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_application_runs_until_a_signal_and_is_shut_down(number: signal.Signals) -> None:
    seen: list[str] = []
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]

    async def starts(app: FastAPI) -> None:
        seen.append("starts")
        signal.raise_signal(number)

    async def stops(app: FastAPI) -> None:
        seen.append("stops")

    run_until_stopped(ServiceBuilder(info=INFO).on_startup(starts).on_shutdown(stops).build())
    assert seen == ["starts", "stops"]
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_second_signal_is_left_to_the_system() -> None:
    handlers: list[object] = []

    async def starts(app: FastAPI) -> None:
        signal.raise_signal(signal.SIGTERM)
        handlers.extend(signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT))

    run_until_stopped(ServiceBuilder(info=INFO).on_startup(starts).build())
    assert handlers == [signal.SIG_DFL, signal.SIG_DFL]
