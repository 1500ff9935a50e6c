from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select, update

from chapkit.api import CrudPermissions, ServiceBuilder, ServiceInfo
from chapkit.artifact.hierarchy import ArtifactHierarchy
from chapkit.core.clock import to_text
from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.job.feature import JobFeature
from chapkit.job.rows import JOBS
from chapkit.task.models import Task
from chapkit.task.registry import Registry
from tests.serving import serving
from tests.unit.job.parts import SteppedClock
from tests.unit.scheduler.schedule_parts import MINUTE, NOON, ScheduleSystem

pytestmark = pytest.mark.anyio
SOON = to_text(NOON + MINUTE)


class Service:
    """A service with tasks and schedules, whose clock the test moves."""

    def __init__(self, url: str, **options: Any) -> None:
        self.clock = SteppedClock(NOON)
        self.greeted: list[str] = []
        self.app = self.builder(url, **options).build()

    def builder(self, url: str, **options: Any) -> ServiceBuilder:
        registry = Registry()

        @registry.register("greet")
        def greet(name: str = "world") -> str:
            self.greeted.append(name)
            return f"Hello, {name}"

        @registry.register("opaque")
        def opaque() -> object:
            return object()

        return (
            ServiceBuilder(info=ServiceInfo(display_name="Greetings"), database_url=url)
            .with_health()
            .with_artifacts(hierarchy=ArtifactHierarchy(name="results"))
            .with_feature(JobFeature(shutdown_timeout=0.0, clock=self.clock))
            .with_schedules(**options)
            .with_tasks(registry=registry, allow_shell=True)
        )

    @property
    def system(self) -> ScheduleSystem:
        return ScheduleSystem(self.app.state.services, self.clock)

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[tuple[httpx.AsyncClient, str]]:
        """Yield a client, and the path of a task that greets."""
        async with serving(self.app) as client:
            task = await client.post(
                "/api/v1/tasks", json={"command": "greet", "task_type": "python", "parameters": {"name": "Ada"}}
            )
            assert task.status_code == 201, task.text
            yield client, f"/api/v1/tasks/{task.json()['id']}"


async def scheduled(client: httpx.AsyncClient, task: str, **members: Any) -> dict[str, Any]:
    given = members or {"schedule_type": "interval", "interval_seconds": 60}
    answer = await client.post(f"{task}/$schedule", json=given)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_task_runs_at_its_interval(database_url: str) -> None:
    service = Service(database_url)
    async with service.serving() as (client, task):
        schedule = await scheduled(client, task)
        task_id = task.rpartition("/")[2]
        assert (schedule["schedule_type"], schedule["interval_seconds"]) == ("interval", 60.0)
        assert schedule["run_at"] is schedule["cron_expression"] is schedule["last_run_at"] is None
        assert (schedule["task_id"], schedule["target"], schedule["name"]) == (task_id, "task", "greet")
        assert schedule["next_run_at"] == SOON
        await service.system.pass_time(MINUTE)
        (listed,) = (await client.get(f"{task}/$schedules")).json()
        assert listed["last_run_at"] == SOON
        (job,) = await service.system.finished(listed["last_tick"]["job_id"])
        assert (job.status, service.greeted) == ("completed", ["Ada"])


async def test_once_and_cron_as_the_first_design_has_them(database_url: str) -> None:
    service = Service(database_url)
    async with service.serving() as (client, task):
        once = await scheduled(
            client, task, schedule_type="once", run_at=SOON, interval_seconds=None, parameters={"name": "Grace"}
        )
        assert (once["run_at"], once["interval_seconds"]) == (SOON, None)
        cron = await scheduled(
            client, task, schedule_type="cron", cron_expression="0 6 * * *", timezone="Africa/Kigali", enabled=False
        )
        assert (cron["cron_expression"], cron["state"]) == ("0 6 * * *", "paused")
        assert cron["trigger"]["timezone"] == "Africa/Kigali"
        await service.system.pass_time(MINUTE)
        first, second = (await client.get(f"{task}/$schedules")).json()
        assert (first["state"], second["last_run_at"]) == ("finished", None)
        await service.system.finished(first["last_job"]["id"])
        assert service.greeted == ["Grace"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"schedule_type": "once"}, "request-invalid"),
        ({"schedule_type": "interval"}, "request-invalid"),
        ({"schedule_type": "cron"}, "request-invalid"),
        ({"schedule_type": "hourly"}, "request-invalid"),
        ({"schedule_type": "once", "run_at": "2030-01-01T11:00:00Z"}, "schedule-in-the-past"),
        ({"schedule_type": "once", "run_at": "2030-01-01T13:00:00"}, "schedule-time-naive"),
        ({"schedule_type": "interval", "interval_seconds": 0}, "interval-invalid"),
        ({"schedule_type": "cron", "cron_expression": "nonsense"}, "cron-invalid"),
        ({"schedule_type": "interval", "interval_seconds": 60, "parameters": {"nam": 1}}, "task-parameters-invalid"),
    ],
)
async def test_what_could_never_run_is_refused(tmp_path: Any, body: dict[str, Any], code: str) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with service.serving() as (client, task):
        answer = await client.post(f"{task}/$schedule", json=body)
        assert (answer.status_code, answer.json()["code"]) == (422, code)
        assert (await client.get(f"{task}/$schedules")).json() == []


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        ({"schedule_type": "once", "run_at": "2031-01-01T13:00:00"}, "schedule-time-naive", "run_at"),
        ({"schedule_type": "once", "run_at": "0001-01-01T13:00:00Z"}, "schedule-time-out-of-range", "run_at"),
        ({"schedule_type": "once", "run_at": "2029-01-01T13:00:00Z"}, "schedule-in-the-past", "run_at"),
        ({"schedule_type": "interval", "interval_seconds": 0.1}, "interval-invalid", "interval_seconds"),
        ({"schedule_type": "interval", "interval_seconds": True}, "interval-invalid", "interval_seconds"),
        ({"schedule_type": "cron", "cron_expression": "* * *"}, "cron-invalid", "cron_expression"),
        ({"schedule_type": "cron", "cron_expression": "61 * * * *"}, "cron-invalid", "minute"),
        ({"schedule_type": "cron", "cron_expression": "0 0 30 2 *"}, "schedule-never-fires", "cron_expression"),
        (
            {"schedule_type": "interval", "interval_seconds": 60, "end_at": "2031-01-01T13:00:00"},
            "schedule-time-naive",
            "end_at",
        ),
    ],
)
async def test_a_refusal_names_the_member_that_was_sent(
    tmp_path: Any, body: dict[str, Any], code: str, field: str
) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with service.serving() as (client, task):
        problem = (await client.post(f"{task}/$schedule", json=body)).json()
        assert (problem["status"], problem["code"], problem["field"]) == (422, code, field)
        if code.startswith("schedule-time"):
            assert problem["detail"].startswith(f"{field} is ")


async def test_parameters_that_nobody_can_store_are_refused_by_their_path(tmp_path: Any) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with service.serving() as (client, task):
        body = '{"schedule_type": "interval", "interval_seconds": 60, "parameters": {"name": [NaN]}}'
        answer = await client.post(f"{task}/$schedule", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, answer.json()["code"]) == (422, "number-not-finite")
        assert answer.json()["field"] == "parameters.name.0"


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        (
            {"schedule_type": "once", "run_at": SOON, "cron_expression": "0 6 * * *"},
            "cron_expression",
            "belongs to schedule_type='cron', and this one is 'once'; leave it out",
        ),
        ({"schedule_type": "interval", "interval_seconds": 60, "run_at": SOON}, "run_at", "schedule_type='once'"),
        (
            {"schedule_type": "cron", "cron_expression": "@daily", "interval_seconds": 60},
            "interval_seconds",
            "schedule_type='interval'",
        ),
        (
            {"schedule_type": "interval", "interval_seconds": 60, "timezone": "Africa/Kigali"},
            "timezone",
            "schedule_type='cron'",
        ),
        (
            {"schedule_type": "interval", "interval_seconds": 60, "overlaap": "skip"},
            "overlaap",
            "did you mean 'overlap'?",
        ),
        ({"schedule_type": "interval", "interval_seconds": 60, "grace": 0}, "grace", "greater than or equal to 1"),
        ({"schedule_type": "interval", "interval_seconds": 60, "grace": True}, "grace", "not true or false"),
    ],
)
async def test_what_does_not_belong_to_the_type_is_refused_by_its_name(
    tmp_path: Any, body: dict[str, Any], field: str, says: str
) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with service.serving() as (client, task):
        problem = (await client.post(f"{task}/$schedule", json=body)).json()
        assert (problem["status"], problem["code"]) == (422, "request-invalid")
        assert [item["field"] for item in problem["errors"]] == [field]
        assert says in problem["detail"]


async def test_what_says_nothing_may_stand_beside_any_type(tmp_path: Any) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with service.serving() as (client, task):
        empty = {"run_at": None, "cron_expression": None, "timezone": "UTC", "name": None, "start_at": None}
        made = await scheduled(client, task, schedule_type="interval", interval_seconds=60, **empty)
        assert (made["interval_seconds"], made["name"]) == (60.0, "greet")


async def test_a_schedule_is_paused_and_removed_by_its_task_only(database_url: str) -> None:
    service = Service(database_url)
    async with service.serving() as (client, task):
        schedule = await scheduled(client, task)
        other = (await client.post("/api/v1/tasks", json={"command": "greet", "task_type": "python"})).json()["id"]
        for owner, id in ((other, schedule["id"]), (task.rpartition("/")[2], ULID()), (other, "nonsense")):
            path = f"/api/v1/tasks/{owner}/$schedules/{id}"
            for answer in (await client.patch(path, json={"enabled": False}), await client.delete(path)):
                assert (answer.status_code, answer.json()["code"]) == (404, "schedule-not-found")
        path = f"{task}/$schedules/{schedule['id']}"
        paused = await client.patch(path, json={"enabled": False})
        assert (paused.status_code, paused.json()["state"]) == (200, "paused")
        assert (await client.patch(path, json={"enabled": True})).json()["next_run_at"] == SOON
        assert (await client.patch(path, json={"enabled": True, "jitter": 5})).status_code == 422
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(f"{task}/$schedules")).json() == []


async def test_a_task_that_is_not_there_has_no_schedules(database_url: str) -> None:
    service = Service(database_url)
    async with service.serving() as (client, _):
        body = {"schedule_type": "interval", "interval_seconds": 60}
        for id, status, code in ((ULID(), 404, "task-unknown"), ("nonsense", 400, "invalid-ulid")):
            made = await client.post(f"/api/v1/tasks/{id}/$schedule", json=body)
            listed = await client.get(f"/api/v1/tasks/{id}/$schedules")
            for answer in (made, listed):
                assert (answer.status_code, answer.json()["code"]) == (status, code)
        stored = {"name": "x", "target": "task", "arguments": {"task_id": ULID()}, "trigger": {"type": "interval"}}
        stored["trigger"] = {"type": "interval", "every": 60}
        answer = await client.post("/api/v1/schedules", json=stored)
        assert answer.json()["code"] == "task-unknown"


async def test_a_task_with_schedules_goes_only_with_them(database_url: str) -> None:
    service = Service(database_url)
    async with service.serving() as (client, task):
        schedule = await scheduled(client, task)
        refused = await client.delete(task)
        assert (refused.status_code, refused.json()["code"]) == (409, "task-has-schedules")
        assert refused.json()["schedule_ids"] == [schedule["id"]]
        refused = await client.delete(task, params={"cascade": "false"})
        assert refused.status_code == 409
        assert (await client.delete(task, params={"cascade": "true"})).status_code == 204
        assert (await client.get("/api/v1/schedules")).json() == []


async def test_many_tasks_with_schedules_go_only_with_them(database_url: str) -> None:
    service = Service(database_url)
    async with service.serving() as (client, task):
        await scheduled(client, task)
        ids = {"id": task.rpartition("/")[2]}
        for more in ({}, {"cascade": "false"}):
            refused = await client.delete("/api/v1/tasks/$bulk", params={**ids, **more})
            assert (refused.status_code, refused.json()["errors"][0]["code"]) == (409, "task-has-schedules")
        gone = await client.delete("/api/v1/tasks/$bulk", params={**ids, "cascade": "true"})
        assert (gone.status_code, gone.json()["succeeded"]) == (200, 1)
        assert (await client.get("/api/v1/schedules")).json() == []


async def test_a_disabled_task_holds_its_schedules(database_url: str) -> None:
    service = Service(database_url)
    async with service.serving() as (client, task):
        schedule = await scheduled(client, task)
        paused = await scheduled(client, task, schedule_type="interval", interval_seconds=60, enabled=False)
        await client.patch(task, json={"enabled": False, "disabled_reason": "the sensor is broken"})
        path = f"/api/v1/schedules/{schedule['id']}"
        held = (await client.get(path)).json()
        assert (held["state"], held["next_run_at"]) == ("held", None)
        assert held["held_reason"] == f"Task {task.rpartition('/')[2]} is disabled: the sensor is broken"
        await service.system.pass_time(5 * MINUTE)
        await client.patch(task, json={"parameters": {"name": "Joan"}})
        await client.patch(task, json={"enabled": True})
        freed = (await client.get(path)).json()
        assert (freed["state"], freed["next_run_at"]) == ("active", to_text(NOON + 6 * MINUTE))
        assert (await client.get(f"/api/v1/schedules/{paused['id']}")).json()["state"] == "paused"
        assert (await client.get(f"{path}/$runs")).json() == []


async def test_schedules_of_a_task_that_was_disabled_behind_their_back_are_held_at_the_start(
    database_url: str,
) -> None:
    first = Service(database_url)
    async with first.serving() as (client, task):
        schedule = await scheduled(client, task)
        async with first.system.services.scope.write() as scope:
            await scope.session.execute(update(Task).values(enabled=False, disabled_by="person"))
    second = Service(database_url)
    async with serving(second.app) as client:
        assert (await client.get(f"/api/v1/schedules/{schedule['id']}")).json()["state"] == "held"


async def test_schedules_know_their_task_by_its_command_where_only_one_has_it(database_url: str) -> None:
    service = Service(database_url)
    async with service.serving() as (client, task):
        stored = (await client.post("/api/v1/tasks", json={"command": "echo hello"})).json()
        cases: list[tuple[dict[str, Any], str | None]] = [
            ({"task": "greet"}, None),
            ({"function": "greet"}, None),
            ({"task": "echo hello"}, stored["id"]),
            ({"task_id": task.rpartition("/")[2]}, task.rpartition("/")[2]),
        ]
        for arguments, task_id in cases:
            body = {"name": "n", "target": "task", "arguments": arguments, "trigger": {"type": "interval", "every": 60}}
            answer = await client.post("/api/v1/schedules", json=body)
            assert (answer.status_code, answer.json()["task_id"]) == (201, task_id)


async def test_what_comes_again_anyhow_is_not_tried_again_because_a_schedule_says_so(database_url: str) -> None:
    service = Service(database_url)
    async with service.serving() as (client, _):
        task = (await client.post("/api/v1/tasks", json={"command": "opaque", "task_type": "python"})).json()
        retry = {"attempts": 3, "initial": 0, "never": ["OSError"]}
        await scheduled(client, f"/api/v1/tasks/{task['id']}", schedule_type="once", run_at=SOON, job={"retry": retry})
        await service.system.pass_time(MINUTE)
        (listed,) = (await client.get(f"/api/v1/tasks/{task['id']}/$schedules")).json()
        (job,) = await service.system.finished(listed["last_tick"]["job_id"])
        assert (job.error_code, job.attempt) == ("task-result-not-storable", 1)


@pytest.mark.parametrize("overlap", ["queue", "replace"])
@pytest.mark.parametrize(("limit", "is_kept"), [(None, True), (2, False)])
async def test_jobs_that_take_turns_under_the_key_of_their_task_keep_it(
    tmp_path: Any, overlap: str, limit: int | None, is_kept: bool
) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with service.serving() as (client, task):
        options = {"concurrency_key": "station-7"} | ({} if limit is None else {"concurrency_limit": limit})
        assert (await client.patch(task, json={"job": options})).status_code == 200
        schedule = await scheduled(client, task, schedule_type="once", run_at=SOON, overlap=overlap)
        await service.system.pass_time(MINUTE)
        async with service.system.services.scope.read() as scope:
            keys = (await scope.session.scalars(select(JOBS.c.concurrency_key))).all()
        assert keys == ["station-7" if is_kept else f"schedule:{schedule['id']}"]


async def test_a_schedule_of_the_code_runs_a_function(database_url: str) -> None:
    service = Service(database_url)
    service.app = (
        service.builder(database_url)
        .with_schedule("greet", parameters={"name": "Lise"}, every="1m", tags=["daily"])
        .with_schedule(target="task", arguments={"task_id": "nonsense"}, every=3600, name="wrong")
        .with_schedule("nobody-knows", cron="0 6 * * *", timezone="Africa/Kigali", max_failures=3)
        .build()
    )
    async with service.serving() as (client, _):
        greet, unknown, wrong = (await client.get("/api/v1/schedules", params={"sort": "name"})).json()
        assert (greet["name"], greet["managed_by"], greet["arguments"]) == (
            "greet",
            "code",
            {"task": "greet", "parameters": {"name": "Lise"}},
        )
        assert (unknown["explanation"], unknown["max_failures"]) == ("At 06:00 every day, Africa/Kigali", 3)
        assert (wrong["task_id"], wrong["state"]) == (None, "active")
        await service.system.pass_time(MINUTE)
        job_id = (await client.get(f"/api/v1/schedules/{greet['id']}")).json()["last_job"]["id"]
        await service.system.finished(job_id)
        assert service.greeted == ["Lise"]
        refused = await client.delete(f"/api/v1/schedules/{greet['id']}")
        assert (refused.status_code, refused.json()["code"]) == (409, "schedule-managed-by-code")
        assert (await client.post(f"/api/v1/schedules/{greet['id']}/$pause")).json()["state"] == "paused"


async def test_permissions_of_schedules_hold_for_those_of_tasks(tmp_path: Any) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path}/service.db"
    service = Service(url, permissions=CrudPermissions(create=False, read=False, update=False, delete=False))
    async with service.serving() as (client, task):
        for method, path in (
            ("POST", "$schedule"),
            ("GET", "$schedules"),
            ("PATCH", f"$schedules/{ULID()}"),
            ("DELETE", f"$schedules/{ULID()}"),
        ):
            answer = await client.request(method, f"{task}/{path}", json={})
            assert answer.status_code == 404, path


async def test_tasks_that_nobody_may_run_get_no_schedules(tmp_path: Any) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    builder = service.builder(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    service.app = builder.with_tasks(registry=Registry(), allow_shell=True, allow_execute=False).build()
    async with serving(service.app) as client:
        task_id = (await client.post("/api/v1/tasks", json={"command": "true"})).json()["id"]
        body = {"schedule_type": "interval", "interval_seconds": 60}
        refused = await client.post(f"/api/v1/tasks/{task_id}/$schedule", json=body)
        assert (refused.status_code, refused.json()["code"]) == (404, "route-unknown")
        stored = {"name": "n", "target": "task", "arguments": {"task_id": task_id}}
        kept = await client.post("/api/v1/schedules", json={**stored, "trigger": {"type": "interval", "every": 60}})
        path = f"/api/v1/tasks/{task_id}/$schedules"
        assert [each["id"] for each in (await client.get(path)).json()] == [kept.json()["id"]]
        assert (await client.patch(f"{path}/{kept.json()['id']}", json={"enabled": False})).status_code == 200
        assert (await client.delete(f"{path}/{kept.json()['id']}")).status_code == 204


def build(url: str = "sqlite+aiosqlite:///:memory:") -> ServiceBuilder:
    return ServiceBuilder(info=ServiceInfo(display_name="Test"), database_url=url).with_jobs()


@pytest.mark.parametrize(
    "declaration",
    [
        {"cron": "0 6 * * *"},
        {"task": "greet"},
        {"task": "greet", "cron": "0 6 * * *", "every": "1m"},
        {"task": "greet", "target": "handler", "every": 60},
        {"task": "greet", "arguments": {}, "every": 60},
        {"target": "handler", "parameters": {}, "every": 60},
        {"task": "greet", "every": 60, "timezone": "Africa/Kigali"},
        {"task": "greet", "at": datetime(2030, 1, 1, tzinfo=UTC), "timezone": "Africa/Kigali"},
    ],
)
def test_a_declaration_that_leaves_something_open_is_refused(declaration: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as raised:
        build().with_schedule(**declaration)
    assert raised.value.code == "schedule-declaration-invalid"


@pytest.mark.parametrize(
    ("options", "field", "says"),
    [
        ({"every": "1h", "overlap": "x"}, "overlap", "'allow', 'skip', 'queue' or 'replace'"),
        ({"every": "1h", "overlaap": "skip"}, "overlaap", "did you mean 'overlap'?"),
        ({"evry": "1h"}, "evry", "did you mean 'every'?"),
        ({"every": "1h", "trigger": {"type": "once"}}, "trigger", "There is no such option"),
        ({"every": "1h", "grace": 0}, "grace", "greater than or equal to 1"),
        ({"every": "1h", "job": {"priority": "high"}}, "job.priority", "valid integer"),
        ({"cron": 5}, "cron", "cron: Input should be a valid string"),
        ({"at": "tomorrow"}, "at", "valid datetime"),
        (
            {"every": "1h", "job": {"concurrency_key": "k"}, "overlap": "queue"},
            "",
            "job.concurrency_key cannot be chosen with overlap='queue'",
        ),
    ],
)
def test_a_wrong_option_of_a_declaration_is_refused_by_its_name(options: dict[str, Any], field: str, says: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        build().with_schedule("a/b", **options)
    error = raised.value
    assert (error.code, error.extensions["field"]) == ("schedule-declaration-invalid", field)
    assert error.detail.startswith("The schedule 'a/b' cannot be declared: ")
    assert says in error.detail


def test_a_wrong_option_is_told_with_the_name_of_its_schedule_and_all_that_there_are() -> None:
    options: Any = {"name": "hourly", "every": "1h", "overlaap": "skip", "gracee": 5}
    with pytest.raises(ConfigurationError, match="The schedule 'hourly' cannot be declared: overlaap: ") as raised:
        build().with_schedule("a/b", **options)
    assert {"overlap", "grace", "every", "cron", "at", "name", "tags"} <= set(raised.value.extensions["expected"])


def test_schedules_need_jobs() -> None:
    builder = ServiceBuilder(info=ServiceInfo(display_name="Test")).with_schedules()
    with pytest.raises(ConfigurationError, match=r"with_jobs\(\)"):
        builder.build()


async def test_calls_of_the_builder_may_come_in_any_order(tmp_path: Any) -> None:
    builder = (
        build(f"sqlite+aiosqlite:///{tmp_path}/service.db")
        .with_schedule(target="handler", arguments={"handler": "later"}, at=NOON.replace(year=2100), name="one")
        .with_schedules(prefix="/plans")
        .with_schedule(target="handler", arguments={"handler": "later"}, every=60, name="two")
    )
    app: FastAPI = builder.build()
    async with serving(app) as client:
        assert [item["name"] for item in (await client.get("/plans", params={"sort": "name"})).json()] == ["one", "two"]


async def test_a_schedule_that_named_a_task_before_it_was_there_is_about_it_from_then_on(database_url: str) -> None:
    service = Service(database_url)
    service.app = service.builder(database_url).with_schedule("echo hi", every="1m", name="early").build()
    async with service.serving() as (client, _):
        (schedule,) = (await client.get("/api/v1/schedules")).json()
        assert schedule["task_id"] is None
        task = (await client.post("/api/v1/tasks", json={"command": "echo hi"})).json()["id"]
        (listed,) = (await client.get(f"/api/v1/tasks/{task}/$schedules")).json()
        assert listed["id"] == schedule["id"]
        await client.patch(f"/api/v1/tasks/{task}", json={"enabled": False})
        assert (await client.get(f"/api/v1/schedules/{schedule['id']}")).json()["state"] == "held"
        refused = await client.delete(f"/api/v1/tasks/{task}")
        assert (refused.status_code, refused.json()["code"]) == (409, "task-has-schedules")


async def test_a_start_finds_the_tasks_that_schedules_of_older_releases_have_named(database_url: str) -> None:
    service = Service(database_url)
    early = service.builder(database_url).with_schedule("echo hi", every="1m", name="early")
    service.app = early.build()
    async with service.serving() as (client, _):
        task = (await client.post("/api/v1/tasks", json={"command": "echo hi", "enabled": False})).json()["id"]
        (schedule,) = (await client.get("/api/v1/schedules")).json()
        await service.system.write(ULID(schedule["id"]), task_id=None, held_reason=None)
    service.app = service.builder(database_url).with_schedule("echo hi", every="1m", name="early").build()
    async with service.serving() as (client, _):
        found = (await client.get(f"/api/v1/schedules/{schedule['id']}")).json()
        assert (found["task_id"], found["state"]) == (task, "held")
