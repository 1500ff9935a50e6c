import asyncio

import pytest
from sqlalchemy import insert

from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.feature import JobFeature
from chapkit.job.models import Job
from chapkit.job.ports import JobHandler
from chapkit.job.service import JobService
from chapkit.ops.health import HealthFeature
from chapkit.ops.system import SystemFeature
from tests.serving import application, serving
from tests.unit.job.parts import Double, HandlersFeature, Held, JobSystem, Threaded, happens

pytestmark = pytest.mark.anyio


class Service:
    """A service with jobs, and what answers for it."""

    def __init__(self, url: str, *handlers: JobHandler) -> None:
        features = (JobFeature(shutdown_timeout=0.0), HealthFeature(), SystemFeature(), HandlersFeature(handlers))
        self.app = application(*features, url=url)

    @property
    def system(self) -> JobSystem:
        services: Services = self.app.state.services
        return JobSystem(services)


async def test_a_job_is_read_while_it_waits_and_when_it_has_ended(database_url: str) -> None:
    held, artifact = Held(), ULID()
    service = Service(database_url, held)
    async with serving(service.app) as client:
        job = await service.system.submit("test.held", artifact_id=artifact, labels={"kind": "train", "name": "first"})
        await happens(held.begun)
        body = (await client.get(f"/api/v1/jobs/{job.id}")).json()
        assert body["status"] == "running"
        assert body["artifact_id"] == artifact
        assert (body["kind"], body["name"], body["attempt"]) == ("train", "first", 1)
        assert body["finished_at"] is body["error"] is body["error_traceback"] is None
        held.go.set()
        body = (await client.get(f"/api/v1/jobs/{job.id}", params={"wait": 30})).json()
        assert body["status"] == "completed"
        assert body["finished_at"].endswith("Z")


async def test_an_unknown_job_is_a_problem(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        for method, path in (
            ("GET", ""),
            ("DELETE", ""),
            ("POST", "/$cancel"),
            ("GET", "/$events"),
            ("GET", "/$stream"),
        ):
            missing = await client.request(method, f"/api/v1/jobs/{ULID()}{path}")
            assert (missing.status_code, missing.json()["code"]) == (404, "job-not-found")
            malformed = await client.request(method, f"/api/v1/jobs/nonsense{path}")
            assert (malformed.status_code, malformed.json()["code"]) == (400, "invalid-ulid")
            assert malformed.headers["content-type"] == "application/problem+json"


async def test_jobs_are_listed_newest_first_with_filters_and_pages(database_url: str) -> None:
    service = Service(database_url, Double())
    async with serving(service.app) as client:
        train = await service.system.submit("test.double", {"value": 1}, labels={"kind": "train"})
        failing = await service.system.submit("test.double", labels={"kind": "predict"})
        for job in (train, failing):
            await service.system.finished(job.id)

        async def listed(**params: str | int) -> list[str]:
            answer = await client.get("/api/v1/jobs", params=params)
            assert answer.status_code == 200
            return [item["id"] for item in answer.json()]

        assert await listed() == [failing.id, train.id]
        assert await listed(status_filter="completed") == [train.id]
        assert await listed(kind="predict") == [failing.id]
        assert await listed(kind="predict", status_filter="completed") == []
        assert await listed(limit=1) == [failing.id]
        page = (await client.get("/api/v1/jobs", params={"page": 2, "size": 1})).json()
        assert [item["id"] for item in page.pop("items")] == [train.id]
        assert page == {"total": 2, "page": 2, "size": 1, "pages": 2}
        assert (await client.get("/api/v1/jobs", params={"size": 5})).json()["total"] == 2
        for wrong in ({"status_filter": "done"}, {"limit": 0}, {"page": 0}, {"size": 0}):
            assert (await client.get("/api/v1/jobs", params=wrong)).status_code == 422


async def test_a_list_that_has_not_changed_is_not_sent_again(database_url: str) -> None:
    service = Service(database_url, Double())
    async with serving(service.app) as client:
        first = await client.get("/api/v1/jobs")
        again = await client.get("/api/v1/jobs", headers={"If-None-Match": first.headers["etag"]})
        assert again.status_code == 304


async def test_schema_and_numbers(database_url: str) -> None:
    service = Service(database_url, Double())
    async with serving(service.app) as client:
        job = await service.system.submit("test.double", {"value": 1})
        await service.system.completed(job.id)
        schema = (await client.get("/api/v1/jobs/$schema")).json()
        assert schema["type"] == "array"
        assert schema["items"] == {"$ref": "#/$defs/JobRecord"}
        assert "artifact_id" in schema["$defs"]["JobRecord"]["properties"]
        stats = (await client.get("/api/v1/jobs/$stats")).json()
        assert stats == {
            "total": 1,
            "by_status": {"pending": 0, "running": 0, "completed": 1, "failed": 0, "canceled": 0},
        }


async def test_a_failed_job_says_why_but_shows_no_traceback(database_url: str) -> None:
    service = Service(database_url, Double())
    async with serving(service.app) as client:
        job = await service.system.submit("test.double")
        await service.system.finished(job.id)
        body = (await client.get(f"/api/v1/jobs/{job.id}")).json()
        assert (body["status"], body["error"], body["error_code"]) == ("failed", "KeyError: 'value'", "job-failed")
        assert body["error_traceback"] is None


async def test_canceling_over_http(database_url: str) -> None:
    threaded = Threaded()
    service = Service(database_url, threaded)
    async with serving(service.app) as client:
        job = await service.system.submit("test.threaded")
        await happens(threaded.begun)
        asked = await client.post(f"/api/v1/jobs/{job.id}/$cancel")
        assert (asked.status_code, asked.json()["status"]) == (200, "running")
        threaded.go.set()
        ended = await client.get(f"/api/v1/jobs/{job.id}", params={"wait": 30})
        assert ended.json()["status"] == "canceled"
        late = await client.post(f"/api/v1/jobs/{job.id}/$cancel")
        assert (late.status_code, late.json()["code"]) == (409, "job-finished")


async def test_deleting_over_http_stops_the_job_first(database_url: str) -> None:
    held = Held()
    service = Service(database_url, held)
    async with serving(service.app) as client:
        job = await service.system.submit("test.held")
        await happens(held.begun)
        assert (await client.delete(f"/api/v1/jobs/{job.id}")).status_code == 204
        assert (await client.get(f"/api/v1/jobs/{job.id}")).status_code == 404


async def test_waiting_for_a_job_holds_up_nobody(database_url: str) -> None:
    held = Held()
    service = Service(database_url, held)
    async with serving(service.app) as client:
        job = await service.system.submit("test.held")
        waiting = asyncio.create_task(client.get(f"/api/v1/jobs/{job.id}", params={"wait": 60}))
        await happens(held.begun)
        assert (await service.system.submit("test.held")).status == "pending"
        assert (await client.get("/api/v1/jobs")).status_code == 200
        held.go.set()
        assert (await waiting).json()["status"] == "completed"
        for wrong in (-1, 61):
            assert (await client.get(f"/api/v1/jobs/{job.id}", params={"wait": wrong})).status_code == 422


async def test_health_and_system_tell_of_the_jobs(database_url: str) -> None:
    held = Held()
    service = Service(database_url, held)
    async with serving(service.app) as client:
        await service.system.submit("test.held")
        await happens(held.begun)
        health = await client.get("/health")
        assert (health.status_code, health.json()["checks"]["jobs"]["state"]) == (200, "healthy")
        jobs = (await client.get("/api/v1/system")).json()["jobs"]
        assert (jobs["waiting"], jobs["running"], jobs["running_here"], jobs["slots_here"]) == (0, 1, 1, 4)
        assert jobs["queues"] == {"default": {"due": 0, "later": 0, "running": 1}}
        [worker] = jobs["workers"]
        assert (worker["queues"], worker["slots"], worker["running"]) == (["default"], 4, 1)


async def test_the_same_application_can_be_started_twice(database_url: str) -> None:
    service = Service(database_url, Double())
    for _ in range(2):
        async with serving(service.app):
            job = await service.system.submit("test.double", {"value": 1})
            await service.system.completed(job.id)


async def test_jobs_of_the_application_itself(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        jobs = service.app.state.services.get(JobService)
        job = await jobs.add_job(sum, [1, 2])
        await jobs.wait(job, 10)
        body = (await client.get(f"/api/v1/jobs/{job}")).json()
        assert (body["kind"], body["name"], body["status"]) == ("function", "sum", "completed")


async def test_an_operation_that_is_not_there_is_said_so(database_url: str) -> None:
    async with serving(Service(database_url).app) as client:
        problem = (await client.get("/api/v1/jobs/$nonsense")).json()
        assert (problem["status"], problem["code"], problem["found"]) == (404, "operation-unknown", "$nonsense")


async def test_a_list_of_very_many_jobs_is_whole(database_url: str) -> None:
    service = Service(database_url)
    async with serving(service.app) as client:
        rows = [{"id": ULID(), "handler": "test.gone", "kind": "test.gone", "status": "completed"} for _ in range(1100)]
        async with service.system.services.scope.write() as scope:
            await scope.session.execute(insert(Job), rows)
        listed = (await client.get("/api/v1/jobs")).json()
        assert [job["id"] for job in listed] == sorted((row["id"] for row in rows), reverse=True)


async def test_a_kind_that_not_every_database_can_look_for_is_refused(database_url: str) -> None:
    async with serving(Service(database_url).app) as client:
        for pages in ({}, {"page": 1}):
            answer = await client.get("/api/v1/jobs", params={"kind": "a\x00", **pages})
            assert (answer.status_code, answer.json()["code"]) == (422, "request-invalid")
        assert (await client.get("/api/v1/jobs", params={"kind": "ä"})).json() == []
