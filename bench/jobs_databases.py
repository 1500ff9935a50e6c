"""The databases that jobs are measured on."""

import asyncio
import inspect
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from sqlalchemy import URL, make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from bench.options import Options
from chapkit.api import ServiceBuilder

SERVER_VARIABLE = "CHAPKIT_TEST_POSTGRES"


@dataclass(frozen=True)
class Kind:
    """A kind of database."""

    name: str
    durability: str = "process"
    is_sqlite: bool = True
    aims: bool = True
    """Whether the aims of the issue hold here; they are set for SQLite."""


PROCESS = Kind("SQLite, process")
POWER = Kind("SQLite, power", "power")
POSTGRESQL = Kind("PostgreSQL", is_sqlite=False, aims=False)


@dataclass(frozen=True)
class Place:
    """An empty database, and a folder for whatever belongs to it."""

    kind: Kind
    url: str
    directory: Path

    @property
    def variables(self) -> dict[str, str]:
        """What a service of the benchmark reads from its environment."""
        return {"BENCH_DATABASE_URL": self.url, "BENCH_DURABILITY": self.kind.durability}


def kinds() -> list[Kind]:
    """Return what can be measured here: PostgreSQL only where a server is named."""
    found = [PROCESS]
    if "durability" in inspect.signature(ServiceBuilder.with_database).parameters:
        found.append(POWER)
    if os.environ.get(SERVER_VARIABLE):
        found.append(POSTGRESQL)
    return found


def both() -> list[Kind]:
    """Return one kind of each product, where durability makes no difference."""
    return [kind for kind in kinds() if kind is not POWER]


@contextmanager
def new_place(options: Options, kind: Kind) -> Generator[Place]:
    """Yield an empty database that is gone afterwards."""
    name = next(f"jobs-{number}" for number in count() if not (options.directory / f"jobs-{number}").exists())
    directory = options.place(name)
    if kind.is_sqlite:
        yield Place(kind, f"sqlite+aiosqlite:///{directory / 'bench.db'}", directory)
        return
    server = make_url(os.environ[SERVER_VARIABLE])
    database = f"chapkit_bench_{os.getpid()}_{name.replace('-', '_')}"
    asyncio.run(_execute(server, f'CREATE DATABASE "{database}"'))
    try:
        yield Place(kind, server.set(database=database).render_as_string(hide_password=False), directory)
    finally:
        asyncio.run(_execute(server, f'DROP DATABASE IF EXISTS "{database}" WITH (FORCE)'))


async def _execute(server: URL, statement: str) -> None:
    engine = create_async_engine(server, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(statement))
    finally:
        await engine.dispose()
