"""Tasks as something that a schedule submits."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from fastapi import FastAPI

from chapkit.core.errors import ChapkitError
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job import JobOptions, JobService, JobTargets, Retry
from chapkit.job.schemas import JobSpec
from chapkit.task import Cache, Registry, TaskIn, TaskManager
from chapkit.task.shell import Limit, limit_of
from tests.service.task_calls import service
from tests.serving import serving

pytestmark = pytest.mark.anyio

registry = Registry()


@registry.register("climate/add", queue="slow", timeout=7, retry=Retry(attempts=2))
def add(a: int, b: int = 1) -> int:
    return a + b


@registry.register("kept", cache=Cache())
def kept(a: int) -> int:
    return a


@pytest.fixture
async def services() -> AsyncIterator[Services]:
    app: FastAPI = service(registry, allow_shell=True, jobs={"queues": {"slow": None}})
    async with serving(app):
        yield app.state.services


async def spec_of(services: Services, **arguments: Any) -> JobSpec:
    async with services.scope.read() as scope:
        return await services.get(JobTargets).get("task").spec(scope, arguments)


async def saved(services: Services, command: str, **members: Any) -> ULID:
    async with services.scope.write() as scope:
        return (await scope.get(TaskManager).save(TaskIn(command=command, **members))).id


async def refused(services: Services, **arguments: Any) -> ChapkitError:
    with pytest.raises(ChapkitError) as caught:
        await spec_of(services, **arguments)
    return caught.value


@pytest.mark.parametrize("name", ["function", "task"])
async def test_a_registered_function_needs_no_task(services: Services, name: str) -> None:
    arguments: dict[str, Any] = {name: "climate/add", "parameters": {"a": 2}}
    spec = await spec_of(services, **arguments)
    assert (spec.handler, spec.queue, spec.timeout) == ("task.python", "slow", 7)
    assert (spec.labels["name"], "task_id" in spec.labels) == ("climate/add", False)
    async with services.scope.write() as scope:
        job = await services.get(JobService).submit(spec, scope)
    ended = await services.get(JobService).wait_until_final(job.id, 20)
    assert (ended.status, ended.kind, ended.artifact_id) == ("completed", "task", spec.artifact_id)


async def test_a_stored_task_brings_its_parameters_and_options(services: Services) -> None:
    task_id = await saved(
        services, "climate/add", task_type="python", parameters={"a": 2}, job=JobOptions(timeout=3, queue="default")
    )
    spec = await spec_of(services, task_id=task_id, parameters={"b": 4})
    assert (spec.queue, spec.timeout, spec.labels["task_id"]) == ("default", 3, task_id)
    assert spec.payload == {"task_id": task_id, "parameters": {"b": 4}}
    assert spec.retry is not None
    assert spec.retry.attempts == 2


async def test_a_command_is_named_as_long_as_there_is_only_one_task_with_it(services: Services) -> None:
    task_id = await saved(services, "df -h")
    assert (await spec_of(services, task="df -h")).payload == {"task_id": task_id}
    await saved(services, "df -h")
    assert (await refused(services, task="df -h")).code == "task-ambiguous"


async def test_a_kept_result_is_looked_for_when_the_job_starts(services: Services) -> None:
    jobs = services.get(JobService)
    artifacts: list[Any] = []
    for _ in range(2):
        spec = await spec_of(services, function="kept", parameters={"a": 1})
        assert (spec.artifact_id, str(spec.concurrency_key).partition(":")[0]) == (None, "cache")
        async with services.scope.write() as scope:
            job = await jobs.submit(spec, scope)
        artifacts.append((await jobs.wait_until_final(job.id, 20)).artifact_id)
    assert artifacts[0] == artifacts[1] is not None


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ({}, "target-arguments-invalid"),
        ({"task": "kept", "function": "kept"}, "target-arguments-invalid"),
        ({"task": "kept", "count": 2}, "target-arguments-invalid"),
        ({"task_id": "x"}, "target-arguments-invalid"),
        ({"task_id": "0" * 26}, "task-unknown"),
        ({"task": "kepd"}, "task-function-unknown"),
        ({"function": "kepd"}, "task-function-unknown"),
        ({"function": "kept"}, "task-parameters-invalid"),
        ({"function": "kept", "parameters": {"a": "x"}}, "task-parameters-invalid"),
    ],
)
async def test_what_could_not_be_run_is_refused_when_it_is_scheduled(
    services: Services, arguments: dict[str, Any], code: str
) -> None:
    assert (await refused(services, **arguments)).code == code


async def test_a_disabled_task_is_not_submitted(services: Services) -> None:
    task_id = await saved(services, "true", enabled=False)
    assert (await refused(services, task_id=task_id)).code == "task-disabled"


@pytest.mark.parametrize("timeout", [0.5, 1, 60, 366 * 86400])
async def test_a_command_gets_the_time_that_was_written_and_its_attempt_a_little_more(
    services: Services, timeout: float
) -> None:
    spec = await spec_of(services, task_id=await saved(services, "true", job=JobOptions(timeout=timeout)))
    assert limit_of(spec.timeout, spec.labels) == Limit(timeout, timeout)
    shorter = JobOptions(timeout=timeout / 2).apply(spec)
    found = limit_of(shorter.timeout, shorter.labels)
    assert found is not None
    assert found.told == timeout / 2 > found.seconds >= timeout / 2 * 0.9 - 1
    assert limit_of(None, spec.labels) is None
