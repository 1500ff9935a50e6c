import asyncio
import os
import threading
import time
from collections.abc import AsyncGenerator, Generator
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncSession
from structlog.testing import capture_logs

from chapkit.core.database import Database
from chapkit.core.errors import ConfigurationError
from chapkit.core.events import Event
from chapkit.core.ids import ULID
from chapkit.core.services import Scope, Services
from chapkit.core.sqlite import SqliteDatabase
from chapkit.job.context import JobContext
from chapkit.job.current import RunningJob, current_job
from chapkit.job.schemas import JobSpec, JobStatus
from chapkit.job.service import JobService
from chapkit.task import runscope
from chapkit.task.errors import TaskParametersError
from chapkit.task.injection import Providers
from chapkit.task.loop_bridge import across_loops
from chapkit.task.loop_things import LoopThings
from chapkit.task.run import Run
from chapkit.task.runscope import RunServices, add_run_providers
from chapkit.task.write_watch import WriteWatch
from tests.things import Thing, ThingIn, ThingManager
from tests.unit.job.parts import eventually, happens
from tests.unit.task.running import function_system

pytestmark = pytest.mark.anyio
JOB_LOOP = "chapkit-job-loop"


class Settings(BaseModel):
    region: str = "north"


class Held:
    """Something that must be open as long as a function runs."""

    def __init__(self) -> None:
        self.events: list[str] = []

    async def open(self) -> AsyncGenerator["Held"]:
        self.events.append(f"open on {threading.current_thread().name}")
        await asyncio.sleep(0)
        try:
            yield self
        finally:
            self.events.append(f"close on {threading.current_thread().name}")


async def _names(database: Database) -> list[str]:
    async with database.session() as session:
        return sorted(await session.scalars(select(Thing.name)))


async def test_a_function_gets_its_parameters_as_it_wants_them(database: Database) -> None:
    def plain(day: date, times: int = 2, /, *, name: str = "x") -> Any:
        return day, times, name, current_job().attempt, threading.current_thread().name

    async def coroutine(day: date, **more: int) -> Any:
        return day, more, threading.current_thread().name

    async with function_system(database) as system:
        assert await system.result(plain, day="2024-02-29", name="y") == (date(2024, 2, 29), 2, "y", 1, "chapkit-job")
        assert await system.result(coroutine, day="2024-02-29", a="1") == (date(2024, 2, 29), {"a": 1}, JOB_LOOP)
        assert await system.result(partial(plain, date(2024, 1, 1)), name="z") == (
            date(2024, 1, 1),
            2,
            "z",
            1,
            "chapkit-job",
        )
        record = await system.run(plain, day="yesterday")
        assert record.status is JobStatus.FAILED
        assert record.error_code == "task-parameters-invalid"
        with pytest.raises(TaskParametersError):
            system.handler.functions["0"].parameters.check({})


async def test_a_session_commits_when_the_function_returns(database: Database) -> None:
    async def run(session: AsyncSession, name: str) -> int:
        session.add(Thing(id=ULID(), name=name))
        return await session.scalar(select(func.count()).select_from(Thing)) or 0

    async with function_system(database) as system:
        assert await system.result(run, name="a") == 1
        assert await system.result(run, name="b") == 2
    assert await _names(database) == ["a", "b"]


async def test_a_session_rolls_back_when_the_function_raises(database: Database) -> None:
    async def run(session: AsyncSession, name: str) -> None:
        session.add(Thing(id=ULID(), name=name))
        await session.flush()
        raise ValueError("on second thoughts")

    async def twice(session: AsyncSession) -> None:
        session.add_all([Thing(id=ULID(), name="same"), Thing(id=ULID(), name="same")])
        await session.flush()

    async def late(session: AsyncSession) -> None:
        session.add_all([Thing(id=ULID(), name="same"), Thing(id=ULID(), name="same")])

    async with function_system(database) as system:
        record = await system.run(run, name="a")
        assert (record.status, record.error) == (JobStatus.FAILED, "ValueError: on second thoughts")
        with capture_logs() as lines:
            record = await system.run(twice)
        assert record.status is JobStatus.FAILED
        assert IntegrityError.__name__ in (record.error or "")
        assert "task.not_closed" not in [line["event"] for line in lines]
        record = await system.run(late)
        assert record.error_code == "constraint-violated"
    assert await _names(database) == []


async def test_a_session_rolls_back_when_the_job_is_stopped(database: Database) -> None:
    begun = threading.Event()

    async def run(session: AsyncSession, flush: bool) -> None:
        session.add(Thing(id=ULID(), name="never"))
        if flush:
            await session.flush()
        begun.set()
        await asyncio.Event().wait()

    async with function_system(database) as system:
        record = await system.submit(run, flush=False)
        await happens(begun)
        await system.system.jobs.cancel(record.id)
        assert (await system.system.finished(record.id)).status is JobStatus.CANCELED
        assert await _names(database) == []
        record = await system.run(run, timeout=0.2, flush=True)
        assert (record.status, record.error_code) == (JobStatus.FAILED, "job-timed-out")
        assert await _names(database) == []


async def test_a_function_shares_one_unit_of_work_with_its_managers(database: Database) -> None:
    threads: list[str] = []
    events: list[str] = []

    async def on_event(event: Event, scope: Scope) -> None:
        events.append(f"{type(event).__name__} on {threading.current_thread().name}")

    def manager(scope: Scope) -> ThingManager:
        return scope.get(ThingManager)

    async def run(manager: ThingManager, session: AsyncSession, scope: Scope, fail: bool) -> None:
        assert manager.session is session is scope.session
        assert scope.services.get(Database) is not database
        assert scope.services.find(Database) is scope.services.get(Database)
        assert scope.services.find(ULID) is None
        created = await manager.create(ThingIn(name="a"))
        await manager.patch(created.id, {"size": 3}, ThingIn)
        async with scope.savepoint():
            await manager.create(ThingIn(name="b"))
        scope.after_commit(lambda: threads.append(threading.current_thread().name))

        async def later() -> None:
            await asyncio.sleep(0)
            threads.append(threading.current_thread().name)

        scope.after_commit(later)
        assert threads == []
        if fail:
            raise ValueError

    async with function_system(database) as system:
        system.services.on_event(on_event)
        system.providers.add(ThingManager, manager, needs_loop=True)
        assert (await system.run(run, fail=True)).status is JobStatus.FAILED
        assert threads == []
        assert await _names(database) == []
        await system.result(run, fail=False)
    assert await _names(database) == ["a", "b"]
    # What others do after a commit belongs to the loop of the service.
    assert threads == [threading.current_thread().name] * 2
    assert set(events) == {f"EntitySaved on {JOB_LOOP}"}


async def test_managers_on_both_loops_lose_nothing(database: Database) -> None:
    id = ULID()

    async def raise_size(scope: Scope, id: ULID) -> None:
        manager = scope.get(ThingManager)
        for _ in range(10):
            # The first read of the run comes before anybody has said that something is to be written.
            await manager.count()
            entity = await manager.get_entity_for_update(id)
            entity.size = (entity.size or 0) + 1
            await scope.session.flush()
            await scope.session.commit()

    async with function_system(database) as system:
        async with system.services.scope.write() as scope:
            await scope.get(ThingManager).create(ThingIn(id=id, name="counter", size=0))

        async def here() -> None:
            for _ in range(20):
                async with system.services.scope.write() as scope:
                    manager = scope.get(ThingManager)
                    entity = await manager.get_entity_for_update(id)
                    await manager.patch(id, {"size": (entity.size or 0) + 1}, ThingIn)

        ended = await asyncio.gather(*(system.run(raise_size, id=str(id)) for _ in range(3)), here())
        assert [record.status for record in ended[:3]] == [JobStatus.COMPLETED] * 3
        async with system.services.scope.read() as scope:
            assert (await scope.get(ThingManager).get(id)).size == 50


async def test_what_a_manager_reads_before_it_writes_belongs_to_its_transaction(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite+aiosqlite:///{tmp_path / 'service.db'}")
    await database.init()

    async def is_writing(session: AsyncSession) -> bool:
        driver: Any = (await (await session.connection()).get_raw_connection()).driver_connection
        return bool(driver.in_transaction)

    async def run(scope: Scope) -> list[bool]:
        manager = scope.get(ThingManager)
        await manager.count()
        seen = [await is_writing(scope.session)]
        async with manager.unit_of_work():
            await manager.count()
            seen.append(await is_writing(scope.session))
        await scope.session.commit()
        # At the beginning of a transaction, too.
        async with manager.unit_of_work():
            await manager.count()
            seen.append(await is_writing(scope.session))
        return seen

    async with function_system(database) as system:
        assert await system.result(run) == [False, True, True]
    await database.dispose()


async def test_the_database_of_a_function_is_that_of_its_loop(database: Database) -> None:
    async def run(db: Database, maybe: Database | None) -> str:
        assert db is maybe
        assert db is not database
        async with db.session() as session:
            session.add(Thing(id=ULID(), name="own"))
            await session.commit()
        return type(db).__name__

    async def narrow(db: SqliteDatabase | None = None) -> bool:
        return isinstance(db, SqliteDatabase)

    async with function_system(database) as system:
        assert await system.result(run) == type(database).__name__
        assert await system.result(narrow) is isinstance(database, SqliteDatabase)
    assert await _names(database) == ["own"]


async def test_a_function_knows_its_job(database: Database) -> None:
    async def coroutine(context: JobContext, job: RunningJob) -> Any:
        context.progress(0.5, "half")
        async with context.scope.write() as scope:
            await scope.get(ThingManager).create(ThingIn(name="by the way"))
        async with context.scope.read() as scope:
            assert await scope.get(ThingManager).count() == 1
        async with context.services.scope.write(durable=False) as scope:
            await scope.get(ThingManager).create(ThingIn(name="not told"))
        return context.job_id, job.job_id

    def plain(context: JobContext, job: RunningJob, x: int = 1) -> Any:
        context.log("in a thread", thread=threading.current_thread().name)
        return context.job_id, job.job_id

    async with function_system(database) as system:
        for function in (coroutine, plain):
            record = await system.submit(function)
            done = await system.system.completed(record.id)
            assert system.handler.results[-1] == (record.id, record.id)
            events = await system.system.jobs.wait_for_events(record.id)
            assert {"progress", "log"} & {event.kind for event in events}, done


async def test_a_function_submits_jobs_in_its_own_transaction(database: Database) -> None:
    async def plan(jobs: JobService, scope: Scope, fail: bool) -> str:
        assert isinstance(jobs, JobService)
        record = await jobs.submit(JobSpec(handler="test.calling", payload={"function": "0"}), scope)
        found = await jobs.find(record.id)
        assert found is None
        if fail:
            raise ValueError
        return record.id

    async def note(session: AsyncSession) -> None:
        session.add(Thing(id=ULID(), name="noted"))

    async with function_system(database) as system:
        home = asyncio.get_running_loop()

        def jobs(run: Run) -> JobService:
            return across_loops(run.services.get(JobService), run.home)

        system.providers.add(JobService, jobs, needs_loop=True)
        await system.result(note)
        assert (await system.run(plan, fail=True)).status is JobStatus.FAILED
        assert (await system.system.jobs.stats()).total == 2
        id = await system.result(plan, fail=False)
        assert (await system.system.finished(id)).status is JobStatus.FAILED
        # At home there is nothing to cross.
        assert await across_loops(system.system.jobs, home).find(id) is not None


async def test_a_plain_function_is_held_what_it_is_brought_until_it_has_ended(database: Database) -> None:
    held, go, begun = Held(), threading.Event(), threading.Event()

    def run(held: Held) -> str:
        begun.set()
        assert go.wait(10)
        return f"{threading.current_thread().name}: {held.events[-1]}"

    async with function_system(database) as system:
        system.providers.add(Held, held.open)
        go.set()
        assert await system.result(run) == f"chapkit-job: open on {JOB_LOOP}"
        assert held.events == [f"open on {JOB_LOOP}", f"close on {JOB_LOOP}"]
        begun.clear()
        go.clear()
        record = await system.submit(run)
        await happens(begun)
        await system.system.jobs.cancel(record.id)
        # The thread goes on, so what it holds stays open.
        assert held.events[2:] == [f"open on {JOB_LOOP}"]
        go.set()
        assert (await system.system.finished(record.id)).status is JobStatus.CANCELED
        assert held.events[3:] == [f"close on {JOB_LOOP}"]


async def test_a_plain_function_may_return_a_coroutine(database: Database) -> None:
    held = Held()

    async def later(held: Held) -> str:
        await asyncio.sleep(0)
        assert len(held.events) == 1
        return threading.current_thread().name

    def run(held: Held) -> Any:
        return later(held)

    async with function_system(database) as system:
        system.providers.add(Held, held.open)
        assert await system.result(run) == JOB_LOOP
    assert len(held.events) == 2


async def test_a_plain_function_is_measured(database: Database) -> None:
    held = Held()

    def run(held: Held) -> None:
        begun = time.thread_time()
        while time.thread_time() - begun < 0.02:
            pass

    async with function_system(database) as system:
        system.providers.add(Held, held.open)
        record = await system.submit(run)
        await system.system.completed(record.id)
        [attempt] = await system.system.jobs.list_attempts(record.id)
        assert (attempt.cpu_seconds or 0) >= 0.02


def of_a_module(settings: Settings, days: int) -> tuple[str, int, int]:
    return settings.region, days, os.getpid()


async def test_values_are_brought_everywhere(database: Database) -> None:
    async def coroutine(settings: Settings, days: int) -> Any:
        return settings.region, days, os.getpid()

    async with function_system(database) as system:
        system.providers.add_value(Settings, Settings(region="south"))
        for function, executor in ((of_a_module, None), (coroutine, None), (of_a_module, "process")):
            region, days, process = await system.result(function, executor, days="3")
            assert (region, days) == ("south", 3)
            assert (process == os.getpid()) is (executor is None)
        with pytest.raises(ConfigurationError) as caught:
            await system.submit(lambda settings: settings, "process")
        assert caught.value.code == "function-not-importable"


async def test_nothing_leaks_from_many_runs(database: Database) -> None:
    opened: set[Any] = set()
    closed: list[int] = []

    def resource(scope: Scope) -> Generator[Held]:
        yield Held()
        closed.append(1)

    async def run(session: AsyncSession, held: Held, db: Database, fail: bool) -> None:
        opened.add(db)
        await session.scalar(select(func.count()).select_from(Thing))
        if fail:
            raise ValueError

    async with function_system(database, max_concurrency=8) as system:
        system.providers.add(Held, resource)
        ended = await asyncio.gather(*(system.run(run, fail=number % 2 == 0) for number in range(60)))
        assert [record.status for record in ended].count(JobStatus.COMPLETED) == 30
        [copy] = opened
        assert copy.engine.pool.checkedout() == 0
        pool: Any = database.engine.pool
        await eventually(lambda: pool.checkedout() == 0)
        assert len(closed) == 30
    assert copy.engine.pool.checkedin() == 0


async def test_a_transaction_that_is_held_is_logged_with_the_name_of_the_function(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runscope, "WriteWatch", partial(WriteWatch, limit=0.01))

    async def hold_on(session: AsyncSession) -> None:
        session.add(Thing(id=ULID(), name="held"))
        await session.flush()
        await asyncio.sleep(0.05)

    async def read_long(session: AsyncSession) -> None:
        await session.scalar(select(func.count()).select_from(Thing))
        await asyncio.sleep(0.05)

    async with function_system(database) as system:
        with capture_logs() as lines:
            await system.result(read_long)
            assert [line for line in lines if line["event"] == "task.transaction_held"] == []
            await system.result(hold_on)
    [line] = [line for line in lines if line["event"] == "task.transaction_held"]
    assert line["function"] == f"{__name__}.{hold_on.__qualname__}"


async def test_a_plain_function_cannot_have_a_session(database: Database) -> None:
    def run(session: AsyncSession) -> None: ...

    async with function_system(database) as system:
        with pytest.raises(ConfigurationError) as caught:
            await system.submit(run)
        assert caught.value.code == "injection-needs-async"


async def test_without_a_job_there_is_no_context(database: Database) -> None:
    providers, things, services = Providers(), LoopThings(), Services()
    services.add(Database, database)
    add_run_providers(providers)

    async def run(context: JobContext) -> None: ...

    with pytest.raises(ConfigurationError) as caught:
        async with providers.resolve(run).open(Run(services, "test", things)):
            pass
    assert caught.value.code == "no-running-job"
    await things.close()


async def test_after_the_end_of_the_service_nobody_is_told_of_a_commit(database: Database) -> None:
    providers, things, services = Providers(), LoopThings(), Services()
    services.add(Database, database)
    add_run_providers(providers)
    gone = asyncio.new_event_loop()
    gone.close()
    told: list[int] = []

    async def run(scope: Scope) -> None: ...

    with capture_logs() as lines:
        async with providers.resolve(run).open(Run(services, "test", things, home=gone)) as arguments:
            arguments["scope"].session.add(Thing(id=ULID(), name="kept"))
            arguments["scope"].after_commit(lambda: told.append(1))
    assert [line["event"] for line in lines] == ["task.not_told"]
    assert (told, await _names(database)) == ([], ["kept"])
    await things.close()


async def test_on_the_loop_of_the_service_callbacks_are_called_at_once(database: Database) -> None:
    providers, things, services = Providers(), LoopThings(), Services()
    services.add(Database, database)
    add_run_providers(providers)
    told: list[int] = []

    async def run(scope: Scope, services: RunServices) -> None: ...

    async with providers.resolve(run).open(Run(services, "test", things)) as arguments:
        arguments["scope"].after_commit(lambda: told.append(1))
        assert not arguments["services"].handlers
        with pytest.raises(ConfigurationError):
            arguments["services"].get(ThingManager)
    assert told == [1]
    await things.close()


async def test_thirty_two_services_in_one_process_keep_to_themselves() -> None:
    async def serve(number: int) -> list[str]:
        database = SqliteDatabase("sqlite+aiosqlite:///:memory:")
        await database.init()

        async def run(session: AsyncSession, db: SqliteDatabase, name: str) -> str:
            session.add(Thing(id=ULID(), name=name))
            return str(db.path)

        async with function_system(database) as system:
            for turn in range(3):
                assert await system.result(run, name=f"{number}.{turn}") == str(database.path)
        names = await _names(database)
        await database.dispose()
        return names

    found = await asyncio.gather(*(serve(number) for number in range(32)))
    assert found == [[f"{number}.{turn}" for turn in range(3)] for number in range(32)]
    assert [each.name for each in threading.enumerate() if each.name.startswith("chapkit")] == []
