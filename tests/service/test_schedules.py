import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from chapkit.core.clock import to_text
from chapkit.core.ids import ULID
from chapkit.job.feature import JobFeature
from chapkit.job.ports import JobHandler
from chapkit.ops.health import HealthFeature
from chapkit.ops.system import SystemFeature
from chapkit.scheduler.feature import ScheduleFeature
from chapkit.scheduler.worker import ScheduleWorker
from chapkit.web.feature import CrudPermissions
from tests.serving import application, serving
from tests.unit.job.parts import Double, HandlersFeature, SteppedClock
from tests.unit.scheduler.schedule_parts import MINUTE, NOON, Note, ScheduleSystem

pytestmark = pytest.mark.anyio
PATH = "/api/v1/schedules"
EVERY_MINUTE = {"type": "interval", "every": "1m", "anchor": to_text(NOON)}


class Service:
    """A service with schedules, whose clock the test moves."""

    def __init__(self, url: str, *handlers: JobHandler, **settings: Any) -> None:
        self.clock = SteppedClock(NOON)
        self.app = application(
            JobFeature(shutdown_timeout=0.0, clock=self.clock),
            HandlersFeature(handlers or (Note(),)),
            ScheduleFeature(**{"look_every": 3600.0, **settings}),
            HealthFeature(),
            SystemFeature(),
            url=url,
        )

    @property
    def system(self) -> ScheduleSystem:
        return ScheduleSystem(self.app.state.services, self.clock)


def body(**members: Any) -> dict[str, Any]:
    return {"name": "notes", "target": "handler", "arguments": {"handler": "note"}, "trigger": EVERY_MINUTE, **members}


async def created(client: httpx.AsyncClient, **members: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json=body(**members))
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_a_schedule_is_stored_explained_and_run(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        answer = await client.post(PATH, json=body(tags=["weather"]))
        schedule = answer.json()
        assert answer.headers["location"] == f"http://service{PATH}/{schedule['id']}"
        assert schedule == {
            "id": schedule["id"],
            "created_at": schedule["created_at"],
            "updated_at": schedule["created_at"],
            "tags": ["weather"],
            **body(),
            "explanation": "Every minute, counted from 1 January 2030 at 12:00 UTC",
            "start_at": None,
            "end_at": None,
            "jitter": 0.0,
            "missed": "latest",
            "grace": 60.0,
            "overlap": "skip",
            "enabled": True,
            "max_failures": None,
            "job": None,
            "state": "active",
            "paused_reason": None,
            "held_reason": None,
            "managed_by": None,
            "task_id": None,
            "next_run_at": "2030-01-01T12:01:00.000000Z",
            "failures": 0,
            "last_tick": None,
            "last_job": None,
        }
        await service.system.pass_time(MINUTE)
        (run,) = (await client.get(f"{PATH}/{schedule['id']}/$runs")).json()
        await service.system.finished(run["job_id"])
        after = (await client.get(f"{PATH}/{schedule['id']}")).json()
        assert after["last_tick"] == {
            "scheduled_for": "2030-01-01T12:01:00.000000Z",
            "outcome": "submitted",
            "reason": None,
            "job_id": run["job_id"],
        }
        assert after["last_job"] == {
            "id": run["job_id"],
            "status": "completed",
            "error": None,
            "error_code": None,
            "finished_at": "2030-01-01T12:01:00.000000Z",
        }
        assert (await client.get(PATH)).json() == [after]


async def test_the_last_job_is_shown_as_it_is_now(database_url: str) -> None:
    note = Note()
    service = Service(database_url, note)
    async with serving(service.app) as client:
        schedule = await created(client, arguments={"handler": "note", "payload": {"waits": True, "fails": True}})
        path = f"{PATH}/{schedule['id']}"
        await service.system.pass_time(MINUTE)
        first = await client.get(path)
        note.go.set()
        await service.system.finished(first.json()["last_tick"]["job_id"])
        second = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert second.status_code == 200
        assert second.json()["last_job"]["error"] == "ValueError: it was told to fail"
        (run,) = (await client.get(f"{path}/$runs")).json()
        assert (run["job_status"], run["job_error"]) == ("failed", "ValueError: it was told to fail")
        unchanged = await client.get(path, headers={"If-None-Match": second.headers["etag"]})
        assert unchanged.status_code == 304


async def test_a_tick_between_reading_and_changing_is_no_conflict(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        schedule = await created(client)
        path = f"{PATH}/{schedule['id']}"
        etag = (await client.get(path)).headers["etag"]
        await service.system.pass_time(MINUTE)
        changed = await client.patch(path, json={"jitter": 5}, headers={"If-Match": etag})
        assert changed.status_code == 200
        stale = await client.patch(path, json={"jitter": 6}, headers={"If-Match": etag})
        assert (stale.status_code, stale.json()["code"]) == (412, "etag-mismatch")
        fresh = await client.put(path, json=body(grace=5), headers={"If-Match": changed.headers["etag"]})
        assert (fresh.status_code, fresh.json()["grace"], fresh.json()["jitter"]) == (200, 5.0, 5.0)
        gone = await client.delete(path, headers={"If-Match": etag})
        assert gone.status_code == 412
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).json()["code"] == "schedule-not-found"


async def test_the_next_ticks_are_told_by_both_clocks(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        trigger = {"type": "cron", "expression": "0 6 * * *", "timezone": "Africa/Kigali"}
        schedule = await created(client, trigger=trigger, enabled=False)
        answer = (await client.get(f"{PATH}/{schedule['id']}/$next", params={"count": 2})).json()
        assert answer == {
            "explanation": "At 06:00 every day, Africa/Kigali",
            "next": [
                {"scheduled_for": "2030-01-02T04:00:00.000000Z", "local": "2030-01-02T06:00:00+02:00"},
                {"scheduled_for": "2030-01-03T04:00:00.000000Z", "local": "2030-01-03T06:00:00+02:00"},
            ],
        }
        for count in (0, 101):
            assert (await client.get(f"{PATH}/{schedule['id']}/$next", params={"count": count})).status_code == 422


async def test_a_trigger_is_explained_before_it_is_stored(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        answer = await client.post(
            f"{PATH}/$preview", json={"trigger": {"type": "interval", "every": 90}, "end_at": "2030-01-01T12:04:00Z"}
        )
        explained = answer.json()
        assert explained["explanation"].startswith("Every 1 minute and 30 seconds")
        assert [tick["scheduled_for"][14:19] for tick in explained["next"]] == ["01:30", "03:00"]
        wrong = await client.post(f"{PATH}/$preview", json={"trigger": {"type": "cron", "expression": "61 * * * *"}})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "cron-invalid")
        assert (await client.get(PATH)).json() == []


async def test_wrong_schedules_are_refused_with_a_problem(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        for members, code in (
            ({"trigger": {"type": "once", "at": "2029-01-01T00:00:00Z"}}, "schedule-in-the-past"),
            ({"trigger": {"type": "once", "at": "2031-01-01T00:00:00"}}, "schedule-time-naive"),
            ({"target": "rocket"}, "job-target-unknown"),
            ({"trigger": {"type": "never"}}, "request-invalid"),
            ({"missed": "never"}, "missed-policy-invalid"),
        ):
            answer = await client.post(PATH, json=body(**members))
            assert (answer.status_code, answer.json()["code"]) == (422, code)
        several = await client.post(f"{PATH}/$bulk", json=[body(), body(target="rocket")])
        assert (several.status_code, several.json()["code"]) == (422, "bulk-refused")
        several = await client.post(f"{PATH}/$bulk", json=[body(), body(name="other")])
        assert several.status_code == 201
        assert [item["state"] for item in several.json()["items"]] == ["active", "active"]


@pytest.mark.parametrize(
    ("members", "field", "says"),
    [
        ({"jittter": 5}, "jittter", "There is no such member; did you mean 'jitter'?"),
        ({"zzz": 5}, "zzz", "There is no such member"),
        ({"trigger": {"type": "interval", "evry": 60}}, "trigger.interval.evry", "did you mean 'every'?"),
        ({"grace": 0}, "grace", "greater than or equal to 1"),
        ({"jitter": True}, "jitter", "not true or false"),
    ],
)
async def test_a_member_that_is_wrong_is_refused_by_its_name(
    tmp_path: Path, members: dict[str, Any], field: str, says: str
) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with serving(service.app) as client:
        answer = await client.post(PATH, json=body(**members))
        problem = answer.json()
        assert (answer.status_code, problem["code"]) == (422, "request-invalid")
        assert says in {item["field"]: item["msg"] for item in problem["errors"]}[field]
        refused = await client.post(f"{PATH}/$bulk", json=[body(**members)])
        assert refused.status_code == 422
        assert field in [item["field"] for item in refused.json()["errors"][0]["errors"]]


async def test_an_unknown_member_hides_no_other_error(tmp_path: Path) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with serving(service.app) as client:
        wrong = body(jittter=5, id="nonsense", grace=-1, name="")
        problem = (await client.post(PATH, json=wrong)).json()
        found = {item["field"]: item["type"] for item in problem["errors"]}
        assert found == {
            "jittter": "extra_forbidden",
            "id": "ulid_format",
            "grace": "greater_than_equal",
            "name": "string_too_short",
        }
        schedule = await created(client)
        changed = await client.patch(f"{PATH}/{schedule['id']}", json={"jittter": 5})
        assert (changed.status_code, changed.json()["errors"][0]["field"]) == (422, "jittter")


@pytest.mark.parametrize("every", [True, False])
async def test_a_truth_value_is_no_interval(tmp_path: Path, every: bool) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with serving(service.app) as client:
        trigger = {"type": "interval", "every": every}
        for path, content in ((PATH, body(trigger=trigger)), (f"{PATH}/$preview", {"trigger": trigger})):
            answer = await client.post(path, json=content)
            assert (answer.status_code, answer.json()["code"]) == (422, "interval-invalid")
            assert answer.json()["field"] == "every"


@pytest.mark.parametrize("member", ["start_at", "end_at"])
async def test_a_limit_without_its_offset_is_refused_by_the_name_that_was_sent(tmp_path: Path, member: str) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with serving(service.app) as client:
        limit = {member: "2031-01-01T00:00:00"}
        preview = {"trigger": EVERY_MINUTE, **limit}
        for path, content in ((PATH, body(**limit)), (f"{PATH}/$preview", preview)):
            problem = (await client.post(path, json=content)).json()
            assert (problem["code"], problem["field"]) == ("schedule-time-naive", member)


async def test_arguments_that_a_handler_does_not_take_are_refused_by_name(tmp_path: Path) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with serving(service.app) as client:
        answer = await client.post(PATH, json=body(arguments={"handler": "note", "paylod": {}}))
        assert (answer.status_code, answer.json()["code"]) == (422, "target-arguments-invalid")
        assert answer.json()["field"] == "arguments.paylod"
        assert "did you mean 'payload'?" in answer.json()["detail"]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("NaN", "number-not-finite"),
        ("-1e999", "number-not-finite"),
        ("[" * 250 + "]" * 250, "value-not-serializable"),
    ],
)
async def test_arguments_that_nobody_can_store_are_refused_by_their_path(tmp_path: Path, value: str, code: str) -> None:
    service = Service(f"sqlite+aiosqlite:///{tmp_path}/service.db")
    async with serving(service.app) as client:
        path = f"{PATH}/{(await created(client))['id']}"
        arguments = {"handler": "note", "payload": {"deep": ["VALUE"]}}
        whole = body(arguments=arguments)
        requests = [("POST", PATH, whole), ("PUT", path, whole), ("PATCH", path, {"arguments": arguments})]
        for method, where, sent in requests:
            text = json.dumps(sent).replace('"VALUE"', value)
            answer = await client.request(method, where, content=text, headers={"content-type": "application/json"})
            assert (answer.status_code, answer.json()["code"]) == (422, code), answer.text
            assert answer.json()["field"].startswith("arguments.payload.deep.0")
        assert (await client.get(path)).json()["arguments"] == {"handler": "note"}


async def test_pause_and_resume(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        schedule = await created(client)
        path = f"{PATH}/{schedule['id']}"
        paused = (await client.post(f"{path}/$pause")).json()
        assert (paused["state"], paused["next_run_at"]) == ("paused", None)
        assert (await client.get(PATH, params={"filter": "enabled:eq:false"})).json() == [paused]
        resumed = await client.post(f"{path}/$resume")
        assert (resumed.json()["state"], resumed.json()["paused_reason"]) == ("active", None)
        assert resumed.headers["etag"]


async def test_runs_are_listed_newest_first_and_paged(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        path = f"{PATH}/{(await created(client, overlap='allow'))['id']}"
        for _ in range(3):
            await service.system.pass_time(MINUTE)
        runs = (await client.get(f"{path}/$runs")).json()
        assert [run["scheduled_for"][14:16] for run in runs] == ["03", "02", "01"]
        assert len((await client.get(f"{path}/$runs", params={"limit": 1})).json()) == 1
        page = (await client.get(f"{path}/$runs", params={"page": 2, "size": 2})).json()
        assert [run["scheduled_for"] for run in page.pop("items")] == [runs[2]["scheduled_for"]]
        assert page == {"total": 3, "page": 2, "size": 2, "pages": 2}
        beyond = (await client.get(f"{path}/$runs", params={"page": 9})).json()
        assert (beyond["items"], beyond["total"]) == ([], 3)


async def test_run_now_answers_with_a_job_and_moves_nothing(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        schedule = await created(client)
        path = f"{PATH}/{schedule['id']}"
        first = await client.post(f"{path}/$run-now", headers={"Idempotency-Key": "k1"})
        again = await client.post(f"{path}/$run-now", headers={"Idempotency-Key": "k1"})
        job_id = first.json()["job_id"]
        assert (first.status_code, again.json()["job_id"]) == (202, job_id)
        assert first.headers["location"] == f"http://service/api/v1/jobs/{job_id}"
        assert (await client.get(f"/api/v1/jobs/{job_id}", params={"wait": 10})).json()["status"] == "completed"
        assert (await client.get(path)).json()["next_run_at"] == schedule["next_run_at"]
        (run,) = (await client.get(f"{path}/$runs")).json()
        assert (run["job_id"], run["source"]) == (job_id, "manual")
        assert (await client.delete(path)).status_code == 204
        again = await client.post(f"{path}/$run-now", headers={"Idempotency-Key": "k1"})
        assert (again.status_code, again.json()["job_id"]) == (202, job_id)
        for headers in ({}, {"Idempotency-Key": "k2"}):
            gone = await client.post(f"{path}/$run-now", headers=headers)
            assert (gone.status_code, gone.json()["code"]) == (404, "schedule-not-found")


async def test_a_name_that_not_every_database_can_hold_is_refused(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        path = f"{PATH}/{(await created(client))['id']}"
        for answer in (
            await client.post(PATH, json=body(name="a\x00b")),
            await client.patch(path, json={"name": "\x00"}),
        ):
            problem = answer.json()
            assert (answer.status_code, problem["code"]) == (422, "request-invalid")
            assert (problem["errors"][0]["field"], "NUL" in problem["errors"][0]["msg"]) == ("name", True)


async def test_a_schedule_may_be_sent_back_as_it_was_read(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        schedule = await created(client)
        path = f"{PATH}/{schedule['id']}"
        answer = await client.put(path, json={**schedule, "name": "renamed"})
        assert (answer.status_code, answer.json()["name"]) == (200, "renamed")
        problem = (await client.patch(path, json={"state": "paused"})).json()
        assert (problem["code"], problem["errors"][0]["field"]) == ("request-invalid", "state")
        assert "Only the service" in problem["errors"][0]["msg"]


async def test_what_an_operation_would_not_heed_is_refused(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        path = f"{PATH}/{(await created(client))['id']}"
        for operation in ("$run-now", "$pause", "$resume"):
            problem = (await client.post(f"{path}/{operation}", json={"parameters": {"a": 1}})).json()
            assert (problem["code"], problem["errors"][0]["field"]) == ("request-invalid", "parameters")
        paused = await client.post(f"{path}/$pause", json={"reason": "Feiertag"})
        assert (paused.status_code, paused.json()["paused_reason"]) == (200, "Feiertag")
        assert (await client.post(f"{path}/$resume")).json()["paused_reason"] is None
        assert (await client.post(f"{path}/$pause")).json()["paused_reason"] == "Paused by a request"


async def test_a_key_of_run_now_is_one_job(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        path = f"{PATH}/{(await created(client))['id']}/$run-now"
        first, again, bare = [
            await client.post(path, headers={"Idempotency-Key": "k1"}, json=sent) for sent in ({}, {}, None)
        ]
        assert first.status_code == 202
        assert {answer.json()["job_id"] for answer in (first, again, bare)} == {first.json()["job_id"]}
        jobs = {(await client.post(path, headers={"Idempotency-Key": ""})).json()["job_id"] for _ in range(2)}
        assert len(jobs) == 2


async def test_runs_are_not_looked_for_behind_what_a_database_counts(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        path = f"{PATH}/{(await created(client))['id']}/$runs"
        assert (await client.get(path, params={"page": 10**17, "size": 1000})).status_code == 422


async def test_a_full_queue_is_among_the_documented_answers(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
        assert "429" in paths[PATH + "/{entity_id}/$run-now"]["post"]["responses"]


async def test_backfill(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        path = f"{PATH}/{(await created(client, enabled=False))['id']}"
        service.clock.move(600)
        wanted = {"start": to_text(NOON), "end": to_text(NOON + 3 * MINUTE)}
        answer = await client.post(f"{path}/$backfill", json=wanted)
        assert answer.status_code == 202
        assert [record["scheduled_for"][14:16] for record in answer.json()["created"]] == ["00", "01", "02"]
        again = (await client.post(f"{path}/$backfill", json=wanted)).json()
        assert (again["created"], len(again["skipped"])) == ([], 3)
        more, headers = {**wanted, "end": to_text(NOON + 5 * MINUTE)}, {"Idempotency-Key": "k"}
        made = (await client.post(f"{path}/$backfill", json=more, headers=headers)).json()
        assert (len(made["created"]), len(made["skipped"])) == (2, 3)
        assert (await client.post(f"{path}/$backfill", json=more, headers=headers)).json() == made
        reused = await client.post(f"{path}/$backfill", json=wanted, headers=headers)
        assert (reused.status_code, reused.json()["code"]) == (409, "idempotency-key-reused")
        for wrong in ({"start": wanted["end"], "end": wanted["start"]}, {**wanted, "end": "2031-01-01T00:00:00Z"}):
            refused = await client.post(f"{path}/$backfill", json=wrong)
            assert (refused.status_code, refused.json()["code"]) == (422, "backfill-range-invalid")
        assert (await client.post(f"{path}/$backfill", json={**wanted, "limit": 1001})).status_code == 422


async def test_what_is_not_there_is_a_problem(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        past = {"start": to_text(NOON - MINUTE), "end": to_text(NOON)}
        for method, operation, content in (
            ("GET", "", None),
            ("PATCH", "", {"jitter": 1}),
            ("DELETE", "", None),
            ("GET", "/$next", None),
            ("GET", "/$runs", None),
            ("POST", "/$pause", None),
            ("POST", "/$resume", None),
            ("POST", "/$run-now", None),
            ("POST", "/$backfill", past),
        ):
            missing = await client.request(method, f"{PATH}/{ULID()}{operation}", json=content)
            assert (missing.status_code, missing.json()["code"]) == (404, "schedule-not-found"), operation
            malformed = await client.request(method, f"{PATH}/nonsense{operation}", json=content)
            assert (malformed.status_code, malformed.json()["code"]) == (400, "invalid-ulid"), operation
        assert (await client.get(f"{PATH}/$nonsense")).json()["code"] == "operation-unknown"


async def test_permissions_leave_routes_out(database_url: str) -> None:
    allowed = CrudPermissions(create=False, update=False, delete=False)
    service = Service(database_url, permissions=allowed)
    async with serving(service.app) as client:
        assert (await client.post(PATH, json=body())).status_code == 405
        assert (await client.post(f"{PATH}/{ULID()}/$run-now")).status_code in (404, 405)
        names = {item["name"] for item in (await client.get(f"{PATH}/$operations")).json()}
        assert {"next", "runs", "preview"} <= names
        assert not names & {"pause", "resume", "run-now", "backfill"}
    unreadable = Service(database_url, permissions=CrudPermissions(read=False))
    async with serving(unreadable.app) as client:
        schedule = await created(client)
        assert (await client.get(f"{PATH}/{schedule['id']}/$next")).status_code in (404, 405)
        assert (await client.post(f"{PATH}/{schedule['id']}/$pause")).status_code == 200


async def test_system_and_health_tell_of_schedules(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        await created(client)
        await created(client, enabled=False)
        await created(client, trigger={"type": "once", "at": to_text(NOON + MINUTE)})
        await service.system.pass_time(MINUTE)
        section = (await client.get("/api/v1/system")).json()["schedules"]
        assert section == {
            "total": 3,
            "active": 1,
            "paused": 1,
            "held": 0,
            "finished": 1,
            "next_run_at": "2030-01-01T12:02:00.000000Z",
            "late_seconds": 0.0,
            "is_working": True,
        }
        assert (await client.get("/health")).json()["checks"]["schedules"]["state"] == "healthy"
        # The worker of the service sleeps, as nobody told it that the clock was put ahead.
        service.clock.moment += timedelta(minutes=3)
        late = (await client.get("/health")).json()["checks"]["schedules"]
        assert late["state"] == "degraded"
        assert late["message"].startswith("Since 2030-01-01T12:02:00.000000Z a schedule is due")
        service.app.state.services.get(ScheduleWorker).is_working = False
        stopped = (await client.get("/health")).json()["checks"]["schedules"]
        assert stopped["state"] == "degraded"
        assert "does not run" in stopped["message"]


async def test_a_handler_of_chapkit_itself_cannot_be_scheduled(database_url: str) -> None:
    service = Service(database_url, Note(), Double())
    async with serving(service.app) as client:
        answer = await client.post(PATH, json=body(arguments={"handler": "chapkit.ad-hoc"}))
        assert (answer.status_code, answer.json()["expected"]) == (422, ["note", "test.double"])
