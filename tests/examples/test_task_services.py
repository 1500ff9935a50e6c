import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chapkit.client import ApiError, Client, JobFailed
from chapkit.task.schemas import TaskOut
from examples import (
    cached_task,
    custom_injection,
    python_task_execution_api,
    readonly_task_api,
    task_execution_api,
)


@pytest.fixture
def functions(folder: Path) -> Iterator[Client]:
    with Client(app=python_task_execution_api.app) as client:
        yield client


def by_command(client: Client, command: str) -> TaskOut:
    return next(task for task in client.tasks.list() if task.command == command)


def result_of(client: Client, command: str) -> Any:
    return client.tasks.result(client.tasks.run(by_command(client, command).id).artifact_id)


def test_commands_run_and_leave_their_output(folder: Path) -> None:
    with Client(app=task_execution_api.app) as client:
        assert len(client.tasks.list()) == 5
        output = result_of(client, 'echo "$CHAPKIT_PARAMETERS"')
        assert json.loads(output["stdout"]) == {"district": "Bokeo"}
        assert result_of(client, "date > now.txt; ls")["stdout"] == "now.txt\n"
        with pytest.raises(JobFailed) as late:
            result_of(client, "sleep 60")
        assert late.value.error_code == "job-timed-out"


def test_functions_run_with_what_was_stored(functions: Client) -> None:
    sums = [functions.tasks.run(task.id) for task in functions.tasks.list("enabled:eq:true") if task.command == "add"]
    assert [functions.tasks.result(job.artifact_id) for job in sums] == [5, 42]
    assert result_of(functions, "climate/count-days") == {"days": 29}
    assert result_of(functions, "climate/download") == {"Attapeu": 7.0, "Bokeo": 5.0}
    assert isinstance(result_of(functions, "count-artifacts"), int)
    with pytest.raises(JobFailed, match="nothing to be done"):
        result_of(functions, "fail")


def test_a_task_whose_function_is_missing_is_found_at_the_next_start(folder: Path) -> None:
    for is_known in (False, True):
        with Client(app=python_task_execution_api.app) as client:
            [orphan] = client.tasks.orphans()
            assert (orphan.command, orphan.disabled_by == "orphan") == ("removed-last-year", is_known)


def test_a_task_that_is_switched_off_says_why(functions: Client) -> None:
    [task] = functions.tasks.list(["enabled:eq:false", "command:eq:add"])
    assert (task.disabled_by, task.disabled_reason) == ("person", "nobody needs it")


def test_clients_may_run_what_they_cannot_change(folder: Path) -> None:
    with Client(app=readonly_task_api.app) as client:
        [task] = client.tasks.list()
        job = client.tasks.run(task.id, {"name": "Bokeo"})
        assert client.tasks.result(job.artifact_id) == "Hello, Bokeo!"
        for change in (lambda: client.tasks.delete(task.id), lambda: client.tasks.patch(task.id, {"enabled": False})):
            with pytest.raises(ApiError) as refused:
                change()
            assert refused.value.status == 405
        assert client.request("POST", "/api/v1/tasks", json={"command": "greet"}).status_code == 405


def test_the_second_call_gets_the_artifact_of_the_first_one(capsys: pytest.CaptureFixture[str]) -> None:
    cached_task.main()
    lines = capsys.readouterr().out.splitlines()
    first, again, anew = (line.split("artifact ")[1].split()[0] for line in lines[:3])
    assert (first == again, again == anew, lines[3]) == (True, False, "hits 1, misses 2")


def test_a_thing_of_ones_own_is_opened_for_the_job_and_closed_after_it(capsys: pytest.CaptureFixture[str]) -> None:
    custom_injection.journal.clear()
    custom_injection.main()
    assert capsys.readouterr().out.splitlines()[-2:] == ["Attapeu: 25 mm", "opened, measured, closed"]
