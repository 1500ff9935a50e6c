"""Many processes with many writers each on one file; nobody may hear that it was locked."""

import asyncio
import time
from collections import Counter
from pathlib import Path

from sqlalchemy import func, select

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from tests.faults.fleet import Child, Fleet
from tests.faults.orders import WRITE, Order
from tests.faults.strikes import Say
from tests.things import Thing, open_database

PROCESSES = 8
WRITERS = 50
PATIENCE = 60.0


async def write_much(order: Order, say: Say) -> None:
    """Write with many writers at once for some seconds; say how many rows were acknowledged."""
    database = open_database(order.url)
    await database.init([])
    services = Services()
    services.add(Database, database)
    end = time.monotonic() + order.seconds
    tally: Counter[str] = Counter()
    await asyncio.gather(*(_write(services, end, tally) for _ in range(WRITERS)))
    await database.dispose()
    for what, number in tally.items():
        say("wrote" if what == "written" else "refused", number, what)


async def _write(services: Services, end: float, tally: Counter[str]) -> None:
    while time.monotonic() < end:
        try:
            async with services.scope.write() as scope:
                scope.session.add(Thing(name=ULID()))
        except Exception as error:
            tally[f"{type(error).__name__}: {error}"] += 1
        else:
            tally["written"] += 1


def contend(fleet: Fleet, seconds: float, processes: int = PROCESSES) -> tuple[int, int, list[str]]:
    """Let processes write at once; return acknowledged writes, rows, and everything that went wrong."""
    asyncio.run(_make_table(fleet.url))
    children = [fleet.start(Order(WRITE, fleet.url, str(fleet.folder), seconds=seconds)) for _ in range(processes)]
    acknowledged, problems = 0, []
    for child in children:
        for words in _listen(child, seconds + PATIENCE):
            if words[0] == "wrote":
                acknowledged += int(words[1])
            elif words[0] != "exit" or words[1] != "0":
                problems.append(" ".join(words))
    return acknowledged, asyncio.run(_count(fleet.url)), problems


def _listen(child: Child, seconds: float) -> list[list[str]]:
    child.line.settimeout(seconds)
    said: list[list[str]] = []
    while child.is_alive:
        said += child.read()
    return said


async def _make_table(url: str) -> None:
    database = open_database(url)
    await database.init([Thing.__table__])  # type: ignore[list-item]
    await database.dispose()


async def _count(url: str) -> int:
    database = open_database(url)
    async with database.session() as session:
        number = await session.scalar(select(func.count()).select_from(Thing))
    await database.dispose()
    return number or 0


def folder_url(folder: Path) -> str:
    """Return the URL of an SQLite file in the folder."""
    return f"sqlite+aiosqlite:///{folder / 'service.db'}"
