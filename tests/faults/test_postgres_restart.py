import asyncio
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest
from sqlalchemy import make_url

from chapkit.job import recovery
from chapkit.migrations import bundled_tables
from tests.faults.work_service import PATIENCE, Caller, calling
from tests.postgres_server import NoServerError, PostgresServer
from tests.things import open_database
from tests.unit.job.parts import Held, another_job_system, eventually, happens

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(110)]
CALLERS = 4
UNREACHABLE = (503, "database-unreachable")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """Yield a server that a test may stop and start."""
    with tempfile.TemporaryDirectory(prefix="chapkit-restart-") as folder:
        try:
            server = PostgresServer(Path(folder))
            server.start()
        except NoServerError as error:
            pytest.skip(str(error))
        yield server
        server.stop("immediate")


@pytest.fixture(params=["asyncpg", "psycopg"])
async def url(request: pytest.FixtureRequest, server: PostgresServer) -> str:
    name = f"restart_{request.param}"
    async with _administrator(server) as connection:
        await connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        await connection.execute(f"CREATE DATABASE {name}")
    return make_url(server.url).set(drivername=f"postgresql+{request.param}", database=name).render_as_string()


@asynccontextmanager
async def _administrator(server: PostgresServer) -> AsyncGenerator["asyncpg.Connection"]:
    connection = await asyncpg.connect(f"postgresql://postgres@127.0.0.1:{server.port}/postgres")
    try:
        yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def _load(caller: Caller) -> AsyncGenerator[None]:
    """Submit jobs all the time, refused or not."""
    stop = asyncio.Event()

    async def submit() -> None:
        while not stop.is_set():
            await caller.submit()
            await asyncio.sleep(0.01)

    tasks = [asyncio.create_task(submit()) for _ in range(CALLERS)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*tasks)


async def _accepted_more(caller: Caller, number: int) -> None:
    wanted = len(caller.accepted) + number
    async with asyncio.timeout(PATIENCE):
        while len(caller.accepted) < wanted:
            await asyncio.sleep(0.01)


async def test_lost_connections_in_mid_load_lose_no_job(url: str, server: PostgresServer) -> None:
    async with calling(url) as caller:
        async with _load(caller):
            for _ in range(3):
                await _accepted_more(caller, 10)
                async with _administrator(server) as connection:
                    ended = await connection.fetch(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1",
                        make_url(url).database,
                    )
                assert ended
            await _accepted_more(caller, 10)
        assert caller.reasons <= {UNREACHABLE}
        await caller.until_all_have_one_result()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_a_restart_of_the_server_in_mid_load_loses_no_job(url: str, server: PostgresServer, mode: str) -> None:
    async with calling(url) as caller:
        async with _load(caller):
            await _accepted_more(caller, 10)
            await asyncio.to_thread(server.stop, mode)
            async with asyncio.timeout(PATIENCE):
                while len(caller.refusals) < CALLERS:
                    await asyncio.sleep(0.01)
            assert (await caller.client.get("/health")).status_code == 503
            await asyncio.to_thread(server.start)
            await _accepted_more(caller, 10)
        assert caller.reasons == {UNREACHABLE}
        assert {problem["retry-after"] for problem in caller.refusals} == {"1"}
        await caller.until_all_have_one_result()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
async def test_no_process_takes_the_others_for_dead_when_the_server_restarts(
    url: str, server: PostgresServer, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It looks for the others much more often than they show themselves.
    monkeypatch.setattr(recovery, "INTERVAL", 0.1)
    held = Held()
    await _migrate(url)
    async with another_job_system(url, held) as working, another_job_system(url) as idle:
        job = await working.submit("test.held")
        await happens(held.begun)
        await asyncio.to_thread(server.stop, mode)
        await asyncio.to_thread(server.start)
        async with another_job_system(url, start=False):
            # One that starts meanwhile looks for the others as well.
            pass
        presences = (working.runtime.presence, idle.runtime.presence)
        before = [(presence.id, presence.beats) for presence in presences]
        await eventually(lambda: all(one.beats > beats + 1 for one, (_, beats) in zip(presences, before, strict=True)))
        held.go.set()
        record = await working.completed(job.id)
        assert (record.attempt, held.starts) == (1, 1)
        assert [presence.id for presence in presences] == [id for id, _ in before]


async def _migrate(url: str) -> None:
    database = open_database(url)
    await database.init(bundled_tables())
    await database.dispose()
