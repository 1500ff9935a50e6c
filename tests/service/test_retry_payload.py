"""Jobs that are run again with something else to do."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chapkit import ArtifactHierarchy, BaseConfig, FunctionalModelRunner
from chapkit.api import MLServiceBuilder, MLServiceInfo, ModelMetadata
from chapkit.data import DataFrame
from chapkit.task import Registry
from tests.service.task_calls import TaskCalls, calling

pytestmark = pytest.mark.anyio
registry = Registry()


class Settings(BaseConfig):
    works: bool = True


def train(config: Settings, data: DataFrame) -> int:
    if not config.works:
        raise ValueError("not with this configuration")
    return len(data.data)


def predict(config: Settings, model: int, historic: DataFrame, future: DataFrame) -> DataFrame:
    return DataFrame(columns=["rows"], data=[[model]])


@registry.register("half")
def half(number: int) -> float:
    if number < 0:
        raise ValueError("below zero")
    return number / 2


@pytest.fixture
async def calls(database_url: str) -> AsyncIterator[TaskCalls]:
    info = MLServiceInfo(id="rows", display_name="Rows", model_metadata=ModelMetadata(), period_type="weekly")
    builder = MLServiceBuilder(
        info=info,
        config_schema=Settings,
        hierarchy=ArtifactHierarchy(name="runs", level_labels={0: "model", 1: "prediction"}),
        runner=FunctionalModelRunner(on_train=train, on_predict=predict),
        database_url=database_url,
        include_logging=False,
    ).with_tasks(registry=registry, allow_shell=True)
    async with calling(builder.build()) as calls:
        yield calls


async def configuration(calls: TaskCalls, **data: Any) -> str:
    answer = await calls.client.post("/api/v1/configs", json={"name": f"c{data}", "data": data})
    return str(answer.json()["id"])


async def failed_training(calls: TaskCalls, rows: int) -> str:
    broken = await configuration(calls, works=False)
    body = {"config_id": broken, "data": {"columns": ["a"], "data": [[number] for number in range(rows)]}}
    job_id = str((await calls.client.post("/api/v1/ml/$train", json=body)).json()["job_id"])
    assert (await calls.finished(job_id))["status"] == "failed"
    return job_id


async def retry(calls: TaskCalls, job_id: str, payload: Any) -> Any:
    return await calls.client.post(f"/api/v1/jobs/{job_id}/$retry", json={"payload": payload})


@pytest.mark.parametrize("rows", [3, 20_000], ids=["small", "large"])
async def test_a_training_runs_again_with_another_configuration(calls: TaskCalls, rows: int) -> None:
    job_id = await failed_training(calls, rows)
    config_id = await configuration(calls, works=True)
    assert (await retry(calls, job_id, {"config_id": config_id})).status_code == 202
    job = await calls.finished(job_id)
    assert (job["status"], job["attempt"]) == ("completed", 2), job
    artifact = (await calls.client.get(f"/api/v1/artifacts/{job['artifact_id']}")).json()
    assert artifact["data"]["metadata"]["config_id"] == config_id
    assert artifact["data"]["metadata"]["rows"] == rows


@pytest.mark.parametrize("rows", [3, 20_000], ids=["small", "large"])
async def test_a_training_that_was_canceled_before_it_began_runs_with_what_it_gets_then(
    calls: TaskCalls, rows: int
) -> None:
    body = {
        "config_id": await configuration(calls, works=False),
        "data": {"columns": ["a"], "data": [[number] for number in range(rows)]},
        "job": {"run_after": "2999-01-01T00:00:00Z"},
    }
    job_id = str((await calls.client.post("/api/v1/ml/$train", json=body)).json()["job_id"])
    assert (await calls.client.post(f"/api/v1/jobs/{job_id}/$cancel")).json()["status"] == "canceled"
    config_id = await configuration(calls, works=True)
    changed = {"config_id": config_id, "data": {"columns": ["b"], "data": [[1]]}}
    assert (await retry(calls, job_id, changed)).status_code == 202
    job = await calls.finished(job_id)
    assert (job["status"], job["attempt"]) == ("completed", 1), job
    metadata = (await calls.client.get(f"/api/v1/artifacts/{job['artifact_id']}")).json()["data"]["metadata"]
    assert (metadata["config_id"], metadata["columns"], metadata["rows"]) == (config_id, ["b"], 1)


async def test_a_large_training_becomes_a_small_one(calls: TaskCalls) -> None:
    job_id = await failed_training(calls, 20_000)
    body = {"config_id": await configuration(calls, works=True), "data": {"columns": ["b"], "data": [[1]]}}
    assert (await retry(calls, job_id, body)).status_code == 202
    assert (await calls.finished(job_id))["status"] == "completed"


@pytest.mark.parametrize(
    ("payload", "status", "code"),
    [
        ({"config": "x"}, 422, "job-payload-invalid"),
        ({"config_id": "0" * 26}, 404, "config-unknown"),
        ({"data": {"columns": ["a", "a"], "data": []}}, 422, None),
        ({"data": 7}, 422, "request-invalid"),
    ],
)
async def test_a_training_that_would_not_be_accepted_is_not_run_again(
    calls: TaskCalls, payload: Any, status: int, code: str | None
) -> None:
    job_id = await failed_training(calls, 3)
    answer = await retry(calls, job_id, payload)
    assert answer.status_code == status, answer.text
    assert code in (None, answer.json()["code"])
    job = (await calls.client.get(f"/api/v1/jobs/{job_id}")).json()
    assert (job["status"], job["attempt"]) == ("failed", 1)


async def test_a_task_runs_again_with_other_parameters(calls: TaskCalls) -> None:
    task = await calls.create("half", parameters={"number": -1})
    job = await calls.run(task["id"])
    assert job["status"] == "failed"
    for payload, status, code in [
        ({}, 202, None),
        ({"parameters": {"number": "many"}}, 422, "task-parameters-invalid"),
        ({"parameters": [1]}, 422, "job-payload-invalid"),
        ({"task_id": task["id"]}, 422, "job-payload-invalid"),
        ({"parameters": {"number": 4}}, 202, None),
    ]:
        answer = await retry(calls, job["id"], payload)
        assert answer.status_code == status, answer.text
        assert answer.json().get("code") == code
        job = await calls.finished(job["id"])
    assert (await calls.artifact(job))["content"]["result"] == 2.0


async def test_what_json_cannot_carry_is_no_payload(calls: TaskCalls) -> None:
    job = await calls.run((await calls.create("half", parameters={"number": -1}))["id"])
    headers = {"content-type": "application/json"}
    path = f"/api/v1/jobs/{job['id']}/$retry"
    answer = await calls.client.post(path, content='{"payload":{"parameters":{"number":NaN}}}', headers=headers)
    assert answer.status_code == 422, answer.text
    unknown = f"/api/v1/jobs/{'0' * 26}/$retry"
    assert (await calls.client.post(unknown, json={"payload": {}})).json()["code"] == "job-not-found"
