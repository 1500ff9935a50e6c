"""Runs that fail: the job says why, and an artifact under the id that was handed out shows where."""

import sys
import threading
from typing import Any

import pytest

from chapkit.data import DataFrame
from tests.service.ml_calls import FUTURE, POLYGONS, TRAINING, MLCalls, service
from tests.serving import serving

pytestmark = pytest.mark.anyio


def raises(config: Any, data: Any) -> None:
    raise ValueError("too few cases")


async def raises_later(config: Any, data: Any) -> None:
    raise ValueError("too few cases")


def exits(config: Any, data: Any) -> None:
    sys.exit(3)


def gives_a_lock(config: Any, data: Any) -> Any:
    return {"lock": threading.Lock()}


def gives_a_lambda(config: Any, data: Any) -> Any:
    return lambda row: row


def reads_twice(config: Any, data: DataFrame) -> None:
    DataFrame(columns=["a", "a"], data=[]).to_pandas()


@pytest.mark.parametrize(
    ("train", "code", "text"),
    [
        (raises, "job-failed", "too few cases"),
        (raises_later, "job-failed", "too few cases"),
        (exits, "job-exited", "SystemExit"),
        (gives_a_lock, "model-not-storable", "lock"),
        (gives_a_lambda, "model-not-storable", "lambda"),
        (reads_twice, "frame-columns-duplicate", "'a'"),
    ],
)
async def test_a_training_that_fails_leaves_a_diagnosis(train: Any, code: str, text: str) -> None:
    async with serving(service(train)) as client:
        calls = MLCalls(client)
        config = await calls.config()
        job = await calls.finished(await calls.post("$train", {"config_id": config, "data": TRAINING}))
        assert (job["status"], job["error_code"]) == ("failed", code)
        assert text in job["error"]
        artifact = await calls.artifact(job["artifact_id"])
        assert list(artifact["data"]) == ["type", "metadata", "content", "content_type", "content_size"]
        metadata = artifact["data"]["metadata"]
        assert (artifact["data"]["type"], metadata["status"]) == ("ml_training_workspace", "failed")
        assert (metadata["config_id"], artifact["level"]) == (config, 0)
        assert text in metadata["stderr"]
        assert metadata["started_at"][:19] == job["started_at"][:19]
        for part in ("$expand", "$tree", "$download", "$metadata"):
            assert (await client.get(f"/api/v1/artifacts/{artifact['id']}/{part}")).status_code == 200, part
        linked = (await client.get(f"/api/v1/configs/{config}/$artifacts")).json()
        assert [item["id"] for item in linked] == [artifact["id"]]


def gives_nothing(config: Any, model: Any, historic: Any, future: Any) -> Any: ...
def gives_text(config: Any, model: Any, historic: Any, future: Any) -> Any:
    return "frame"


def gives_numbers(config: Any, model: Any, historic: Any, future: Any) -> Any:
    return [1.0, 2.0]


def gives_columns_twice(config: Any, model: Any, historic: Any, future: Any) -> Any:
    return DataFrame(columns=["a", "a"], data=[[1, 2]])


def gives_uneven_rows(config: Any, model: Any, historic: Any, future: Any) -> Any:
    return {"columns": ["a", "b"], "data": [[1, 2], [1]]}


@pytest.mark.parametrize(
    ("predict", "code"),
    [
        (gives_nothing, "prediction-not-a-frame"),
        (gives_text, "prediction-not-a-frame"),
        (gives_numbers, "prediction-not-a-frame"),
        (gives_columns_twice, "frame-columns-duplicate"),
        (gives_uneven_rows, "frame-rows-unequal"),
    ],
)
async def test_a_prediction_that_is_no_frame_fails_and_lies_below_its_model(predict: Any, code: str) -> None:
    async with serving(service(predict=predict)) as client:
        calls = MLCalls(client)
        model = await calls.trained()
        job = await calls.finished(await calls.post("$predict", {"artifact_id": model, "future": FUTURE}))
        assert (job["status"], job["error_code"]) == ("failed", code)
        artifact = await calls.artifact(job["artifact_id"])
        assert (artifact["data"]["type"], artifact["data"]["metadata"]["status"]) == ("ml_prediction", "failed")
        assert (artifact["parent_id"], artifact["level"], artifact["data"]["content"]) == (model, 1, None)


async def test_a_configuration_that_goes_meanwhile_fails_the_run() -> None:
    begun, go = threading.Event(), threading.Event()

    def waits(config: Any, data: Any) -> None:
        begun.set()
        assert go.wait(20)

    async with serving(service(waits)) as client:
        calls = MLCalls(client)
        config = await calls.config()
        answer = await calls.post("$train", {"config_id": config, "data": TRAINING})
        while not begun.is_set():
            await client.get("/health")
        assert (await client.delete(f"/api/v1/configs/{config}")).status_code == 204
        go.set()
        job = await calls.finished(answer)
        assert (job["status"], job["error_code"]) == ("failed", "config-unknown")
        assert (await client.get("/api/v1/artifacts")).json() == []


async def test_a_model_that_goes_meanwhile_fails_the_prediction() -> None:
    begun, go = threading.Event(), threading.Event()

    def waits(config: Any, model: Any, historic: Any, future: Any) -> Any:
        begun.set()
        assert go.wait(20)
        return future

    async with serving(service(predict=waits)) as client:
        calls = MLCalls(client)
        model = await calls.trained()
        answer = await calls.post("$predict", {"artifact_id": model, "future": FUTURE})
        while not begun.is_set():
            await client.get("/health")
        assert (await client.delete(f"/api/v1/artifacts/{model}")).status_code == 204
        go.set()
        job = await calls.finished(answer)
        assert job["status"] == "failed"
        assert (await client.get("/api/v1/artifacts")).json() == []


async def test_a_failure_does_not_keep_the_next_run_from_working() -> None:
    def fails_without_polygons(config: Any, data: Any, geo: Any = None) -> int:
        return len(geo.features)

    async with serving(service(fails_without_polygons)) as client:
        calls = MLCalls(client)
        config = await calls.config()
        job = await calls.finished(await calls.post("$train", {"config_id": config, "data": TRAINING}))
        assert job["status"] == "failed"
        await calls.predicted(await calls.trained(config, geo=POLYGONS))
