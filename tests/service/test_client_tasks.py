"""The tasks of a service through both clients."""

from typing import Any

import pytest

from chapkit.client import AsyncClient, Client, Conflict, Forbidden, Invalid, JobFailed
from chapkit.job import JobOptions
from chapkit.task import Cache, Registry
from tests.service.task_calls import service

registry = Registry()


@registry.register("add", cache=Cache(tags=["sums"]))
def add(a: int, b: int = 1) -> int:
    return a + b


@registry.register("bytes")
def some_text(text: str) -> bytes:
    return text.encode()


@registry.register("fail")
def fail() -> None:
    raise ValueError("no such luck")


def test_a_client_creates_runs_and_reads() -> None:
    with Client(app=service(registry, allow_shell=True)) as client:
        task = client.tasks.create(
            "add", task_type="python", parameters={"a": 1}, job=JobOptions(timeout=9), tags=["t"]
        )
        assert (task.parameters, task.job and task.job.timeout, task.tags) == ({"a": 1}, 9, ["t"])
        job = client.tasks.run(task.id, {"b": 41})
        assert client.tasks.result(job.artifact_id) == 42
        again = client.tasks.execute(task.id, {"b": 41}, job={"priority": 1}, key="k")
        assert (again.cache, again.artifact_id) == ("hit", job.artifact_id)
        assert client.tasks.execute(task.id, {"b": 41}, job={"priority": 1}, key="k").job_id == again.job_id
        counts = client.tasks.cache()
        assert (counts.hits, counts.misses) == (1, 1)
        assert client.tasks.invalidate(tag="sums") == 1
        assert [function.name for function in client.tasks.functions()] == ["add", "bytes", "fail"]
        assert list(client.tasks.orphans()) == []
        command = client.tasks.create("echo hello", id="0" * 26)
        output = client.tasks.result(client.tasks.run(command.id, timeout=30).artifact_id)
        assert (command.id, output["stdout"], output["exit_code"]) == ("0" * 26, "hello\n", 0)


def test_what_a_service_refuses_is_an_error_of_its_own() -> None:
    with Client(app=service(registry)) as client:
        with pytest.raises(Forbidden) as forbidden:
            client.tasks.create("true")
        assert forbidden.value.code == "shell-tasks-off"
        with pytest.raises(Invalid) as invalid:
            client.tasks.create("ad", task_type="python")
        assert invalid.value.code == "task-function-unknown"
        task = client.tasks.create("fail", task_type="python")
        with pytest.raises(JobFailed, match="no such luck"):
            client.tasks.run(task.id)
        client.tasks.patch(task.id, {"enabled": False})
        with pytest.raises(Conflict) as conflict:
            client.tasks.execute(task.id)
        assert conflict.value.code == "task-disabled"


@pytest.mark.anyio
async def test_the_other_client_does_the_same() -> None:
    async with AsyncClient(app=service(registry)) as client:
        task = await client.tasks.create("add", task_type="python", parameters={"a": 1})
        job = await client.tasks.run(task.id)
        result: Any = await client.tasks.result(job.artifact_id)
        assert result == 2
        assert (await client.tasks.execute(task.id)).cache == "hit"
        assert (await client.tasks.cache()).hits == 1
        assert await client.tasks.invalidate(all=True) == 1
        assert [function.name for function in await client.tasks.functions()] == ["add", "bytes", "fail"]
        assert list(await client.tasks.orphans()) == []
