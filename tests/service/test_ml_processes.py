"""Runners whose functions run in child processes."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.ml import FunctionalModelRunner
from tests.service import process_models
from tests.service.ml_calls import TRAINING, MLCalls, column, service
from tests.service.process_models import Options
from tests.serving import serving
from tests.unit.job.executors.watching import is_alive, processes_of

pytestmark = pytest.mark.anyio


def in_processes(
    train: Callable[..., Any] = process_models.train, predict: Callable[..., Any] = process_models.predict
) -> Any:
    return service(runner=FunctionalModelRunner(train, predict, executor="process"), config=Options)


async def test_functions_train_and_predict_in_child_processes() -> None:
    async with serving(in_processes()) as client:
        calls = MLCalls(client)
        answer = await calls.post("$train", {"config_id": await calls.config(), "data": TRAINING})
        job = await calls.finished(answer)
        assert job["status"] == "completed", job
        artifact = await calls.predicted(job["artifact_id"])
        assert column(artifact, "sample_0") == [4] * 4
        assert os.getpid() not in column(artifact, "pid")


async def test_the_state_of_a_runner_travels_with_its_methods() -> None:
    async with serving(service(runner=process_models.Scaled(), config=Options)) as client:
        calls = MLCalls(client)
        assert column(await calls.predicted(await calls.trained()), "sample_0") == [12] * 4


async def test_an_exception_is_a_failed_job_with_the_lines_of_the_function() -> None:
    async with serving(in_processes(process_models.train_badly)) as client:
        calls = MLCalls(client)
        answer = await calls.post("$train", {"config_id": await calls.config(), "data": TRAINING})
        job = await calls.finished(answer)
        assert job["status"] == "failed"
        assert "3 rows are too few" in job["error"]
        stderr = (await calls.artifact(answer.json()["artifact_id"]))["data"]["metadata"]["stderr"]
        assert stderr.startswith("Traceback")
        assert "in train_badly" in stderr
        assert stderr.endswith("ValueError: 3 rows are too few\n")
        assert "executors" not in stderr


async def test_a_function_that_kills_its_process_fails_its_job_and_nothing_else(tmp_path: Path) -> None:
    async with serving(in_processes(process_models.train_and_die)) as client:
        calls = MLCalls(client)
        config = await calls.config(folder=str(tmp_path))
        job = await calls.finished(await calls.post("$train", {"config_id": config, "data": TRAINING}))
        assert (job["status"], job["error_code"]) in {
            ("failed", "job-process-died"),
            ("failed", "job-poisoned"),
        }
        assert "SIGKILL" in job["error"]
        assert 1 <= len((tmp_path / "deaths").read_text()) <= 3
        assert (await client.get("/health")).status_code == 200


async def test_a_training_that_never_ends_is_killed_on_request_with_what_it_started(tmp_path: Path) -> None:
    async with serving(in_processes(process_models.train_for_ever)) as client:
        calls = MLCalls(client)
        config = await calls.config(folder=str(tmp_path))
        answer = await calls.post("$train", {"config_id": config, "data": TRAINING})
        members = await processes_of(tmp_path / "pids")
        assert all(map(is_alive, members))
        assert (await client.get("/health")).status_code == 200
        begun = time.monotonic()
        canceled = await client.post(f"/api/v1/jobs/{answer.json()['job_id']}/$cancel")
        assert canceled.status_code < 300, canceled.text
        assert (await calls.finished(answer))["status"] == "canceled"
        assert not any(map(is_alive, members))
        # Promised is one second; the rest is for machines that have a lot else to do.
        assert time.monotonic() - begun < 5


async def test_the_end_of_the_service_is_the_end_of_its_children(tmp_path: Path) -> None:
    async with serving(in_processes(process_models.train_for_ever)) as client:
        calls = MLCalls(client)
        config = await calls.config(folder=str(tmp_path))
        await calls.post("$train", {"config_id": config, "data": TRAINING})
        members = await asyncio.wait_for(processes_of(tmp_path / "pids"), 30)
    assert not any(map(is_alive, members))


def test_a_function_that_no_child_could_import_is_refused_when_the_service_is_built() -> None:
    def local(config: Any, data: Any) -> None: ...

    for functions in ((local, process_models.predict), (process_models.train, lambda *values: None)):
        with pytest.raises(ConfigurationError, match=r"test_ml_processes\.py:\d+") as caught:
            in_processes(*functions)
        assert caught.value.code == "function-not-importable"


def test_an_executor_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no executor 'cluster'") as caught:
        service(runner=FunctionalModelRunner(process_models.train, process_models.predict, executor="cluster"))
    assert caught.value.code == "runner-executor-unknown"
