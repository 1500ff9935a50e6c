"""What functions of tasks may ask for, and what becomes of it."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit import BaseConfig
from chapkit.artifact.manager import ArtifactManager
from chapkit.config.manager import ConfigManager
from chapkit.config.schemas import ConfigIn
from chapkit.core.clock import Clock
from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.core.settings import Environment
from chapkit.job import JobContext, JobService, RunningJob
from chapkit.task import Registry, Task, TaskManager
from tests.service.task_calls import TASKS, builder, calling

pytestmark = pytest.mark.anyio


class Rain(BaseConfig):
    unit: str = "mm"


class Wind(BaseConfig):
    scale: str = "Beaufort"


class Station:
    def __init__(self, name: str) -> None:
        self.name = name


class Tariff:
    """Made once."""


registry = Registry()
seen: list[str] = []
kept: list[AsyncSession] = []


@registry.register("count")
async def count(session: AsyncSession) -> int:
    session.add(Task(command="written by a function", enabled=False))
    await session.flush()
    return await session.scalar(select(func.count()).select_from(Task)) or 0


@registry.register("use-what-was-kept")
async def use_what_was_kept(session: AsyncSession) -> str:
    if not kept:
        kept.append(session)
        await session.execute(select(func.count()).select_from(Task))
        return "kept"
    try:
        await kept.pop().execute(select(func.count()).select_from(Task))
    except InvalidRequestError as error:
        return str(error)
    return "used"


@registry.register("write-and-wait")
async def write_and_wait(session: AsyncSession) -> None:
    session.add(Task(command="never kept", enabled=False))
    await session.flush()
    seen.append("writes")
    await asyncio.Event().wait()


@registry.register("write-and-fail")
async def write_and_fail(session: AsyncSession) -> None:
    session.add(Task(command="never kept", enabled=False))
    await session.flush()
    raise ValueError("changed my mind")


@registry.register("store")
async def store(artifacts: ArtifactManager, scope: Scope, text: str) -> str:
    assert scope.session is artifacts.session
    return (await artifacts.store({"text": text})).id


@registry.register("configure")
async def configure(rain: ConfigManager[Rain], wind: ConfigManager[Wind]) -> list[str]:
    await rain.save(ConfigIn(name="r", data=Rain()))
    await wind.save(ConfigIn(name="w", data=Wind()))
    return [(await rain.find_all())[0].data.unit, (await wind.find_all())[0].data.scale]


@registry.register("submit")
async def submit(tasks: TaskManager, jobs: JobService, task_id: ULID) -> list[str]:
    job_id = await tasks.execute_task(task_id)
    return [job_id, str((await jobs.stats()).total)]


@registry.register("plain")
def plain(
    services: Services, clock: Clock, environment: Environment, database: Database, job: RunningJob, n: int = 1
) -> list[bool]:
    job.progress(0.5, "half")
    return [services.find(Tariff) is None, clock.now().tzinfo is not None, environment.text("NOWHERE") is None]


@registry.register("context")
async def context(context: JobContext, session: AsyncSession | None = None) -> list[Any]:
    return [context.job_id, context.attempt, session is not None]


@registry.register("own")
def own(station: Station, tariff: Tariff) -> list[Any]:
    seen.append("used")
    return [station.name, id(tariff)]


def open_station(scope: Scope) -> Generator[Station]:
    seen.append("opened")
    yield Station("Attapeu")
    seen.append("closed")


async def make_tariff() -> AsyncGenerator[Tariff]:
    yield Tariff()
    seen.append("tariff closed")


def app(url: str, registry: Registry = registry) -> Any:
    return (
        builder(registry, url)
        .with_config(Rain)
        .with_config(Wind, name="wind", prefix="/api/v1/winds")
        .provide(Station, open_station)
        .provide(Tariff, make_tariff, scope="app")
        .build()
    )


async def test_a_session_commits_when_the_function_returns_and_not_when_it_raises(database_url: str) -> None:
    async with calling(app(database_url)) as calls:
        assert await calls.result("count") == 2
        job = await calls.run((await calls.create("write-and-fail"))["id"])
        assert (await calls.artifact(job))["content"]["error"]["type"] == "ValueError"
        stored = (await calls.client.get(TASKS, params={"enabled": False})).json()
        assert [item["command"] for item in stored] == ["written by a function"]


async def test_a_session_cannot_be_used_when_its_run_is_over(database_url: str) -> None:
    kept.clear()
    async with calling(app(database_url)) as calls:
        assert await calls.result("use-what-was-kept") == "kept"
        assert "closed" in await calls.result("use-what-was-kept")


@pytest.mark.parametrize("method", ["POST", "DELETE"])
async def test_a_function_that_holds_the_only_lock_can_be_stopped(database_url: str, method: str) -> None:
    seen.clear()
    async with calling(app(database_url)) as calls:
        task = await calls.create("write-and-wait")
        path = f"/api/v1/jobs/{(await calls.execute(task['id'])).json()['job_id']}"
        async with asyncio.timeout(20):
            while not seen:
                await asyncio.sleep(0.01)
        answer = await calls.client.request(method, f"{path}/$cancel" if method == "POST" else path)
        assert answer.status_code in {200, 202, 204}, answer.text
        if method == "POST":
            assert (await calls.finished(path.rpartition("/")[2]))["status"] == "canceled"
        assert (await calls.client.get(TASKS, params={"enabled": False})).json() == []


async def test_managers_work_in_the_unit_of_work_of_the_run(database_url: str) -> None:
    async with calling(app(database_url)) as calls:
        artifact_id = await calls.result("store", {"text": "x" * 100_000})
        stored = (await calls.client.get(f"/api/v1/artifacts/{artifact_id}")).json()
        assert stored["data"]["content"] == {"text": "x" * 100_000}
        assert await calls.result("configure") == ["mm", "Beaufort"]
        assert [item["name"] for item in (await calls.client.get("/api/v1/winds")).json()] == ["w"]


async def test_a_function_may_execute_another_task(database_url: str) -> None:
    async with calling(app(database_url)) as calls:
        other = await calls.create("plain")
        job_id, total = await calls.result("submit", {"task_id": other["id"]})
        assert (await calls.finished(job_id))["status"] == "completed"
        assert int(total) >= 1


async def test_plain_functions_get_what_needs_no_event_loop(database_url: str) -> None:
    async with calling(app(database_url)) as calls:
        assert await calls.result("plain") == [True, True, True]
        job_id, attempt, has_session = await calls.result("context")
        assert (len(job_id), attempt, has_session) == (26, 1, True)


async def test_what_a_user_provides_is_made_and_closed(database_url: str) -> None:
    seen.clear()
    async with calling(app(database_url)) as calls:
        first, second = await calls.result("own"), await calls.result("own")
        assert (first, seen) == (second, ["opened", "used", "closed"] * 2)
    assert seen[-1] == "tariff closed"


async def test_the_types_of_what_is_brought_are_listed_and_cannot_be_sent(database_url: str) -> None:
    async with calling(app(database_url)) as calls:
        functions = {item["name"]: item for item in (await calls.client.get(f"{TASKS}/$functions")).json()}
        assert functions["own"]["injected"] == {
            "station": "tests.service.test_tasks_injection.Station",
            "tariff": "tests.service.test_tasks_injection.Tariff",
        }
        assert set(functions["plain"]["parameters"]["properties"]) == {"n"}
        body = {"command": "own", "task_type": "python", "parameters": {"station": "x"}}
        answer = await calls.client.post(TASKS, json=body)
        assert (answer.status_code, answer.json()["errors"][0]["type"]) == (422, "parameter_injected")


def test_a_parameter_that_nobody_brings_fails_the_build() -> None:
    lacking = Registry()
    lacking.register_function("own", own)
    with pytest.raises(
        ConfigurationError, match=r"'station'.*test_tasks_injection\.py:\d+.*provide\(Station"
    ) as caught:
        builder(lacking).build()
    assert caught.value.code == "provider-missing"


def test_a_provider_that_lacks_something_itself_fails_the_build() -> None:
    def make(station: Station) -> Tariff:
        return Tariff()

    with pytest.raises(ConfigurationError, match="Station"):
        builder(Registry()).provide(Tariff, make).build()


async def test_nothing_can_be_provided_to_a_service_without_tasks() -> None:
    from chapkit.api import ServiceBuilder, ServiceInfo

    plain = ServiceBuilder(info=ServiceInfo(display_name="Plain")).provide(Tariff, make_tariff)
    with pytest.raises(ConfigurationError, match="with_tasks"):
        plain.build()
