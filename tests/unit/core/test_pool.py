import asyncio
from collections import Counter
from pathlib import Path

import pytest

from chapkit.core.database import Database
from chapkit.core.errors import UnavailableError
from chapkit.core.services import Services
from tests.things import Thing, open_database

pytestmark = pytest.mark.anyio
ROUNDS = 20
CALLERS = 5


def _services(url: str, **options: float) -> tuple[Database, Services]:
    database = type(open_database(url))(url, **{"pool_size": 1, "max_overflow": 0, **options})
    services = Services()
    services.add(Database, database)
    return database, services


async def test_callers_who_come_back_at_once_do_not_overtake_those_who_wait(database_url: str) -> None:
    database, services = _services(database_url)
    await database.init([Thing.__table__])  # type: ignore[list-item]
    served: list[int] = []

    async def ask(caller: int) -> None:
        for _ in range(ROUNDS):
            async with services.scope.write() as scope:
                await scope.session.connection()
                served.append(caller)
                # Others come meanwhile.
                await asyncio.sleep(0)

    await asyncio.gather(*(ask(caller) for caller in range(CALLERS)))
    await database.dispose()
    counts = [Counter(served[: CALLERS * turn]) for turn in range(1, ROUNDS + 1)]
    assert all(max(count.values()) - min(count[caller] for caller in range(CALLERS)) <= 1 for count in counts)


async def test_who_waits_for_too_long_is_told_and_takes_nothing_from_the_others(tmp_path: Path) -> None:
    database, services = _services(f"sqlite+aiosqlite:///{tmp_path / 'service.db'}")
    database.engine.pool._timeout = 0.05  # type: ignore[attr-defined]
    await database.init([])
    async with services.scope.read() as holder:
        await holder.session.connection()
        with pytest.raises(UnavailableError):
            async with services.scope.read() as scope:
                await scope.session.connection()
    for _ in range(2):
        async with services.scope.read() as scope:
            await scope.session.connection()
    await database.dispose()


async def test_a_caller_who_gives_up_leaves_his_place_to_the_next(tmp_path: Path) -> None:
    database, services = _services(f"sqlite+aiosqlite:///{tmp_path / 'service.db'}")
    await database.init([])

    async def ask() -> str:
        async with services.scope.read() as scope:
            await scope.session.connection()
        return "served"

    async with services.scope.read() as holder:
        await holder.session.connection()
        waiting = [asyncio.create_task(ask()) for _ in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[1].cancel()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    await database.dispose()
    assert outcomes[2] == "served"
    assert all(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes[:2])
