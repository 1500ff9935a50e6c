from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.overview import JobCheck, check_jobs, describe_jobs
from chapkit.job.rows import JOBS, OWNERS
from tests.unit.job.parts import SteppedClock

pytestmark = pytest.mark.anyio
NOW = datetime(2030, 1, 1, tzinfo=UTC)


@pytest.fixture
def services(database: Database) -> Services:
    services = Services()
    services.add(Database, database)
    return services


async def add(services: Services, queue: str = "default", due_for: float = 1.0, **values: Any) -> ULID:
    row = {"id": ULID(), "handler": "h", "kind": "h", "queue": queue, "run_after": NOW - timedelta(seconds=due_for)}
    async with services.scope.write() as scope:
        await scope.session.execute(insert(JOBS).values({**row, **values}))
    return row["id"]


async def add_worker(services: Services, *queues: str, seen: float = 0.0) -> ULID:
    id = ULID()
    row = {"id": id, "host": "h1", "pid": 7, "lock": "l", "queues": list(queues), "slots": 4, "started_at": NOW}
    async with services.scope.write() as scope:
        await scope.session.execute(insert(OWNERS).values(**row, seen_at=NOW - timedelta(seconds=seen)))
    return id


async def described(services: Services, **settings: Any) -> dict[str, Any]:
    async with services.scope.read() as scope:
        return await describe_jobs(scope.session, NOW, **settings)


async def verdict(services: Services) -> tuple[str, str | None]:
    async with services.scope.read() as scope:
        return await check_jobs(scope.session, NOW)


async def test_an_empty_database_is_described(services: Services) -> None:
    assert await described(services) == {
        "waiting": 0,
        "running": 0,
        "oldest_waiting": None,
        "oldest_waiting_seconds": None,
        "queues": {},
        "workers": [],
    }


async def test_queues_are_told_apart_by_what_waits_for_a_worker_and_what_for_its_time(services: Services) -> None:
    worker = await add_worker(services, "default", seen=2.0)
    await add(services, due_for=5.0)
    await add(services, due_for=40.5)
    await add(services, due_for=-60.0)
    await add(services, status="running", owner=worker)
    await add(services, status="completed", due_for=1000.0, finished_at=NOW)
    await add(services, "gpu", due_for=-1.0)
    await add(services, "gpu", status="running", owner="gone")
    assert await described(services, limits={"waiting": 5}) == {
        "waiting": 4,
        "running": 2,
        "oldest_waiting": "2029-12-31T23:59:19.500000Z",
        "oldest_waiting_seconds": 40.5,
        "queues": {"default": {"due": 2, "later": 1, "running": 1}, "gpu": {"due": 0, "later": 1, "running": 1}},
        "workers": [
            {
                "id": str(worker),
                "host": "h1",
                "pid": 7,
                "queues": ["default"],
                "slots": 4,
                "started_at": "2030-01-01T00:00:00.000000Z",
                "seen_at": "2029-12-31T23:59:58.000000Z",
                "running": 1,
            }
        ],
        "limits": {"waiting": 5},
    }


async def test_a_queue_that_is_served_may_be_long(services: Services) -> None:
    await add_worker(services, "default", "gpu")
    for queue in ("default", "gpu"):
        await add(services, queue, due_for=10_000)
    assert await verdict(services) == ("healthy", None)


async def test_a_job_that_nobody_will_take_is_told_with_the_remedy(services: Services) -> None:
    await add_worker(services, "default")
    await add(services, due_for=1000)
    await add(services, "gpu", due_for=61)
    state, message = await verdict(services)
    assert state == "degraded"
    assert message == (
        "Since 2029-12-31T23:58:59.000000Z a job waits in the queue 'gpu', and no process takes jobs of that queue; "
        "start one: chapkit worker module:app --queues gpu"
    )


async def test_a_job_in_a_queue_that_was_taken_away_is_told_with_what_helps_there(services: Services) -> None:
    await add_worker(services, "default")
    await add(services, "gpu", due_for=61)
    state, message = await JobCheck(SteppedClock(), lambda: True, queues=("default",))(services)
    assert state == "degraded"
    assert message == (
        "Since 2029-12-31T23:58:59.000000Z a job waits in the queue 'gpu', and no process takes jobs of that queue; "
        "this service has it no longer: name it in with_jobs(queues={'gpu': None}) until its jobs are done, or cancel "
        "them"
    )
    # Another process may still have it, as in a rolling deployment.
    await add_worker(services, "gpu")
    assert await JobCheck(SteppedClock(), lambda: True, queues=("default",))(services) == ("healthy", None)


@pytest.mark.parametrize("due_for", [30.0, -1000.0])
async def test_a_job_that_does_not_wait_for_long_yet_is_no_reason_to_worry(services: Services, due_for: float) -> None:
    await add(services, due_for=due_for)
    assert await verdict(services) == ("healthy", None)


async def test_nothing_that_waits_is_no_reason_to_worry(services: Services) -> None:
    await add(services, status="running", owner="o")
    assert await verdict(services) == ("healthy", None)


async def test_a_process_that_shows_no_sign_of_life_serves_nothing(services: Services) -> None:
    await add_worker(services, "default", seen=120.0)
    await add(services, due_for=100)
    assert (await verdict(services))[0] == "degraded"


async def test_a_verdict_is_believed_for_a_second(services: Services) -> None:
    seconds = 0.0
    check = JobCheck(SteppedClock(), lambda: None, lambda: seconds)
    assert await check(services) == ("healthy", None)
    await add(services, due_for=100)
    seconds = 0.9
    assert await check(services) == ("healthy", None)
    seconds = 1.1
    assert (await check(services))[0] == "degraded"


async def test_an_engine_that_stands_still_is_told_at_once(services: Services) -> None:
    working: bool | None = True
    check = JobCheck(SteppedClock(), lambda: working)
    assert await check(services) == ("healthy", None)
    working = False
    state, message = await check(services)
    assert state == "unhealthy"
    assert message is not None
    assert "engine does not run" in message
