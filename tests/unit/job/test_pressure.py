import asyncio
from typing import Any

import pytest
from sqlalchemy import insert, update
from starlette.requests import Request

from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError, TooManyRequestsError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.job.pressure import RETRY_AFTER, QueueFullError, QueuePressure
from chapkit.job.rows import JOBS
from chapkit.web.problems import problem_of

pytestmark = pytest.mark.anyio


class Watch:
    """A time that stands still until it is moved."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def services(database: Database) -> Services:
    services = Services()
    services.add(Database, database)
    return services


async def insert_jobs(scope: Scope, number: int, queue: str = "default") -> None:
    rows = [{"id": ULID(), "handler": "h", "kind": "h", "queue": queue} for _ in range(number)]
    await scope.session.execute(insert(JOBS), rows)


async def submit(services: Services, pressure: QueuePressure, number: int = 1, queue: str = "default") -> None:
    async with services.scope.write() as scope:
        await pressure.check(scope.session, queue, number)
        await insert_jobs(scope, number, queue)


async def start(services: Services, number: int) -> None:
    """Let waiting jobs run."""
    async with services.scope.write() as scope:
        waiting = JOBS.select().with_only_columns(JOBS.c.id).where(JOBS.c.status == "pending").limit(number)
        await scope.session.execute(
            update(JOBS).where(JOBS.c.id.in_((await scope.session.scalars(waiting)).all())).values(status="running")
        )


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the queues that were counted."""
    queues: list[str] = []
    count = QueuePressure._count

    async def spy(self: QueuePressure, session: Any, queue: str, state: Any) -> None:
        queues.append(queue)
        await count(self, session, queue, state)

    monkeypatch.setattr(QueuePressure, "_count", spy)
    return queues


async def test_the_job_beyond_the_limit_is_refused(services: Services) -> None:
    pressure = QueuePressure(5)
    for _ in range(5):
        await submit(services, pressure)
    with pytest.raises(QueueFullError) as raised:
        await submit(services, pressure)
    assert raised.value.code == "queue-full"
    assert raised.value.extensions == {"retry_after": RETRY_AFTER, "queue": "default", "length": 5, "limit": 5}
    assert raised.value.detail == "5 jobs wait in the queue 'default', which takes 5; try again in 5 s"


async def test_a_refusal_is_a_problem_that_says_when_to_come_back() -> None:
    answer = problem_of(QueueFullError("gpu", 7, 5, 12))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "12")
    later = problem_of(UnavailableError(), Request({"type": "http", "path": "/", "headers": [], "state": {}}))
    assert later.headers["Retry-After"] == "1"
    assert TooManyRequestsError("slowly").retry_after == 1


async def test_without_a_limit_nothing_is_counted(services: Services, counted: list[str]) -> None:
    await submit(services, QueuePressure(), 1000)
    assert counted == []


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_that_takes_nothing_is_refused(limit: int) -> None:
    with pytest.raises(ConfigurationError) as raised:
        QueuePressure(limit)
    assert raised.value.code == "queue-limit-invalid"


async def test_a_job_that_has_started_makes_room_at_once(services: Services) -> None:
    pressure = QueuePressure(3)
    await submit(services, pressure, 3)
    await start(services, 1)
    await submit(services, pressure)
    with pytest.raises(QueueFullError):
        await submit(services, pressure)


async def test_each_queue_has_its_own_limit(services: Services) -> None:
    pressure = QueuePressure(2)
    await submit(services, pressure, 2, "slow")
    await submit(services, pressure, 2, "quick")
    for queue in ("slow", "quick"):
        with pytest.raises(QueueFullError):
            await submit(services, pressure, 1, queue)


async def test_several_jobs_at_once_are_taken_whole_or_not_at_all(services: Services) -> None:
    pressure = QueuePressure(5)
    await submit(services, pressure, 3)
    with pytest.raises(QueueFullError):
        await submit(services, pressure, 3)
    await submit(services, pressure, 2)


async def test_jobs_of_one_transaction_count_for_each_other(services: Services) -> None:
    pressure = QueuePressure(3)
    async with services.scope.write() as scope:
        for _ in range(3):
            await pressure.check(scope.session, "default")
            await insert_jobs(scope, 1)
        with pytest.raises(QueueFullError) as raised:
            await pressure.check(scope.session, "default")
    assert raised.value.extensions["length"] == 3


async def test_many_at_once_do_not_exceed_the_limit(services: Services) -> None:
    pressure = QueuePressure(5)
    results = await asyncio.gather(*(submit(services, pressure) for _ in range(20)), return_exceptions=True)
    assert sum(isinstance(result, QueueFullError) for result in results) == 20 - results.count(None)
    assert results.count(None) <= 5
    # Whoever was refused because others had not ended yet finds the room that is left.
    for _ in range(5 - results.count(None)):
        await submit(services, pressure)
    with pytest.raises(QueueFullError):
        await submit(services, pressure)


async def test_what_another_transaction_is_about_to_add_counts(services: Services) -> None:
    if services.get(Database).dialect == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    pressure = QueuePressure(2)
    async with services.scope.write() as first:
        await pressure.check(first.session, "default", 2)
        await insert_jobs(first, 2)
        with pytest.raises(QueueFullError):
            await submit(services, pressure)


async def test_who_is_admitted_while_others_are_counted_is_in_the_count(services: Services) -> None:
    pressure = QueuePressure(2)
    async with services.scope.write() as scope:
        await pressure.check(scope.session, "default")
        state = pressure._queues["default"]
        counting = scope.session.scalar

        async def scalar(statement: Any) -> Any:
            found = await counting(statement)
            state.admitted += 2
            return found

        scope.session.scalar = scalar  # type: ignore[method-assign]  # the count takes a while
        state.counted_at = float("-inf")
        with pytest.raises(QueueFullError):
            await pressure.check(scope.session, "default")


async def test_jobs_of_a_transaction_that_failed_leave_their_room(services: Services) -> None:
    pressure = QueuePressure(2)

    async def fail() -> None:
        async with services.scope.write() as scope:
            await pressure.check(scope.session, "default", 2)
            await insert_jobs(scope, 2)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await submit(services, pressure, 2)


async def test_the_queue_is_counted_only_when_that_matters(services: Services, counted: list[str]) -> None:
    watch = Watch()
    pressure = QueuePressure(10, now=watch)
    for _ in range(10):
        await submit(services, pressure)
    assert counted == ["default"]
    watch.seconds += 1.5
    await start(services, 5)
    await submit(services, pressure)
    assert len(counted) == 2
    # It is not known that jobs have started since, so the limit seems near.
    await start(services, 5)
    for _ in range(5):
        await submit(services, pressure)
    assert len(counted) == 3


async def test_jobs_of_other_processes_are_noticed_a_moment_later(services: Services) -> None:
    watch = Watch()
    pressure = QueuePressure(5, now=watch)
    await submit(services, pressure)
    async with services.scope.write() as scope:
        await insert_jobs(scope, 10)
    await submit(services, pressure)
    watch.seconds += 1.5
    with pytest.raises(QueueFullError) as raised:
        await submit(services, pressure)
    assert raised.value.extensions["length"] == 12


@pytest.mark.parametrize(("started", "seconds", "wanted"), [(4, 2.0, 1), (1, 10.0, 10), (0, 5.0, 5), (1, 1000.0, 60)])
async def test_the_time_to_come_back_is_how_long_the_queue_takes_to_make_room(
    services: Services, started: int, seconds: float, wanted: int
) -> None:
    watch = Watch()
    pressure = QueuePressure(4, now=watch)
    await submit(services, pressure, 4)
    await start(services, started)
    watch.seconds += seconds
    if started:
        await submit(services, pressure, started)
    with pytest.raises(QueueFullError) as raised:
        await submit(services, pressure)
    assert raised.value.retry_after == wanted


async def test_a_scope_outside_of_any_transaction_is_begun(services: Services) -> None:
    async with services.scope.write() as scope:
        await QueuePressure(5).check(scope.session, "default")
        assert scope.session.in_transaction()
