"""Tasks as a collection: what is accepted, kept, filtered and refused."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from chapkit.api import ServiceBuilder, ServiceInfo
from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.task import Registry, TaskIn, TaskManager
from tests.service.task_calls import HIERARCHY, TASKS, TaskCalls, builder, calling, service

pytestmark = pytest.mark.anyio

registry = Registry()


@registry.register("climate/add", tags=["climate"])
def add(a: int, b: int = 1) -> int:
    """Add two numbers.

    And no more.
    """
    return a + b


@pytest.fixture
async def calls(database_url: str) -> AsyncIterator[TaskCalls]:
    async with calling(service(registry, database_url, allow_shell=True)) as calls:
        yield calls


async def test_a_task_comes_back_as_it_was_sent_with_its_members_in_order(calls: TaskCalls) -> None:
    sent = {"parameters": {"a": 1}, "tags": ["x"], "job": {"timeout": 5.0, "retry": {"attempts": 2}}}
    created = await calls.create("climate/add", **sent)
    assert list(created) == [
        *("id", "created_at", "updated_at", "tags", "command", "task_type", "parameters", "enabled"),
        *("disabled_reason", "disabled_by", "job"),
    ]
    assert (created["parameters"], created["enabled"], created["disabled_by"]) == ({"a": 1}, True, None)
    assert (created["job"]["timeout"], created["job"]["retry"]["attempts"], created["job"]["queue"]) == (5.0, 2, None)
    assert await calls.get(created["id"]) == created


async def test_a_command_is_a_shell_task_if_nothing_else_is_said(calls: TaskCalls) -> None:
    answer = await calls.client.post(TASKS, json={"command": "true"})
    assert (answer.status_code, answer.json()["task_type"]) == (201, "shell")
    assert answer.headers["location"].endswith(f"{TASKS}/{answer.json()['id']}")


@pytest.mark.parametrize("body", [{}, {"command": ""}, {"command": "x", "task_type": "ruby"}, {"command": 1}])
async def test_what_is_no_task_is_refused(calls: TaskCalls, body: dict[str, Any]) -> None:
    answer = await calls.client.post(TASKS, json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")


async def test_what_a_task_does_not_know_is_refused_with_what_may_have_been_meant(calls: TaskCalls) -> None:
    task = await calls.create("climate/add", parameters={"a": 1})
    for answer in (
        await calls.client.post(TASKS, json={"command": "climate/add", "task_type": "python", "enabeld": False}),
        await calls.client.put(f"{TASKS}/{task['id']}", json={**task, "enabeld": False}),
        await calls.client.patch(f"{TASKS}/{task['id']}", json={"enabeld": False}),
    ):
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "request-invalid")
        assert problem["errors"][0]["field"] == "enabeld"
        assert "did you mean 'enabled'" in problem["errors"][0]["msg"]


async def test_a_task_may_be_sent_back_as_it_was_read(calls: TaskCalls) -> None:
    task = await calls.create("climate/add", parameters={"a": 1})
    answer = await calls.client.put(f"{TASKS}/{task['id']}", json={**task, "parameters": {"a": 2}})
    assert (answer.status_code, answer.json()["parameters"]) == (200, {"a": 2})
    assert answer.json()["created_at"] == task["created_at"]
    refused = await calls.client.patch(f"{TASKS}/{task['id']}", json={"disabled_by": "orphan"})
    problem = refused.json()
    assert (refused.status_code, problem["code"], problem["errors"][0]["field"]) == (
        422,
        "request-invalid",
        "disabled_by",
    )
    assert "Only the service" in problem["errors"][0]["msg"]


async def test_a_task_for_a_queue_that_is_not_there_is_refused_when_it_is_saved(calls: TaskCalls) -> None:
    task = await calls.create("climate/add", parameters={"a": 1})
    for answer in (
        await calls.client.post(TASKS, json={**task, "id": None, "job": {"queue": "nope"}}),
        await calls.client.patch(f"{TASKS}/{task['id']}", json={"job": {"queue": "nope"}}),
    ):
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["field"]) == (422, "job-queue-unknown", "job.queue")
    nul = await calls.client.patch(f"{TASKS}/{task['id']}", json={"job": {"concurrency_key": "a\x00"}})
    assert (nul.status_code, nul.json()["errors"][0]["field"]) == (422, "job.concurrency_key")


async def test_a_reason_that_not_every_database_can_hold_is_refused(calls: TaskCalls) -> None:
    task = await calls.create("climate/add", parameters={"a": 1})
    changes = {"enabled": False, "disabled_reason": "rain\x00"}
    answer = await calls.client.patch(f"{TASKS}/{task['id']}", json=changes)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "request-invalid")
    assert (problem["errors"][0]["field"], "NUL" in problem["errors"][0]["msg"]) == ("disabled_reason", True)
    assert (await calls.get(task["id"]))["enabled"] is True


async def test_a_command_that_the_system_could_not_take_is_refused_when_it_is_saved(calls: TaskCalls) -> None:
    task = await calls.create("true", "shell")
    for answer in (
        await calls.client.post(TASKS, json={"command": "echo a\0b"}),
        await calls.client.put(f"{TASKS}/{task['id']}", json={"command": "echo a\0b"}),
        await calls.client.patch(f"{TASKS}/{task['id']}", json={"command": "echo a\0b"}),
    ):
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "request-invalid")
        assert [error["field"] for error in problem["errors"]] == ["command"]
        assert "NUL" in problem["errors"][0]["msg"]


async def test_a_function_that_is_not_registered_is_refused_with_the_nearest_name(calls: TaskCalls) -> None:
    answer = await calls.client.post(TASKS, json={"command": "climate/ad", "task_type": "python"})
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "task-function-unknown")
    assert (problem["field"], problem["did_you_mean"]) == ("command", ["climate/add"])


@pytest.mark.parametrize(
    ("parameters", "field"),
    [(None, "parameters.a"), ({"a": "x"}, "parameters.a"), ({"a": 1, "c": 2}, "parameters.c")],
)
async def test_parameters_are_checked_when_a_task_is_saved(
    calls: TaskCalls, parameters: dict[str, Any] | None, field: str
) -> None:
    body = {"command": "climate/add", "task_type": "python", "parameters": parameters}
    answer = await calls.client.post(TASKS, json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (422, "task-parameters-invalid")
    assert [error["field"] for error in problem["errors"]] == [field]


async def test_put_keeps_what_was_not_sent(calls: TaskCalls) -> None:
    task = await calls.create("climate/add", parameters={"a": 1}, enabled=False, disabled_reason="broken")
    answer = await calls.client.put(f"{TASKS}/{task['id']}", json={"command": "climate/add", "tags": ["y"]})
    after = answer.json()
    assert answer.status_code == 200
    assert {**task, "tags": ["y"], "updated_at": after["updated_at"]} == after
    assert (after["task_type"], after["enabled"], after["disabled_by"]) == ("python", False, "person")


async def test_put_writes_an_explicit_null(calls: TaskCalls) -> None:
    task = await calls.create("true", "shell", parameters={"a": 1}, job={"timeout": 5})
    body = {"command": "true", "parameters": None, "job": None}
    after = (await calls.client.put(f"{TASKS}/{task['id']}", json=body)).json()
    assert (after["parameters"], after["job"]) == (None, None)


async def test_patch_merges_parameters_and_options(calls: TaskCalls) -> None:
    task = await calls.create("climate/add", parameters={"a": 1, "b": 2}, job={"timeout": 5, "priority": 1})
    after = await calls.patch(task["id"], parameters={"a": 7, "b": None}, job={"priority": None})
    assert (after["parameters"], after["job"]["timeout"], after["job"]["priority"]) == ({"a": 7}, 5.0, None)


async def test_a_change_is_checked_like_a_new_task(calls: TaskCalls) -> None:
    task = await calls.create("climate/add", parameters={"a": 1})
    for changes, code in (
        ({"parameters": {"a": None}}, "task-parameters-invalid"),
        ({"command": "sub"}, "task-function-unknown"),
    ):
        answer = await calls.client.patch(f"{TASKS}/{task['id']}", json=changes)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert await calls.get(task["id"]) == task


async def test_who_disables_a_task_is_noted_until_it_is_enabled_again(calls: TaskCalls) -> None:
    task = await calls.create("true", "shell")
    off = await calls.patch(task["id"], enabled=False, disabled_reason="holidays")
    assert (off["enabled"], off["disabled_by"], off["disabled_reason"]) == (False, "person", "holidays")
    on = await calls.patch(task["id"], enabled=True)
    assert (on["enabled"], on["disabled_by"], on["disabled_reason"]) == (True, None, None)


async def test_tasks_are_filtered_by_state_with_and_without_pages(calls: TaskCalls) -> None:
    ids = [(await calls.create("true", "shell", enabled=number % 2 == 0))["id"] for number in range(5)]
    find = calls.client.get
    assert [item["id"] for item in (await find(TASKS, params={"enabled": True})).json()] == [ids[4], ids[2], ids[0]]
    page = (await find(TASKS, params={"enabled": False, "page": 1, "size": 1})).json()
    assert (page["total"], [item["id"] for item in page["items"]]) == (2, [ids[3]])
    by_id = (await find(TASKS, params={"enabled": True, "sort": "id", "filter": f"id:gt:{ids[0]}"})).json()
    assert [item["id"] for item in by_id] == [ids[2], ids[4]]
    walked = await find(TASKS, params={"enabled": True, "cursor": "", "size": 2})
    assert ([item["id"] for item in walked.json()], "next" in walked.headers["link"]) == ([ids[0], ids[2]], True)
    assert len((await find(TASKS)).json()) == 5
    assert (await find(TASKS, params={"enabled": "perhaps"})).status_code == 422


async def test_many_tasks_are_created_together_or_not_at_all(calls: TaskCalls) -> None:
    good = {"command": "climate/add", "task_type": "python", "parameters": {"a": 1}}
    answer = await calls.client.post(f"{TASKS}/$bulk", json=[good, {**good, "command": "sub"}])
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "task-function-unknown")
    assert (await calls.client.get(f"{TASKS}/$stats")).json() == {"total": 0}


async def test_a_deleted_task_is_gone(calls: TaskCalls) -> None:
    task = await calls.create("true", "shell")
    assert (await calls.client.delete(f"{TASKS}/{task['id']}")).status_code == 204
    assert (await calls.client.get(f"{TASKS}/{task['id']}")).status_code == 404
    assert (await calls.execute(task["id"])).json()["code"] == "task-unknown"


async def test_the_functions_are_described(calls: TaskCalls) -> None:
    [function] = (await calls.client.get(f"{TASKS}/$functions")).json()
    assert (function["name"], function["type"], function["doc"]) == ("climate/add", "task", "Add two numbers.")
    assert function["signature"] == "climate/add(a: int, b: int = 1) -> int"
    assert function["parameters"]["properties"]["a"]["type"] == "integer"
    assert (function["parameters"]["required"], function["tags"], function["injected"]) == (["a"], ["climate"], {})
    assert (function["on_code_change"], function["cache"], function["retry"]) == ("run", None, None)
    assert len(function["code_version"]) == 16


async def test_the_schema_describes_what_a_task_looks_like(calls: TaskCalls) -> None:
    schema = (await calls.client.get(f"{TASKS}/$schema")).json()
    assert {"command", "task_type", "parameters", "enabled"} <= set(schema["properties"])


async def test_without_permission_there_are_only_the_operations_that_are_left() -> None:
    denied = {"allow_create": False, "allow_update": False, "allow_delete": False}
    async with calling(service(registry, **denied)) as calls:
        operations = (await calls.client.get(f"{TASKS}/$operations")).json()
        names = {(item["method"], item["name"]) for item in operations}
        assert ("POST", "execute") in names
        assert {name for _, name in names} >= {"functions", "orphans", "cache", "schema"}
        assert {method for method, _ in names} == {"GET", "POST"}
        assert (await calls.client.post(TASKS, json={"command": "x"})).status_code == 405
    async with calling(service(registry, allow_execute=False, allow_read=False)) as calls:
        assert (await calls.execute(ULID())).status_code == 404
        assert (await calls.client.get(f"{TASKS}/$functions")).status_code in (404, 405)


async def test_a_script_may_save_tasks_and_look_for_them() -> None:
    app = service(registry, allow_shell=True)
    async with calling(app), app.state.services.scope.write() as scope:
        tasks = scope.get(TaskManager)
        await tasks.save_all([TaskIn(command="true"), TaskIn(command="false", enabled=False)])
        assert [task.command for task in await tasks.find_all(enabled=False)] == ["false"]
        assert [task.command for task in await tasks.find_all()] == ["true", "false"]


@pytest.mark.parametrize("call", ["with_artifacts", "with_jobs"])
def test_tasks_need_artifacts_and_jobs(call: str) -> None:
    lacking = ServiceBuilder(info=ServiceInfo(display_name="Tasks")).with_tasks(registry=registry)
    if call == "with_jobs":
        lacking.with_artifacts(hierarchy=HIERARCHY)
    else:
        lacking.with_jobs()
    with pytest.raises(ConfigurationError, match=call):
        lacking.build()


def test_an_unknown_permission_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="allow_creation"):
        builder(registry, allow_creation=True)
