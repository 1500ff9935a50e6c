import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from httpx import AsyncClient, Response

from chapkit import ArtifactHierarchy, BaseConfig, FunctionalModelRunner
from chapkit.api import MLServiceBuilder, MLServiceInfo, ModelMetadata
from chapkit.core.clock import to_text, utc_now
from chapkit.data import DataFrame
from tests.serving import serving

pytestmark = pytest.mark.anyio
LARGE = 3000
"""Rows of a request that is too large for the row of a job."""


def train(config: BaseConfig, data: DataFrame) -> float:
    return sum(row[0] for row in data.data) / len(data.data)


def predict(config: BaseConfig, model: float, historic: DataFrame, future: DataFrame) -> DataFrame:
    return DataFrame(columns=["cases"], data=[[model] for _ in future.data])


def service(url: str) -> Any:
    info = MLServiceInfo(id="mean", display_name="Mean", model_metadata=ModelMetadata(), period_type="weekly")
    return (
        MLServiceBuilder(
            info=info,
            config_schema=BaseConfig,
            hierarchy=ArtifactHierarchy(name="runs", level_labels={0: "model", 1: "prediction"}),
            runner=FunctionalModelRunner(on_train=train, on_predict=predict),
            database_url=url,
            include_logging=False,
        )
        .with_ml(FunctionalModelRunner(on_train=train, on_predict=predict), name="mean")
        .with_schedules()
        .build()
    )


async def plan_soon(client: AsyncClient, body: dict[str, Any]) -> Response:
    """Plan it for the next moment that is not over by the time the request is read."""
    for milliseconds in (200, 1000, 5000, 20000):
        trigger = {"type": "once", "at": to_text(utc_now() + timedelta(milliseconds=milliseconds))}
        made = await client.post("/api/v1/schedules", json={**body, "trigger": trigger})
        if made.status_code != 422 or made.json()["code"] != "schedule-in-the-past":
            break
    assert made.status_code == 201, made.text
    return made


@pytest.mark.parametrize("rows", [2, LARGE])
async def test_a_training_and_a_prediction_run_when_their_time_has_come(database_url: str, rows: int) -> None:
    async with serving(service(database_url)) as client:

        async def run_soon(target: str, arguments: dict[str, Any]) -> dict[str, Any]:
            made = await plan_soon(client, {"name": target, "target": target, "arguments": arguments})
            path = f"/api/v1/schedules/{made.json()['id']}"
            async with asyncio.timeout(40):
                while (found := (await client.get(path)).json())["last_job"] is None:
                    await asyncio.sleep(0.02)
            job = (await client.get(f"/api/v1/jobs/{found['last_job']['id']}", params={"wait": 20})).json()
            assert job["status"] == "completed", job
            artifact: dict[str, Any] = (await client.get(f"/api/v1/artifacts/{job['artifact_id']}")).json()
            return artifact

        config = (await client.post("/api/v1/configs", json={"name": "c", "data": {}})).json()
        data = {
            "columns": ["cases", "place"],
            "data": [[number % 2, "a place of some length"] for number in range(rows)],
        }
        model = await run_soon("ml.train", {"config_id": config["id"], "data": data})
        future = {"columns": ["week"], "data": [[1], [2]]}
        prediction = await run_soon("ml.predict", {"artifact_id": model["id"], "historic": data, "future": future})
        assert prediction["parent_id"] == model["id"]
        assert prediction["data"]["content"]["data"] == [[0.5], [0.5]]


async def test_a_training_of_a_configuration_that_is_not_there_is_refused(tmp_path: Path) -> None:
    async with serving(service(f"sqlite+aiosqlite:///{tmp_path}/service.db")) as client:
        trigger = {"type": "interval", "every": "1d"}
        data = {"columns": ["cases"], "data": [[1]]}
        arguments = {"config_id": "0" * 26, "data": data}
        body = {"name": "x", "target": "ml.train", "arguments": arguments, "trigger": trigger}
        answer = await client.post("/api/v1/schedules", json=body)
        assert (answer.status_code, answer.json()["code"]) == (404, "config-unknown")


@pytest.mark.parametrize(
    ("target", "more", "field", "says"),
    [
        ("ml.train", {"runner": "mean"}, "arguments.runner", "the runner 'mean' is the target 'ml.train:mean'"),
        ("ml.train", {"runner": "gone"}, "arguments.runner", "a target of its own: 'ml.train', 'ml.train:mean'"),
        ("ml.train", {"runner": ["mean"]}, "arguments.runner", "a target of its own: 'ml.train', 'ml.train:mean'"),
        ("ml.train:mean", {"runinfo": {}}, "arguments.runinfo", "did you mean 'run_info'?"),
        ("ml.train", {"zzz": 1}, "arguments.zzz", "zzz: There is no such member"),
        ("ml.predict", {"runner": "mean"}, "arguments.runner", "the target 'ml.predict:mean'"),
        ("ml.predict", {"modelartifact_id": "x"}, "arguments.modelartifact_id", "did you mean 'model_artifact_id'?"),
    ],
)
async def test_arguments_that_a_target_does_not_know_are_refused_by_name(
    tmp_path: Path, target: str, more: dict[str, Any], field: str, says: str
) -> None:
    async with serving(service(f"sqlite+aiosqlite:///{tmp_path}/service.db")) as client:
        config = (await client.post("/api/v1/configs", json={"name": "c", "data": {}})).json()
        frame = {"columns": ["cases"], "data": [[1]]}
        arguments = {"config_id": config["id"], "data": frame}
        if target == "ml.predict":
            arguments = {"artifact_id": config["id"], "future": frame}
        body = {"name": "x", "target": target, "arguments": {**arguments, **more}}
        answer = await client.post("/api/v1/schedules", json={**body, "trigger": {"type": "interval", "every": "1d"}})
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["field"]) == (422, "target-arguments-invalid", field)
        assert [item["field"] for item in problem["errors"]] == [field]
        assert says in problem["detail"]


async def test_another_runner_is_scheduled_by_its_target(database_url: str) -> None:
    async with serving(service(database_url)) as client:
        config = (await client.post("/api/v1/configs", json={"name": "c", "data": {}})).json()
        arguments = {"config_id": config["id"], "data": {"columns": ["cases"], "data": [[1]]}}
        body = {"name": "x", "target": "ml.train:mean", "arguments": arguments}
        made = await client.post("/api/v1/schedules", json={**body, "trigger": {"type": "interval", "every": "1d"}})
        assert made.status_code == 201, made.text
        now = (await client.post(f"/api/v1/schedules/{made.json()['id']}/$run-now")).json()
        job = (await client.get(f"/api/v1/jobs/{now['job_id']}", params={"wait": 20})).json()
        assert (job["status"], job["kind"]) == ("completed", "train"), job
        model = (await client.get(f"/api/v1/artifacts/{job['artifact_id']}")).json()
        assert model["data"]["metadata"]["runner"] == "mean"
