"""Functions as tasks: called with what was sent, their results and failures kept as artifacts."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import pandas as pd
import pytest
from pydantic import BaseModel

from chapkit.core.ids import ULID
from chapkit.data.fields import FRAME_MEDIA_TYPE
from chapkit.job import JobOptions, JobService, JobSpec, Retry
from chapkit.task import Registry, Task, TaskManager
from chapkit.task.execution import PYTHON_HANDLER
from tests.service.task_calls import TASKS, TaskCalls, calling, service

pytestmark = pytest.mark.anyio

PATIENCE = 20.0
registry = Registry()


@dataclass
class Period:
    first: date
    last: date


class Options(BaseModel):
    unit: str = "mm"


@registry.register("add")
def add(a: int, b: int = 1) -> int:
    return a + b


@registry.register("days")
async def days(period: Period, options: Options | None = None) -> dict[str, Any]:
    await asyncio.sleep(0)
    return {"days": (period.last - period.first).days, "period": period, "unit": options and options.unit}


@registry.register("fail")
def fail(text: str = "no such luck") -> None:
    raise ValueError(text)


@registry.register("odd")
def odd() -> None:
    raise ValueError("a\0b \ud800")


def process_id(plus: int) -> int:
    return os.getpid() + plus


@registry.register("frame")
def frame() -> pd.DataFrame:
    return pd.DataFrame({"place": ["Bokeo"], "cases": [3]})


@registry.register("bytes")
def some_bytes() -> bytes:
    return b"\x00\x01"


@registry.register("opaque")
def opaque() -> object:
    return object()


@registry.register("endless")
def endless() -> float:
    return float("inf")


@registry.register("many")
def many(count: int) -> list[int]:
    return list(range(count))


class Flaky:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, fails: int) -> int:
        self.calls += 1
        if self.calls <= fails:
            raise OSError(f"attempt {self.calls}")
        return self.calls


class Held:
    """Waits until the test lets it go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.go = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.go.wait(PATIENCE)
        return "done"


@pytest.fixture
async def calls(database_url: str) -> AsyncIterator[TaskCalls]:
    async with calling(service(registry, database_url)) as calls:
        yield calls


@pytest.fixture
def held() -> Iterator[Held]:
    held = Held()
    yield held
    held.go.set()


async def test_the_artifact_holds_the_task_and_what_the_function_returned(calls: TaskCalls) -> None:
    task = await calls.create("add", parameters={"a": 2})
    answer = await calls.execute(task["id"])
    accepted = answer.json()
    assert (answer.status_code, set(accepted)) == (202, {"job_id", "message", "artifact_id", "cache"})
    assert accepted["message"] == f"Task submitted for execution. Job ID: {accepted['job_id']}"
    assert answer.headers["location"].endswith(f"/api/v1/jobs/{accepted['job_id']}")
    job = await calls.finished(accepted["job_id"])
    assert (job["status"], job["kind"], job["name"]) == ("completed", "task", "add")
    assert job["artifact_id"] == accepted["artifact_id"]
    data = await calls.artifact(job)
    snapshot = {name: task[name] for name in ("id", "command", "task_type", "parameters", "created_at", "updated_at")}
    assert data["content"] == {"task": snapshot, "result": 3, "error": None}
    assert data["type"] == "task_result"
    metadata = data["metadata"]
    assert (metadata["task_id"], metadata["function"], metadata["parameters"]) == (task["id"], "add", {"a": 2})
    [described] = [item for item in (await calls.client.get(f"{TASKS}/$functions")).json() if item["name"] == "add"]
    assert metadata["code_version"] == described["code_version"]


async def test_parameters_arrive_as_the_types_of_the_annotations(calls: TaskCalls) -> None:
    parameters = {"period": {"first": "2024-02-01", "last": "2024-03-01"}, "options": {}}
    result = await calls.result("days", parameters)
    assert result == {"days": 29, "period": {"first": "2024-02-01", "last": "2024-03-01"}, "unit": "mm"}


async def test_parameters_of_one_execution_take_the_place_of_the_tasks_own(calls: TaskCalls) -> None:
    task = await calls.create("add", parameters={"a": 2, "b": 3})
    content = await calls.content(task["id"], {"parameters": {"b": 40}})
    assert (content["result"], content["task"]["parameters"]) == (42, {"a": 2, "b": 40})
    assert (await calls.get(task["id"]))["parameters"] == {"a": 2, "b": 3}


@pytest.mark.parametrize(
    ("body", "field"),
    [({"parameters": {"c": 1}}, "parameters.c"), ({"parameters": {"a": "x"}}, "parameters.a")],
)
async def test_parameters_are_checked_before_anything_is_submitted(
    calls: TaskCalls, body: dict[str, Any], field: str
) -> None:
    task = await calls.create("add", parameters={"a": 2})
    answer = await calls.execute(task["id"], body)
    assert (answer.status_code, answer.json()["code"]) == (422, "task-parameters-invalid")
    assert [error["field"] for error in answer.json()["errors"]] == [field]
    assert (await calls.client.get("/api/v1/jobs")).json() == []


async def test_a_body_with_something_else_is_refused(calls: TaskCalls) -> None:
    task = await calls.create("add", parameters={"a": 2})
    unknown = await calls.execute(task["id"], {"params": {}})
    assert unknown.status_code == 422
    assert "did you mean" in unknown.text


async def test_a_function_that_raises_is_a_failed_job_whose_artifact_says_why(calls: TaskCalls) -> None:
    task = await calls.create("fail")
    job = await calls.run(task["id"])
    assert (job["status"], job["error"], job["error_code"]) == ("failed", "ValueError: no such luck", "job-failed")
    data = await calls.artifact(job)
    error = data["content"]["error"]
    assert (data["content"]["result"], error["type"], error["message"]) == (None, "ValueError", "no such luck")
    assert "in fail" in error["traceback"]
    assert "run_user_function" not in error["traceback"]
    assert (data["content"]["task"]["id"], data["metadata"]["status"]) == (task["id"], "failed")


async def test_a_frame_and_bytes_are_contents_of_their_own(calls: TaskCalls) -> None:
    framed = await calls.artifact(await calls.run((await calls.create("frame"))["id"]))
    assert (framed["content"]["columns"], framed["content"]["data"]) == (["place", "cases"], [["Bokeo", 3]])
    assert (framed["content_type"], framed["metadata"]["command"]) == (FRAME_MEDIA_TYPE, "frame")
    job = await calls.run((await calls.create("bytes"))["id"])
    assert (await calls.artifact(job))["content_size"] == 2
    assert (await calls.client.get(f"/api/v1/artifacts/{job['artifact_id']}/$download")).content == b"\x00\x01"


@pytest.mark.parametrize(
    ("command", "code"), [("opaque", "task-result-not-storable"), ("endless", "number-not-finite")]
)
async def test_a_result_that_cannot_be_stored_is_a_failed_job(calls: TaskCalls, command: str, code: str) -> None:
    job = await calls.run((await calls.create(command))["id"])
    assert (job["status"], job["error_code"]) == ("failed", code)
    assert (await calls.artifact(job))["content"]["result"] is None


async def test_a_large_result_is_stored_like_a_small_one(calls: TaskCalls) -> None:
    assert len(await calls.result("many", {"count": 100_000})) == 100_000


async def test_a_disabled_task_is_not_executed_and_says_why(calls: TaskCalls) -> None:
    task = await calls.create("add", parameters={"a": 1}, enabled=False, disabled_reason="holidays")
    answer = await calls.execute(task["id"])
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["reason"]) == (409, "task-disabled", "holidays")
    assert "holidays" in problem["detail"]


async def test_who_waits_gets_the_artifact(calls: TaskCalls) -> None:
    task = await calls.create("add", parameters={"a": 1})
    answer = await calls.execute(task["id"], Prefer="wait=30")
    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "wait=30")
    assert answer.json()["data"]["content"]["result"] == 2
    failing = await calls.create("fail")
    answer = await calls.execute(failing["id"], Prefer="wait=30")
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["detail"]) == (500, "job-failed", "ValueError: no such luck")
    assert (await calls.artifact(problem))["content"]["error"]["message"] == "no such luck"


async def test_the_same_key_returns_the_first_job_and_is_no_use_for_another_request(calls: TaskCalls) -> None:
    task = await calls.create("add", parameters={"a": 1})
    first = await calls.execute(task["id"], {"parameters": {"b": 5}}, Idempotency_Key="k")
    again = await calls.execute(task["id"], {"parameters": {"b": 5}}, Idempotency_Key="k")
    assert again.json()["job_id"] == first.json()["job_id"]
    other = await calls.execute(task["id"], {"parameters": {"b": 6}}, Idempotency_Key="k")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")
    assert other.json()["found"] == "k"
    second = await calls.create("add", parameters={"a": 1})
    elsewhere = await calls.execute(second["id"], {"parameters": {"b": 5}}, Idempotency_Key="k")
    assert elsewhere.json()["job_id"] != first.json()["job_id"]


async def test_what_is_told_of_an_error_begins_with_the_function_itself(calls: TaskCalls) -> None:
    task = await calls.create("fail")
    job = await calls.run(task["id"])
    told = (await calls.artifact(job))["content"]["error"]["traceback"]
    assert told.splitlines()[1].endswith("in fail")


async def test_the_first_job_is_found_when_its_task_is_disabled_or_gone(calls: TaskCalls) -> None:
    task = await calls.create("add", parameters={"a": 1})
    first = await calls.execute(task["id"], Idempotency_Key="k")
    await calls.finished(first.json()["job_id"])
    await calls.patch(task["id"], enabled=False)
    again = await calls.execute(task["id"], {}, Idempotency_Key="k")
    assert (again.status_code, again.json()["job_id"]) == (202, first.json()["job_id"])
    assert (await calls.execute(task["id"], Idempotency_Key="other")).json()["code"] == "task-disabled"
    assert (await calls.client.delete(f"{TASKS}/{task['id']}")).status_code == 204
    again = await calls.execute(task["id"], Idempotency_Key="k")
    assert (again.status_code, again.json()["job_id"]) == (202, first.json()["job_id"])
    other = await calls.execute(task["id"], {"parameters": {"b": 2}}, Idempotency_Key="k")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")
    assert (await calls.execute(task["id"])).json()["code"] == "task-unknown"


@pytest.mark.parametrize("text", ['"\\ud800"', "[" * 300 + "]" * 300])
async def test_a_key_changes_nothing_about_what_is_refused(calls: TaskCalls, text: str) -> None:
    path = f"{TASKS}/{(await calls.create('fail'))['id']}/$execute"
    answers = [
        await calls.client.post(
            path, content=f'{{"parameters": {{"text": {text}}}}}', headers={"Content-Type": "application/json", **more}
        )
        for more in ({}, {"Idempotency-Key": "k"})
    ]
    bare, keyed = [(answer.status_code, answer.json().get("code")) for answer in answers]
    assert keyed == bare
    assert keyed[0] < 500


@pytest.mark.parametrize("key", ["", "   "])
async def test_an_empty_key_is_no_key(calls: TaskCalls, key: str) -> None:
    task = await calls.create("add", parameters={"a": 1})
    jobs = {
        (await calls.execute(task["id"], {"parameters": {"b": b}}, Idempotency_Key=key)).json()["job_id"]
        for b in (1, 1, 2)
    }
    assert len(jobs) == 3


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ({"queue_timeout": 5, "run_after": "9999-12-31T23:59:59Z"}, 202),
        ({"run_after": "9999-12-31T23:59:59-05:00"}, 422),
        ({"run_after": "0001-01-01T00:00:00+05:00"}, 422),
        ({"concurrency_key": "a", "concurrency_limit": 10**30}, 422),
        ({"concurrency_key": "a", "concurrency_limit": 2**31}, 422),
        ({"concurrency_key": "a", "concurrency_limit": 2**31 - 1}, 202),
        ({"priority": 10**30}, 422),
    ],
)
async def test_options_that_no_database_takes_are_refused(
    calls: TaskCalls, options: dict[str, Any], status: int
) -> None:
    task = await calls.create("add", parameters={"a": 1})
    answer = await calls.execute(task["id"], {"job": options})
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.json()["code"] == "request-invalid"


async def test_a_changed_task_runs_as_it_is_when_its_job_starts(held: Held) -> None:
    own = Registry()
    own.register_function("held", held)
    own.register_function("add", add)
    async with calling(service(own, jobs={"workers": 1})) as calls:
        blocking = await calls.execute((await calls.create("held"))["id"])
        task = await calls.create("add", parameters={"a": 1, "b": 1})
        plain = await calls.execute(task["id"])
        given = await calls.execute(task["id"], {"parameters": {"a": 100}})
        disabled, doomed, turned = [await calls.create("add", parameters={"a": 1}) for _ in range(3)]
        jobs = [(await calls.execute(each["id"])).json()["job_id"] for each in (disabled, doomed, turned)]
        await calls.patch(task["id"], parameters={"a": 10, "b": 5})
        await calls.patch(disabled["id"], enabled=False)
        await calls.client.delete(f"{TASKS}/{doomed['id']}")
        await calls.client.delete(f"{TASKS}/{turned['id']}")
        held.go.set()
        results = [
            (await calls.artifact(await calls.finished(answer.json()["job_id"])))["content"]["result"]
            for answer in (blocking, plain, given)
        ]
        assert results == ["done", 15, 105]
        ended = [await calls.finished(job) for job in jobs]
        assert [job["error_code"] for job in ended] == ["task-disabled", "task-unknown", "task-unknown"]
        gone = await calls.artifact(ended[1])
        assert (gone["metadata"]["task_id"], gone["content"]["task"]["id"]) == (doomed["id"], None)


async def test_a_task_that_became_a_command_meanwhile_is_not_run_by_the_job_of_the_function(held: Held) -> None:
    own = Registry()
    own.register_function("held", held)
    async with calling(service(own, jobs={"workers": 1}, allow_shell=True)) as calls:
        await calls.execute((await calls.create("held"))["id"])
        task, command = await calls.create("held"), await calls.create("true", "shell")
        jobs = [(await calls.execute(each["id"])).json()["job_id"] for each in (task, command)]
        await calls.patch(task["id"], command="false", task_type="shell")
        await calls.patch(command["id"], command="held", task_type="python")
        held.go.set()
        ended = [await calls.finished(job) for job in jobs]
        assert [job["error_code"] for job in ended] == ["task-type-changed"] * 2


async def test_options_of_the_request_win_over_the_tasks_and_those_over_the_functions() -> None:
    own, flaky = Registry(), Flaky()
    own.register_function("flaky", flaky, retry=Retry(attempts=2, initial=0), queue="slow")
    async with calling(service(own, jobs={"queues": {"slow": None, "fast": None}})) as calls:
        plain = await calls.create("flaky", parameters={"fails": 2})
        assert (await calls.run(plain["id"]))["attempt"] == 2
        flaky.calls = 0
        patient = await calls.create("flaky", parameters={"fails": 2}, job={"retry": {"attempts": 3, "initial": 0}})
        job = await calls.run(patient["id"])
        assert (job["status"], job["attempt"]) == ("completed", 3)
        flaky.calls = 0
        job = await calls.run(patient["id"], {"job": {"retry": {"attempts": 1}, "queue": "fast"}})
        assert (job["status"], job["attempt"]) == ("failed", 1)
        answer = await calls.execute(patient["id"], {"job": {"queue": "absent"}})
        assert (answer.status_code, answer.json()["code"]) == (422, "job-queue-unknown")


async def test_what_comes_again_anyhow_is_not_tried_again() -> None:
    own = Registry()
    own.register_function("opaque", opaque, retry=Retry(attempts=5, initial=0))
    async with calling(service(own)) as calls:
        job = await calls.run((await calls.create("opaque"))["id"])
        assert (job["error_code"], job["attempt"]) == ("task-result-not-storable", 1)


async def test_a_function_that_takes_too_long_is_timed_out(held: Held) -> None:
    own = Registry()

    async def wait() -> None:
        await asyncio.sleep(PATIENCE)

    own.register_function("wait", wait, timeout=0.2)
    async with calling(service(own)) as calls:
        job = await calls.run((await calls.create("wait"))["id"])
        assert (job["status"], job["error_code"]) == ("failed", "job-timed-out")
        assert (await calls.artifact(job))["content"]["error"]["type"] == "JobTimeoutError"


async def test_a_running_task_can_be_canceled() -> None:
    own, begun = Registry(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def wait() -> None:
        loop.call_soon_threadsafe(begun.set)
        await asyncio.sleep(PATIENCE)

    own.register_function("wait", wait)
    async with calling(service(own)) as calls:
        job_id = (await calls.execute((await calls.create("wait"))["id"])).json()["job_id"]
        await asyncio.wait_for(begun.wait(), PATIENCE)
        await calls.client.post(f"/api/v1/jobs/{job_id}/$cancel")
        assert (await calls.finished(job_id))["status"] == "canceled"


async def test_a_manager_in_a_unit_of_work_submits_with_it(calls: TaskCalls) -> None:
    app = service(registry)
    async with calling(app) as calls:
        task = await calls.create("add", parameters={"a": 1})
        scopes = app.state.services.scope
        async with scopes.write() as scope:
            job_id = await scope.get(TaskManager).execute_task(ULID(task["id"]), {"b": 9}, JobOptions(priority=3))
        assert (await calls.artifact(await calls.finished(job_id)))["content"]["result"] == 10


async def test_a_retried_job_leaves_a_new_artifact() -> None:
    own, flaky = Registry(), Flaky()
    own.register_function("flaky", flaky)
    async with calling(service(own)) as calls:
        task = await calls.create("flaky", parameters={"fails": 1})
        failed = await calls.run(task["id"])
        await calls.client.post(f"/api/v1/jobs/{failed['id']}/$retry")
        done = await calls.finished(failed["id"])
        assert (done["status"], done["artifact_id"] != failed["artifact_id"]) == ("completed", True)
        assert (await calls.artifact(done))["content"]["result"] == 2
        assert (await calls.artifact(failed))["metadata"]["status"] == "failed"


async def test_a_function_may_run_in_a_child_process() -> None:
    own = Registry()
    own.register_function("pid", process_id, executor="process")
    async with calling(service(own)) as calls:
        assert await calls.result("pid", {"plus": 0}) != os.getpid()


async def test_a_job_is_not_run_again_with_a_payload_of_nonsense(calls: TaskCalls) -> None:
    failed = await calls.run((await calls.create("fail"))["id"])
    path = f"/api/v1/jobs/{failed['id']}/$retry"
    for payload in ({"task_id": "x"}, {"function": "absent"}):
        answer = await calls.client.post(path, json={"payload": payload})
        assert (answer.status_code, answer.json()["code"]) == (422, "job-payload-invalid")
        assert (await calls.finished(failed["id"]))["attempt"] == 1


@pytest.mark.parametrize(
    ("payload", "code"), [({"task_id": "x"}, "task-unknown"), ({"function": "absent"}, "task-function-unknown")]
)
async def test_a_job_with_a_payload_of_nonsense_says_what_is_wrong(payload: dict[str, Any], code: str) -> None:
    app = service(registry)
    async with calling(app) as calls:
        async with app.state.services.scope.write() as scope:
            job = await scope.get(JobService).submit(JobSpec(handler=PYTHON_HANDLER, payload=payload), scope)
        found = await calls.finished(job.id)
        assert (found["status"], found["error_code"]) == ("failed", code)


async def test_a_message_that_no_database_takes_is_made_storable(calls: TaskCalls) -> None:
    task = await calls.create("odd")
    error = (await calls.artifact(await calls.run(task["id"])))["content"]["error"]
    assert error["message"] == "a\ufffdb ?"


async def test_an_orphan_in_a_queue_fails_with_the_nearest_name(calls: TaskCalls) -> None:
    app = service(registry)
    async with calling(app) as calls:
        async with app.state.services.scope.write() as scope:
            scope.session.add(Task(id=ULID(), command="ad", task_type="python"))
        [task] = (await calls.client.get(TASKS)).json()
        answer = await calls.execute(task["id"])
        assert (answer.status_code, answer.json()["code"]) == (422, "task-function-unknown")
        assert "did you mean 'add'" in answer.json()["detail"]
