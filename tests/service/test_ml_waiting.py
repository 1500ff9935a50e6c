"""Waiting for a result in the same request, and sending a request twice."""

import json
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tests.service.ml_calls import FUTURE, TRAINING, MLCalls, column, echo, service
from tests.serving import serving

pytestmark = pytest.mark.anyio

PATIENCE = 20.0


class Held:
    """A model whose training waits until the test lets it go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.calls = 0

    def train(self, config: Any, data: Any) -> Any:
        self.calls += 1
        assert self.go.wait(PATIENCE)


class Failing:
    def train(self, config: Any, data: Any) -> Any:
        raise ValueError("no such luck")


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()


@pytest.fixture
async def calls(held: Held) -> AsyncIterator[MLCalls]:
    async with serving(service(held.train, echo)) as client:
        yield MLCalls(client)
        held.go.set()


async def test_a_result_that_is_there_in_time_is_the_answer(calls: MLCalls, held: Held) -> None:
    held.go.set()
    model = await calls.trained()
    answer = await calls.post("$predict", {"artifact_id": model, "future": FUTURE}, Prefer="wait=30")
    assert answer.status_code == 200
    artifact = answer.json()
    assert column(artifact, "sample_0") == [1.5] * 4
    assert answer.headers["content-location"] == f"/api/v1/artifacts/{artifact['id']}"
    assert answer.headers["preference-applied"] == "wait=30"
    job = (await calls.client.get(f"/api/v1/jobs/{answer.headers['x-job-id']}")).json()
    assert (job["status"], job["artifact_id"]) == ("completed", artifact["id"])
    stored = await calls.client.get(answer.headers["content-location"])
    assert (stored.json(), stored.headers["etag"]) == (artifact, answer.headers["etag"])


@pytest.mark.parametrize("prefer", ['wait="30"', "respond-async, WAIT = 30", "wait=99999"])
async def test_the_preference_is_written_in_several_ways(calls: MLCalls, held: Held, prefer: str) -> None:
    held.go.set()
    body = {"config_id": await calls.config(), "data": TRAINING}
    assert (await calls.post("$train", body, Prefer=prefer)).status_code == 200


async def test_a_run_that_takes_longer_is_accepted_and_goes_on(calls: MLCalls, held: Held) -> None:
    answer = await calls.post("$train", {"config_id": await calls.config(), "data": TRAINING}, Prefer="wait=1")
    assert answer.status_code == 202
    job_id = answer.json()["job_id"]
    assert answer.headers["location"].endswith(f"/api/v1/jobs/{job_id}")
    assert (await calls.client.get(f"/api/v1/jobs/{job_id}")).json()["status"] == "running"
    held.go.set()
    assert (await calls.finished(answer))["status"] == "completed"


@pytest.mark.parametrize("prefer", ["wait=0", "respond-async", "wait=soon", ""])
async def test_who_does_not_want_to_wait_gets_the_job_at_once(calls: MLCalls, held: Held, prefer: str) -> None:
    answer = await calls.post("$train", {"config_id": await calls.config(), "data": TRAINING}, Prefer=prefer)
    assert answer.status_code == 202


async def test_a_failure_in_time_is_a_problem_that_names_the_job() -> None:
    async with serving(service(Failing().train)) as client:
        calls = MLCalls(client)
        answer = await calls.post("$train", {"config_id": await calls.config(), "data": TRAINING}, Prefer="wait=30")
        problem = answer.json()
        assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
        assert (problem["code"], problem["detail"]) == ("job-failed", "ValueError: no such luck")
        job = (await client.get(f"/api/v1/jobs/{problem['job_id']}")).json()
        assert (job["status"], job["artifact_id"]) == ("failed", problem["artifact_id"])


async def test_a_canceled_run_is_a_problem(calls: MLCalls, held: Held) -> None:
    body = {"config_id": await calls.config(), "data": TRAINING}
    first = await calls.post("$train", body, Idempotency_Key="a")
    job_id = first.json()["job_id"]
    assert (await calls.client.post(f"/api/v1/jobs/{job_id}/$cancel")).status_code in {200, 202}
    held.go.set()
    answer = await calls.post("$train", body, Idempotency_Key="a", Prefer="wait=30")
    assert (answer.status_code, answer.json()["code"]) == (409, "job-canceled")
    assert answer.json()["job_id"] == job_id


async def test_the_same_request_under_the_same_key_is_the_same_job(calls: MLCalls, held: Held) -> None:
    body = {"config_id": await calls.config(), "data": TRAINING}
    first = await calls.post("$train", body, Idempotency_Key="a")
    again = await calls.post("$train", body, Idempotency_Key="a")
    assert (again.status_code, again.json()) == (202, first.json())
    held.go.set()
    await calls.finished(first)
    assert (await calls.post("$train", body, Idempotency_Key="a")).json() == first.json()
    assert (held.calls, len(await calls.jobs())) == (1, 1)


async def test_a_request_is_the_same_however_its_members_are_written(calls: MLCalls, held: Held) -> None:
    held.go.set()
    body = {"config_id": await calls.config(), "data": TRAINING}
    first = await calls.post("$train", body, Idempotency_Key="a")
    text = json.dumps(dict(reversed(body.items())), indent=3)
    headers = {"Idempotency-Key": "a", "Content-Type": "application/json"}
    again = await calls.client.post("/api/v1/ml/$train", content=text, headers=headers)
    assert (again.status_code, again.json()) == (202, first.json())


async def test_the_first_job_is_found_when_its_configuration_is_gone(calls: MLCalls, held: Held) -> None:
    held.go.set()
    config_id = await calls.config()
    body = {"config_id": config_id, "data": TRAINING}
    first = await calls.post("$train", body, Idempotency_Key="a")
    await calls.finished(first)
    assert (await calls.client.delete(f"/api/v1/configs/{config_id}")).status_code == 204
    again = await calls.post("$train", body, Idempotency_Key="a")
    assert (again.status_code, again.json()["job_id"]) == (202, first.json()["job_id"])
    other = await calls.post("$train", {**body, "run_info": {}}, Idempotency_Key="a")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")
    assert (await calls.post("$train", body, Idempotency_Key="b")).json()["code"] == "config-unknown"
    assert (await calls.post("$train", body)).json()["code"] == "config-unknown"


async def test_another_request_under_the_same_key_is_refused(calls: MLCalls, held: Held) -> None:
    body = {"config_id": await calls.config(), "data": TRAINING}
    await calls.post("$train", body, Idempotency_Key="a")
    answer = await calls.post("$train", {**body, "run_info": {}}, Idempotency_Key="a")
    assert (answer.status_code, answer.json()["code"]) == (409, "idempotency-key-reused")
    assert len(await calls.jobs()) == 1


async def test_trainings_and_predictions_do_not_share_keys(calls: MLCalls, held: Held) -> None:
    held.go.set()
    train = await calls.post("$train", {"config_id": await calls.config(), "data": TRAINING}, Idempotency_Key="a")
    await calls.finished(train)
    body = {"artifact_id": train.json()["artifact_id"], "future": FUTURE}
    predict = await calls.post("$predict", body, Idempotency_Key="a")
    assert predict.status_code == 202
    assert predict.json()["job_id"] != train.json()["job_id"]


async def test_without_a_key_the_same_request_runs_again(calls: MLCalls, held: Held) -> None:
    held.go.set()
    body = {"config_id": await calls.config(), "data": TRAINING}
    models = [(await calls.finished(await calls.post("$train", body)))["artifact_id"] for _ in range(2)]
    assert len(set(models)) == held.calls == 2
