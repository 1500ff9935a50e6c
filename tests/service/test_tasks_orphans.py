"""Tasks whose function is missing, and jobs whose function has changed."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs

from chapkit.task import Registry, validate_and_disable_orphaned_tasks
from tests.service.task_calls import TASKS, builder, calling, service
from tests.serving import application, serving

pytestmark = pytest.mark.anyio


def one() -> int:
    return 1


def two() -> int:
    return 2


def registry(**functions: Callable[..., Any]) -> Registry:
    made = Registry()
    for name, function in functions.items():
        made.register_function(name, function)
    return made


def changing(function: Callable[..., Any], on_code_change: Any) -> Registry:
    made = Registry()
    made.register_function("f", function, on_code_change=on_code_change)
    return made


async def test_a_task_without_its_function_is_disabled_and_comes_back_with_it(database_url: str) -> None:
    async with calling(service(registry(one=one, two=two), database_url)) as calls:
        ids = [(await calls.create(name))["id"] for name in ("one", "two", "two")]
        await calls.patch(ids[2], enabled=False, disabled_reason="not needed")
    async with calling(service(registry(one=one), database_url)) as calls:
        kept, orphan, personal = [await calls.get(id) for id in ids]
        assert (kept["enabled"], orphan["enabled"], personal["enabled"]) == (True, False, False)
        assert (orphan["disabled_by"], personal["disabled_by"]) == ("orphan", "person")
        assert "'two'" in orphan["disabled_reason"]
        orphans = (await calls.client.get(f"{TASKS}/$orphans")).json()
        assert [item["id"] for item in orphans] == ids[1:]
        answer = await calls.execute(ids[1])
        assert (answer.status_code, answer.json()["code"]) == (409, "task-disabled")
        assert "register the function again" in answer.json()["detail"]
        assert "PATCH" not in answer.json()["detail"]
        assert "PATCH" in (await calls.execute(ids[2])).json()["detail"]
        system = (await calls.client.get("/api/v1/system")).json()
        assert (system["tasks"]["orphans"], system["tasks"]["functions"]) == (2, 1)
    async with calling(service(registry(one=one, two=two), database_url)) as calls:
        kept, orphan, personal = [await calls.get(id) for id in ids]
        assert (orphan["enabled"], orphan["disabled_by"], orphan["disabled_reason"]) == (True, None, None)
        assert (personal["enabled"], personal["disabled_reason"]) == (False, "not needed")
        assert (await calls.content(ids[1]))["result"] == 2


async def test_an_orphan_can_be_changed_but_not_enabled(database_url: str) -> None:
    async with calling(service(registry(one=one), database_url)) as calls:
        id = (await calls.create("one"))["id"]
    async with calling(service(registry(), database_url)) as calls:
        orphan = await calls.get(id)
        same = {name: orphan[name] for name in ("command", "task_type", "parameters", "enabled")}
        put = await calls.client.put(f"{TASKS}/{id}", json={**same, "tags": ["kept"]})
        assert (put.status_code, put.json()["disabled_by"]) == (200, "orphan")
        answer = await calls.client.patch(f"{TASKS}/{id}", json={"enabled": True})
        assert (answer.status_code, answer.json()["code"]) == (422, "task-function-unknown")
        assert (await calls.patch(id, enabled=False))["disabled_by"] == "person"
    async with calling(service(registry(one=one), database_url)) as calls:
        assert (await calls.get(id))["enabled"] is False


async def test_the_look_for_orphans_can_be_left_to_the_application(database_url: str) -> None:
    async with calling(service(registry(one=one), database_url)) as calls:
        id = (await calls.create("one"))["id"]
    app = service(registry(), database_url, validate_on_startup=False)
    assert await validate_and_disable_orphaned_tasks(app) == 0
    async with calling(app) as calls:
        assert (await calls.get(id))["enabled"] is True
        assert await validate_and_disable_orphaned_tasks(app) == 1
        assert (await calls.get(id))["disabled_by"] == "orphan"
        assert await validate_and_disable_orphaned_tasks(app) == 1


async def test_processes_that_start_together_disable_a_task_once(database_url: str) -> None:
    async with calling(service(registry(one=one), database_url)) as calls:
        id = (await calls.create("one"))["id"]
    app = service(registry(), database_url, validate_on_startup=False)
    async with calling(app) as calls:
        assert await asyncio.gather(*(validate_and_disable_orphaned_tasks(app) for _ in range(4))) == [1] * 4
        assert (await calls.get(id))["disabled_by"] == "orphan"


async def test_there_are_no_orphans_where_there_are_no_tasks() -> None:
    app = application()
    async with serving(app):
        assert await validate_and_disable_orphaned_tasks(app) == 0


async def waiting_job(database_url: str, function: Callable[..., Any], on_code_change: Any) -> str:
    """Submit a task in a service that runs no jobs."""
    async with calling(service(changing(function, on_code_change), database_url, jobs={"workers": 0})) as calls:
        answer = await calls.execute((await calls.create("f"))["id"])
        return str(answer.json()["job_id"])


async def test_a_waiting_job_runs_the_new_code_unless_the_function_says_otherwise(database_url: str) -> None:
    job_id = await waiting_job(database_url, one, "run")
    async with calling(service(changing(two, "run"), database_url)) as calls:
        data = await calls.artifact(await calls.finished(job_id))
        assert data["content"]["result"] == 2
        [function] = (await calls.client.get(f"{TASKS}/$functions")).json()
        assert data["metadata"]["code_version"] == function["code_version"]


async def test_a_job_whose_function_has_changed_fails_where_that_was_asked_for(database_url: str) -> None:
    job_id = await waiting_job(database_url, one, "fail")
    async with calling(service(changing(two, "fail"), database_url)) as calls:
        job = await calls.finished(job_id)
        assert (job["status"], job["error_code"]) == ("failed", "task-code-changed")
        assert (await calls.artifact(job))["content"]["error"]["type"] == "TaskCodeChangedError"
        await calls.client.post(f"/api/v1/jobs/{job_id}/$retry")
        again = await calls.finished(job_id)
        assert (await calls.artifact(again))["content"]["result"] == 2


async def held_job(calls: Any, job_id: str) -> dict[str, Any]:
    events = await calls.client.get(f"/api/v1/jobs/{job_id}/$events", params={"after": 2, "wait": 20})
    assert [event["data"]["status"] for event in events.json()][-1] == "pending"
    job: dict[str, Any] = (await calls.client.get(f"/api/v1/jobs/{job_id}")).json()
    return job


async def test_a_held_job_waits_and_says_why_until_the_former_code_is_back(database_url: str) -> None:
    job_id = await waiting_job(database_url, one, "hold")
    with capture_logs() as lines:
        async with calling(service(changing(two, "hold"), database_url)) as calls:
            job = await held_job(calls, job_id)
        assert {line["event"] for line in lines if line["event"].startswith("job.")} == {"job.held"}
        assert (job["status"], job["error_code"]) == ("pending", "task-code-held")
        assert "The code of f has changed" in job["error"]
        assert "by POST $retry" in job["error"]
        assert "$cancel" not in job["error"]
    async with calling(service(changing(two, "hold"), database_url)) as calls:
        assert (await calls.client.get(f"/api/v1/jobs/{job_id}")).json()["error_code"] == "task-code-held"
    async with calling(service(changing(one, "hold"), database_url)) as calls:
        done = await calls.finished(job_id)
        assert (done["status"], done["attempt"]) == ("completed", 2)
        assert (await calls.artifact(done))["content"]["result"] == 1
        events = (await calls.client.get(f"/api/v1/jobs/{job_id}/$events")).json()
        assert [event["data"].get("reason") for event in events if "reason" in event["data"]] == ["held", "released"]
        assert [event["number"] for event in events] == list(range(1, len(events) + 1))


async def test_a_held_job_runs_the_new_code_when_somebody_wants_that(database_url: str) -> None:
    job_id = await waiting_job(database_url, one, "hold")
    async with calling(service(changing(two, "hold"), database_url)) as calls:
        await held_job(calls, job_id)
        assert (await calls.client.post(f"/api/v1/jobs/{job_id}/$retry")).status_code == 202
        assert (await calls.artifact(await calls.finished(job_id)))["content"]["result"] == 2


@pytest.mark.parametrize("on_code_change", ["hold", "fail"])
async def test_a_job_that_may_run_the_new_code_may_do_so_in_each_of_its_attempts(
    database_url: str, on_code_change: Any
) -> None:
    attempts: list[int] = []

    def flaky() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("it was the first attempt")
        return len(attempts)

    options = {"job": {"retry": {"attempts": 3, "initial": 0}}}
    async with calling(service(changing(one, on_code_change), database_url, jobs={"workers": 0})) as calls:
        job_id = (await calls.execute((await calls.create("f", **options))["id"])).json()["job_id"]
    async with calling(service(changing(flaky, on_code_change), database_url)) as calls:
        await (held_job(calls, job_id) if on_code_change == "hold" else calls.finished(job_id))
        assert (await calls.client.post(f"/api/v1/jobs/{job_id}/$retry")).status_code == 202
        job = await calls.finished(job_id)
        assert (job["status"], job["attempt"]) == ("completed", 3), job["error"]


@pytest.mark.parametrize("on_code_change", ["hold", "fail"])
async def test_a_task_that_calls_another_function_meanwhile_has_no_changed_code(
    database_url: str, on_code_change: Any
) -> None:
    def both() -> Registry:
        made = changing(one, on_code_change)
        made.register_function("g", two, on_code_change=on_code_change)
        return made

    async with calling(service(both(), database_url, jobs={"workers": 0})) as calls:
        task = await calls.create("f")
        job_id = (await calls.execute(task["id"])).json()["job_id"]
        await calls.patch(task["id"], command="g")
    async with calling(service(both(), database_url)) as calls:
        assert (await calls.artifact(await calls.finished(job_id)))["content"]["result"] == 2


async def test_a_function_that_was_registered_for_a_model_is_no_task() -> None:
    made = registry(one=one)
    made.register_function("one", lambda config, data: None, type="ml_train")
    async with calling(builder(made).build()) as calls:
        assert [item["name"] for item in (await calls.client.get(f"{TASKS}/$functions")).json()] == ["one"]
        assert await calls.result("one") == 1
