"""Requests of training and prediction, as a client without a library sends them."""

from collections.abc import Callable
from typing import Any

import httpx
from fastapi import FastAPI

from chapkit.api import MLServiceBuilder, MLServiceInfo, ModelMetadata, PeriodType
from chapkit.artifact import ArtifactHierarchy
from chapkit.config.schemas import BaseConfig
from chapkit.ml import FunctionalModelRunner, ModelRunner

MEMORY = "sqlite+aiosqlite:///:memory:"
HIERARCHY = ArtifactHierarchy(name="ml", level_labels={0: "ml_training_workspace", 1: "ml_prediction"})
TRAINING = {
    "columns": ["time_period", "rainfall", "disease_cases", "population", "parent", "location"],
    "data": [
        ["2021-01", 10.5, 4.0, 1000.0, "-", "Attapeu"],
        ["2021-02", 20.25, None, 1000.0, "-", "Attapeu"],
        ["2021-01", 11.0, 8.0, 2000.0, "-", "Bokeo (north) é"],
        ["2021-02", None, 6.0, 2000.0, "-", "Bokeo (north) é"],
    ],
}
FUTURE = {
    "columns": ["time_period", "rainfall", "population", "parent", "location"],
    "data": [
        ["2021-03", 1.0, 1000.0, "-", "Attapeu"],
        ["2021-04", 2.0, 1000.0, "-", "Attapeu"],
        ["2021-03", 3.0, 2000.0, "-", "Bokeo (north) é"],
        ["2021-04", 4.0, 2000.0, "-", "Bokeo (north) é"],
    ],
}
POLYGONS = {
    "type": "FeatureCollection",
    "bbox": None,
    "features": [
        {
            "type": "Feature",
            "bbox": None,
            "id": name,
            "properties": {"name": name, "bbox": None, "levels": [1, 2]},
            "geometry": {
                "type": "Polygon",
                "bbox": None,
                "coordinates": [[[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]],
            },
        }
        for name in ("Attapeu", "Bokeo (north) é")
    ],
}


def info(**changes: Any) -> MLServiceInfo:
    given: dict[str, Any] = {
        "id": "test-model",
        "display_name": "Test model",
        "model_metadata": ModelMetadata(author="A. Person"),
        "period_type": PeriodType.monthly,
        **changes,
    }
    return MLServiceInfo(**given)


def service(
    train: Callable[..., Any] | None = None,
    predict: Callable[..., Any] | None = None,
    *,
    runner: ModelRunner | None = None,
    url: str = MEMORY,
    config: type[BaseConfig] = BaseConfig,
    **limits: Any,
) -> FastAPI:
    """Return a service with these functions."""
    return builder(train, predict, runner=runner, url=url, config=config, **limits).build()


def builder(
    train: Callable[..., Any] | None = None,
    predict: Callable[..., Any] | None = None,
    *,
    runner: ModelRunner | None = None,
    url: str = MEMORY,
    config: type[BaseConfig] = BaseConfig,
    **limits: Any,
) -> MLServiceBuilder:
    return MLServiceBuilder(
        info=info(**limits),
        config_schema=config,
        hierarchy=HIERARCHY,
        runner=runner or FunctionalModelRunner(train or nothing, predict or echo),
        database_url=url,
        include_logging=False,
    )


def nothing(config: Any, data: Any) -> None:
    """Train nothing at all."""


def echo(config: Any, model: Any, historic: Any, future: Any) -> Any:
    """Predict a constant for every row."""
    return future.assign(sample_0=1.5)


class MLCalls:
    """Sends the requests of one client."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self.client = client

    async def config(self, **data: Any) -> str:
        answer = await self.client.post("/api/v1/configs", json={"name": "a", "data": data})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            names["Content-Type"] = "application/json"
            return await self.client.post(f"/api/v1/ml/{path}", content=body, headers=names)
        return await self.client.post(f"/api/v1/ml/{path}", json=body, headers=names)

    async def finished(self, answer: httpx.Response) -> dict[str, Any]:
        """Return the job of an accepted request when it has ended."""
        assert answer.status_code == 202, answer.text
        job = await self.client.get(f"/api/v1/jobs/{answer.json()['job_id']}", params={"wait": 30})
        body: dict[str, Any] = job.json()
        assert body["status"] in {"completed", "failed", "canceled"}, body
        return body

    async def artifact(self, id: str) -> dict[str, Any]:
        answer = await self.client.get(f"/api/v1/artifacts/{id}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body

    async def trained(self, config_id: str | None = None, **more: Any) -> str:
        """Train and return the id of the model."""
        body = {"config_id": config_id or await self.config(), "data": TRAINING, **more}
        job = await self.finished(await self.post("$train", body))
        assert job["status"] == "completed", job
        return str(job["artifact_id"])

    async def predicted(self, model: str, **more: Any) -> dict[str, Any]:
        """Predict and return the artifact."""
        body = {"artifact_id": model, "historic": TRAINING, "future": FUTURE, **more}
        job = await self.finished(await self.post("$predict", body))
        assert job["status"] == "completed", job
        return await self.artifact(job["artifact_id"])

    async def jobs(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.client.get("/api/v1/jobs")).json()
        return found


def column(artifact: dict[str, Any], name: str) -> list[Any]:
    """Return one column of a predicted frame."""
    frame = artifact["data"]["content"]
    index = frame["columns"].index(name)
    return [row[index] for row in frame["data"]]
