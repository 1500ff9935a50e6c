"""Runs outlive the process that accepted them, and services keep to themselves."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chapkit.core.services import Services
from chapkit.data import DataFrame
from chapkit.ml.cache import ParsedRequests
from tests.service.chap_service import make_app
from tests.service.ml_calls import FUTURE, TRAINING, MLCalls, builder, column, service
from tests.serving import serving

pytestmark = pytest.mark.anyio

PATIENCE = 30.0


def counts_rows(config: Any, data: DataFrame) -> int:
    return len(data)


def predicts_model(config: Any, model: Any, historic: Any, future: Any) -> Any:
    return future.assign(sample_0=float(model))


def large(rows: int) -> dict[str, Any]:
    return {"columns": ["time_period", "location"], "data": [["2021-01", f"place {row}"] for row in range(rows)]}


async def test_one_training_serves_many_predictions_across_restarts(database_url: str) -> None:
    async with serving(service(counts_rows, predicts_model, url=database_url)) as client:
        calls = MLCalls(client)
        model = await calls.trained()
        first = await calls.predicted(model)
    for _ in range(2):
        async with serving(service(counts_rows, predicts_model, url=database_url)) as client:
            calls = MLCalls(client)
            assert await calls.artifact(first["id"]) == first
            for _ in range(2):
                assert column(await calls.predicted(model), "sample_0") == [4.0] * 4


@pytest.mark.parametrize("rows", [3, 10_000])
async def test_a_run_that_did_not_start_is_done_by_the_next_process(database_url: str, rows: int) -> None:
    go = threading.Event()

    def waits(config: Any, data: DataFrame) -> int:
        assert go.wait(PATIENCE)
        return len(data)

    app = builder(waits, predicts_model, url=database_url).with_jobs(max_concurrency=1, shutdown_timeout=0.0).build()
    async with serving(app) as client:
        calls = MLCalls(client)
        config = await calls.config()
        running = await calls.post("$train", {"config_id": config, "data": large(1)})
        accepted = await calls.post("$train", {"config_id": config, "data": large(rows)})
        waiting = await client.get(f"/api/v1/jobs/{accepted.json()['job_id']}")
        assert (accepted.status_code, waiting.json()["status"]) == (202, "pending")
    go.set()
    async with serving(service(waits, predicts_model, url=database_url)) as client:
        calls = MLCalls(client)
        job = await calls.finished(accepted)
        assert (job["status"], job["attempt"]) == ("completed", 1)
        assert column(await calls.predicted(job["artifact_id"]), "sample_0") == [float(rows)] * 4
        assert (await calls.finished(running))["status"] == "completed"


async def test_a_large_request_is_parsed_once_and_kept_outside_of_the_row(tmp_path: Path) -> None:
    app = service(counts_rows, predicts_model, url=f"sqlite+aiosqlite:///{tmp_path / 'service.db'}")
    async with serving(app) as client:
        calls = MLCalls(client)
        model = await calls.trained(data=large(10_000))
        assert column(await calls.predicted(model), "sample_0") == [10_000.0] * 4
        services: Services = app.state.services
        assert len(services.get(ParsedRequests)) == 0
    files = [path for path in (tmp_path / "service.data" / "blobs").rglob("*") if path.is_file()]
    assert [path.stat().st_size for path in files] == [len(httpx.Request("POST", "http://a", json=_body()).content)]


async def test_a_repeated_request_is_not_kept_in_memory() -> None:
    app = service(counts_rows)
    async with serving(app) as client:
        calls = MLCalls(client)
        body = {"config_id": await calls.config(), "data": TRAINING}
        first = await calls.post("$train", body, Idempotency_Key="a")
        await calls.finished(first)
        await calls.post("$train", body, Idempotency_Key="a")
        await calls.post("$train", {**body, "run_info": {}}, Idempotency_Key="a")
        services: Services = app.state.services
        assert len(services.get(ParsedRequests)) == 0


@pytest.mark.parametrize(("workers", "kept"), [(0, 0), (1, 1)])
async def test_only_a_process_that_runs_trainings_keeps_requests_in_memory(workers: int, kept: int) -> None:
    app = builder(counts_rows).with_jobs(workers=workers, queues={"other": None}).build()
    async with serving(app) as client:
        calls = MLCalls(client)
        body = {"config_id": await calls.config(), "data": TRAINING, "job": {"run_after": "2999-01-01T00:00:00Z"}}
        assert (await calls.post("$train", body)).status_code == 202
        services: Services = app.state.services
        assert len(services.get(ParsedRequests)) == kept


async def test_a_refused_key_is_shown_as_it_was_sent_and_an_empty_one_is_none() -> None:
    app = service(counts_rows)
    async with serving(app) as client:
        calls = MLCalls(client)
        body = {"config_id": await calls.config(), "data": TRAINING}
        for key, status in (("a", 409), ("", 202)):
            first, other = [
                await client.post("/api/v1/ml/$train", json=sent, headers={"Idempotency-Key": key})
                for sent in (body, {**body, "run_info": {}})
            ]
            assert (first.status_code, other.status_code) == (202, status), other.text
            assert status == 202 or other.json()["found"] == "a"
        paths = (await client.get("/openapi.json")).json()["paths"]
        for step in ("train", "predict"):
            assert "429" in paths[f"/api/v1/ml/${step}"]["post"]["responses"]


async def test_two_services_in_one_process_share_nothing() -> None:
    def doubles(config: Any, data: DataFrame) -> int:
        return 2 * len(data)

    one, two = service(counts_rows, predicts_model), service(doubles, predicts_model)
    async with serving(one) as first, serving(two) as second:
        calls, others = MLCalls(first), MLCalls(second)
        model, other = await calls.trained(), await others.trained()
        assert column(await calls.predicted(model), "sample_0") == [4.0] * 4
        assert column(await others.predicted(other), "sample_0") == [8.0] * 4
        assert (await first.get(f"/api/v1/artifacts/{other}")).status_code == 404
        assert len(await calls.jobs()) == len(await others.jobs()) == 2
        answer = await calls.post("$predict", {"artifact_id": other, "future": FUTURE})
        assert answer.json()["newest_models"] == [model]


async def test_a_model_of_another_service_is_not_loaded(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'service.db'}"
    async with serving(service(counts_rows, predicts_model, url=url)) as client:
        model = await MLCalls(client).trained()
    for key in (tmp_path / "service.data").glob("*key*"):
        key.unlink()
    async with serving(service(counts_rows, predicts_model, url=url)) as client:
        calls = MLCalls(client)
        job = await calls.finished(await calls.post("$predict", {"artifact_id": model, "future": FUTURE}))
        assert (job["status"], job["error_code"]) == ("failed", "model-unsigned")


async def test_one_builder_makes_two_services_that_share_nothing(tmp_path: Path) -> None:
    made = builder(counts_rows, predicts_model)
    one, two = made.build(), made.build()
    async with serving(one) as first, serving(two) as second:
        calls, others = MLCalls(first), MLCalls(second)
        await calls.trained()
        assert await others.jobs() == []
        assert (await second.get("/api/v1/configs")).json() == []
        assert column(await others.predicted(await others.trained()), "sample_0") == [4.0] * 4


async def test_a_service_can_be_started_again(tmp_path: Path) -> None:
    app = make_app(f"sqlite+aiosqlite:///{tmp_path / 'service.db'}")
    models = []
    for _ in range(2):
        async with serving(app) as client:
            calls = MLCalls(client)
            models.append(await calls.trained())
            await calls.predicted(models[0])


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a service with a busy model in a process of its own; return where it listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    database = f"sqlite+aiosqlite:///{tmp_path_factory.mktemp('busy') / 'service.db'}"
    command = [sys.executable, "-m", "tests.service.busy_service", database, str(port)]
    environment = {**os.environ, "PYTHONPATH": "."}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            assert any("Uvicorn running on" in line for line in process.stdout)
            # It writes a few lines more, by far not enough to fill the pipe.
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            assert process.wait(PATIENCE) in {0, -signal.SIGTERM}


@pytest.mark.parametrize("path", ["$train", "$predict"])
def test_a_busy_function_does_not_hold_up_others(url: str, path: str) -> None:
    with httpx.Client(base_url=url, timeout=PATIENCE) as client:
        config = client.post("/api/v1/configs", json={"name": "busy", "data": {}}).json()["id"]
        train = {"config_id": config, "data": TRAINING}
        answer = client.post(f"/api/v1/ml/{'$train'}", json=train)
        if path == "$predict":
            client.get(f"/api/v1/jobs/{answer.json()['job_id']}", params={"wait": 30})
            body = {"artifact_id": answer.json()["artifact_id"], "future": FUTURE}
            answer = client.post("/api/v1/ml/$predict", json=body)
        job = f"/api/v1/jobs/{answer.json()['job_id']}"
        answered = 0
        while client.get(job).json()["status"] in {"pending", "running"}:
            assert client.get("/health").json()["status"] == "healthy"
            answered += 1
        assert client.get(job).json()["status"] == "completed"
        # On the loop that serves requests, the function would have left room for no more than one.
        assert answered > 3


def _body() -> dict[str, Any]:
    return {"config_id": "0" * 26, "data": large(10_000)}
