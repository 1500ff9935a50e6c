"""Kept results: equal calls share one artifact, one run, and survive what the service goes through."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.job import JobReferences
from chapkit.job.feature import JobFeature
from chapkit.task import Cache, Registry
from tests.service.task_calls import TASKS, TaskCalls, builder, calling, service

pytestmark = pytest.mark.anyio

PATIENCE = 20.0


class Body:
    """Counts its calls and waits, if it is told to, until the test lets it go."""

    def __init__(self) -> None:
        self.calls = 0
        self.fails = 0
        self.begun = threading.Event()
        self.go = threading.Event()
        self.go.set()

    def __call__(self, place: str, year: int = 2024, verbose: bool = False) -> dict[str, Any]:
        self.calls += 1
        self.begun.set()
        assert self.go.wait(PATIENCE)
        if self.calls <= self.fails:
            raise OSError("no connection")
        return {"place": place, "call": self.calls}


class Watch:
    """A clock that a test can put forward."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@pytest.fixture
def body() -> Iterator[Body]:
    body = Body()
    yield body
    body.go.set()


def registry(body: Callable[..., Any], **options: Any) -> Registry:
    made = Registry()
    made.register_function("f", body, cache=Cache(**options))
    return made


@pytest.fixture
async def calls(database_url: str, body: Body) -> AsyncIterator[TaskCalls]:
    app = service(registry(body, ttl="1h", tags=["climate", "Climate-2"]), database_url)
    async with calling(app) as calls:
        yield calls


async def executed(calls: TaskCalls, task: dict[str, Any], **parameters: Any) -> dict[str, Any]:
    """Execute and return the answer to it, with `job` as it ended."""
    answer = await calls.execute(task["id"], {"parameters": parameters})
    assert answer.status_code == 202, answer.text
    accepted: dict[str, Any] = answer.json()
    return {**accepted, "job": await calls.finished(accepted["job_id"])}


async def stats(calls: TaskCalls) -> dict[str, Any]:
    found: dict[str, Any] = (await calls.client.get(f"{TASKS}/$cache")).json()
    return found


async def test_an_equal_call_gets_the_same_artifact_without_a_run(calls: TaskCalls, body: Body) -> None:
    task = await calls.create("f", parameters={"place": "Bokeo"})
    first = await executed(calls, task)
    assert (first["cache"], first["artifact_id"], first["job"]["attempt"]) == ("miss", None, 1)
    answer = await calls.execute(task["id"])
    hit = answer.json()
    assert (hit["cache"], hit["artifact_id"]) == ("hit", first["job"]["artifact_id"])
    job = (await calls.client.get(f"/api/v1/jobs/{hit['job_id']}")).json()
    assert (job["status"], job["attempt"], job["artifact_id"]) == ("completed", 0, hit["artifact_id"])
    assert (job["kind"], job["name"], job["progress"]) == ("task", "f", 1.0)
    assert job["started_at"] == job["finished_at"] == job["submitted_at"]
    events = (await calls.client.get(f"/api/v1/jobs/{hit['job_id']}/$events")).json()
    assert [event["data"]["status"] for event in events] == ["completed"]
    assert body.calls == 1


async def test_who_waits_gets_a_kept_result_at_once(calls: TaskCalls, body: Body) -> None:
    task = await calls.create("f", parameters={"place": "Bokeo"})
    answers = [await calls.execute(task["id"], Prefer="wait=30") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json() == answers[1].json()
    assert answers[0].headers["x-job-id"] != answers[1].headers["x-job-id"]


async def test_a_queue_that_is_not_there_is_refused_whether_a_result_is_kept_or_not(
    calls: TaskCalls,
) -> None:
    task = (await calls.create("f", parameters={"place": "Bokeo"}))["id"]
    elsewhere = {"job": {"queue": "absent"}}
    refused = await calls.execute(task, elsewhere)
    await calls.run(task)
    again = await calls.execute(task, elsewhere)
    assert [(each.status_code, each.json()["code"]) for each in (refused, again)] == [(422, "job-queue-unknown")] * 2


async def test_defaults_that_are_written_out_make_an_equal_call(calls: TaskCalls, body: Body) -> None:
    first = await calls.create("f", parameters={"place": "Bokeo"})
    second = await calls.create("f", parameters={"year": 2024, "verbose": False, "place": "Bokeo"})
    assert (await executed(calls, first))["cache"] == "miss"
    assert (await executed(calls, second))["cache"] == "hit"
    assert (await executed(calls, second, year=2023))["cache"] == "miss"
    assert body.calls == 2


async def test_equal_calls_at_once_run_the_body_once(calls: TaskCalls, body: Body) -> None:
    body.go.clear()
    task = await calls.create("f", parameters={"place": "Bokeo"})
    accepted = [await calls.execute(task["id"]) for _ in range(12)]
    assert await asyncio.to_thread(body.begun.wait, PATIENCE)
    body.go.set()
    jobs = [await calls.finished(answer.json()["job_id"]) for answer in accepted]
    assert {job["status"] for job in jobs} == {"completed"}
    assert (body.calls, len({job["artifact_id"] for job in jobs})) == (1, 1)
    counts = await stats(calls)
    assert (counts["hits"], counts["misses"], counts["stale"], counts["results"]) == (11, 1, 0, 1)


async def test_two_processes_run_the_body_once_too(database_url: str, body: Body) -> None:
    body.go.clear()
    apps = [service(registry(body), database_url) for _ in range(2)]
    async with calling(apps[0]) as here, calling(apps[1]) as there:
        task = await here.create("f", parameters={"place": "Bokeo"})
        accepted = [await calls.execute(task["id"]) for _ in range(5) for calls in (here, there)]
        assert await asyncio.to_thread(body.begun.wait, PATIENCE)
        body.go.set()
        jobs = [await here.finished(answer.json()["job_id"]) for answer in accepted]
        assert (body.calls, len({job["artifact_id"] for job in jobs})) == (1, 1)


async def test_the_job_of_a_hit_need_not_be_kept_for_the_artifact(database_url: str, body: Body) -> None:
    app = service(registry(body), database_url)
    async with calling(app) as calls:
        task = await calls.create("f", parameters={"place": "Bokeo"})
        ids = [ULID((await executed(calls, task))["job_id"]) for _ in range(2)]
        services = app.state.services
        async with services.scope.read() as scope:
            assert await services.get(JobReferences).among(scope.session, ids) == {ids[0]}


async def test_nor_need_the_jobs_that_had_to_wait_for_the_first_of_them(database_url: str, body: Body) -> None:
    body.go.clear()
    app = service(registry(body), database_url)
    async with calling(app) as calls:
        task = await calls.create("f", parameters={"place": "Bokeo"})
        ids = [ULID((await calls.execute(task["id"])).json()["job_id"]) for _ in range(3)]
        body.go.set()
        jobs = [await calls.finished(str(id)) for id in ids]
        assert [job["attempt"] for job in jobs] == [1, 1, 1]
        services = app.state.services
        async with services.scope.read() as scope:
            assert await services.get(JobReferences).among(scope.session, ids) == {ids[0]}


async def test_a_job_stays_for_what_any_of_its_runs_has_left(database_url: str, body: Body) -> None:
    body.fails = 3
    app = service(registry(body), database_url)
    async with calling(app) as calls:
        services = app.state.services

        async def is_needed() -> bool:
            async with services.scope.read() as scope:
                return bool(await services.get(JobReferences).among(scope.session, [ULID(job["id"])]))

        task = await calls.create("f", parameters={"place": "Bokeo"})
        job = (await executed(calls, task))["job"]
        artifacts = [job["artifact_id"]]
        for _ in range(2):
            await calls.client.post(f"/api/v1/jobs/{job['id']}/$retry")
            artifacts.append((await calls.finished(job["id"]))["artifact_id"])
        assert len(set(artifacts)) == 3
        for artifact in reversed(artifacts):
            assert await is_needed()
            assert (await calls.client.delete(f"/api/v1/artifacts/{artifact}")).status_code == 204
        assert not await is_needed()


async def test_a_failure_is_not_kept_and_the_next_call_runs_the_body(calls: TaskCalls, body: Body) -> None:
    body.fails = 1
    task = await calls.create("f", parameters={"place": "Bokeo"})
    failed = await executed(calls, task)
    assert failed["job"]["status"] == "failed"
    assert (await calls.artifact(failed["job"]))["content"]["error"]["type"] == "OSError"
    again = await executed(calls, task)
    assert (again["cache"], again["job"]["status"], body.calls) == ("miss", "completed", 2)
    retried = await calls.client.post(f"/api/v1/jobs/{failed['job_id']}/$retry")
    assert retried.status_code == 202
    job = await calls.finished(failed["job_id"])
    assert (job["status"], job["artifact_id"], body.calls) == ("completed", again["job"]["artifact_id"], 2)


async def test_results_survive_a_restart_and_their_counts_too(database_url: str, body: Body) -> None:
    async with calling(service(registry(body), database_url)) as calls:
        task = await calls.create("f", parameters={"place": "Bokeo"})
        first = await executed(calls, task)
        await executed(calls, task)
    async with calling(service(registry(body), database_url)) as calls:
        hit = await executed(calls, task)
        assert (hit["cache"], hit["artifact_id"]) == ("hit", first["job"]["artifact_id"])
        found = await stats(calls)
        assert (found["hits"], found["misses"], found["results"]) == (2, 1, 1)
        assert found["functions"] == [{"function": "f", "results": 1, "hits": 2, "misses": 1, "stale": 0}]
        assert found["oldest"] is not None
        assert (await calls.client.get("/api/v1/system")).json()["tasks"]["cache"]["hits"] == 2


async def test_another_version_of_the_function_is_another_call(database_url: str) -> None:
    def one(place: str) -> int:
        return 1

    def two(place: str) -> int:
        return 2

    async with calling(service(registry(one), database_url)) as calls:
        task = await calls.create("f", parameters={"place": "Bokeo"})
        await executed(calls, task)
    async with calling(service(registry(two), database_url)) as calls:
        job = (await executed(calls, task))["job"]
        assert (await calls.artifact(job))["content"]["result"] == 2


async def test_an_expired_result_is_stale_and_made_anew(database_url: str, body: Body) -> None:
    watch = Watch()
    made = builder(registry(body, ttl="1h"), database_url).with_feature(JobFeature(clock=watch))
    async with calling(made.build()) as calls:
        task = await calls.create("f", parameters={"place": "Bokeo"})
        first = await executed(calls, task)
        watch.ahead = timedelta(minutes=59)
        assert (await executed(calls, task))["cache"] == "hit"
        watch.ahead = timedelta(minutes=61)
        assert (await stats(calls))["results"] == 0
        anew = await executed(calls, task)
        assert (anew["cache"], anew["job"]["artifact_id"] != first["job"]["artifact_id"]) == ("miss", True)
        assert (await executed(calls, task))["artifact_id"] == anew["job"]["artifact_id"]
        found = await stats(calls)
        assert (found["hits"], found["misses"], found["stale"], found["results"]) == (2, 2, 1, 1)
        assert (await calls.artifact(first["job"]))["content"]["result"]["call"] == 1


async def test_a_deleted_artifact_is_no_result_any_more(calls: TaskCalls, body: Body) -> None:
    task = await calls.create("f", parameters={"place": "Bokeo"})
    first = await executed(calls, task)
    await calls.client.delete(f"/api/v1/artifacts/{first['job']['artifact_id']}")
    assert (await executed(calls, task))["cache"] == "miss"
    assert body.calls == 2


async def invalidated(calls: TaskCalls, **wanted: Any) -> httpx.Response:
    return await calls.client.post(f"{TASKS}/$invalidate", json=wanted)


@pytest.mark.parametrize(
    "wanted",
    [{"tag": "climate"}, {"tag": "Climate-2"}, {"function": "f"}, {"all": True}],
    ids=lambda wanted: str(wanted),
)
async def test_results_are_dropped_on_request(calls: TaskCalls, body: Body, wanted: dict[str, Any]) -> None:
    task = await calls.create("f", parameters={"place": "Bokeo"})
    await executed(calls, task)
    for other in ({"tag": "Climate"}, {"tag": "clim%"}, {"function": "g"}, {"key": "0" * 64}):
        assert (await invalidated(calls, **other)).json() == {"dropped": 0}
    assert (await invalidated(calls, **wanted)).json() == {"dropped": 1}
    assert (await executed(calls, task))["cache"] == "miss"


@pytest.mark.parametrize("wanted", [{}, {"all": False}, {"tag": "a", "function": "f"}])
async def test_what_is_dropped_has_to_be_said_with_one_member(calls: TaskCalls, wanted: dict[str, Any]) -> None:
    answer = await invalidated(calls, **wanted)
    assert (answer.status_code, answer.json()["code"]) == (422, "cache-criterion-invalid")


async def test_a_repeated_request_gets_its_first_job_whether_that_was_a_hit_or_not(calls: TaskCalls) -> None:
    task = await calls.create("f", parameters={"place": "Bokeo"})
    miss = (await calls.execute(task["id"], Idempotency_Key="a")).json()
    await calls.finished(miss["job_id"])
    again = (await calls.execute(task["id"], Idempotency_Key="a")).json()
    assert again["job_id"] == miss["job_id"]
    hit = (await calls.execute(task["id"], Idempotency_Key="b")).json()
    await invalidated(calls, all=True)
    assert (await calls.execute(task["id"], Idempotency_Key="b")).json()["job_id"] == hit["job_id"]
    other = await calls.execute(task["id"], {"parameters": {"year": 1}}, Idempotency_Key="b")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency-key-reused")


async def test_only_the_named_parameters_decide(database_url: str, body: Body) -> None:
    async with calling(service(registry(body, key=["place", "year"]), database_url)) as calls:
        task = await calls.create("f", parameters={"place": "Bokeo"})
        await executed(calls, task)
        assert (await executed(calls, task, verbose=True))["cache"] == "hit"
        assert (await executed(calls, task, place="Attapeu"))["cache"] == "miss"


async def test_a_cached_function_says_how_its_results_are_kept(calls: TaskCalls) -> None:
    [function] = (await calls.client.get(f"{TASKS}/$functions")).json()
    assert function["cache"] == {"ttl": 3600.0, "key": None, "tags": ["climate", "Climate-2"]}


@pytest.mark.parametrize("cache", ["1h", Cache(key=["plaec"])], ids=["text", "key"])
def test_a_cache_that_makes_no_sense_fails_the_build(cache: Any) -> None:
    def f(place: str) -> None:
        """Nothing."""

    made = Registry()
    made.register_function("f", f, cache=cache)
    with pytest.raises(ConfigurationError, match=r"test_tasks_cache\.py") as caught:
        service(made)
    assert caught.value.code == "cache-invalid"
