"""The rows of jobs without anybody who works on them: a test takes each step itself, and may take it back."""

import asyncio
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from sqlalchemy import ColumnElement, Table, insert, select
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.direct import inline_connection
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase
from chapkit.core.transactions import begin_write
from chapkit.job.claiming import JobClaims, Queue, Wanted
from chapkit.job.claims import Claim
from chapkit.job.ledger import JobLedger
from chapkit.job.ports import JobHandlers
from chapkit.job.rows import ATTEMPTS, EVENTS, JOBS, OWNERS
from tests.unit.job.parts import Double, SteppedClock

T = TypeVar("T")
Row: TypeAlias = tuple[Any, ...]
Picture: TypeAlias = tuple[tuple[Row, ...], ...]
"""The rows of each table."""
TABLES: tuple[Table, ...] = (JOBS, ATTEMPTS, EVENTS, OWNERS)
COLUMNS: tuple[tuple[str, ...], ...] = tuple(tuple(column.name for column in table.columns) for table in TABLES)


class Ground:
    """A database, a clock that stands still, and one transaction that is never committed."""

    def __init__(self, folder: Path) -> None:
        self._runner = asyncio.Runner()
        self.database = SqliteDatabase(f"sqlite+aiosqlite:///{folder / 'ground.db'}")
        self.clock = SteppedClock()
        self.services = Services()
        self.handlers = JobHandlers()
        self.handlers.add(Double())
        self.session: AsyncSession = self.run(self._open())

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns."""
        return self._runner.run(coroutine)

    def close(self) -> None:
        """Forget everything."""
        self.run(self._close())
        self._runner.close()

    @property
    def ledger(self) -> JobLedger:
        """Writes steps as of now."""
        return JobLedger(self.session, self.clock.now())

    async def claim(
        self, owner: str, number: int = 1, queue: Queue | None = None, suspects: bool = True
    ) -> list[Claim]:
        """Take jobs as a process would."""
        claims = JobClaims(self.session, self.clock.now(), self.handlers.claim_statements)
        return await claims.claim(queue or Queue(), Wanted(owner, number, takes_suspects=suspects))

    async def enter(self, owner: str) -> None:
        """Add the row of a process."""
        now = self.clock.now()
        row = {"id": ULID(owner), "host": "here", "pid": 1, "lock": owner, "started_at": now, "seen_at": now}
        await self.session.execute(insert(OWNERS).values(row))

    async def rows(self, *columns: ColumnElement[Any], where: Sequence[ColumnElement[bool]] = ()) -> Sequence[Row]:
        """Return columns of a table."""
        return [tuple(row) for row in (await self.session.execute(select(*columns).where(*where))).all()]

    async def execute(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[Row]:
        """Hand a statement to the driver."""
        connection = await inline_connection(self.session)
        assert connection is not None
        return await connection.fetch(sql, parameters)

    async def picture(self) -> Picture:
        """Return all rows as they are stored."""
        pictures: list[tuple[Row, ...]] = []
        for table, columns in zip(TABLES, COLUMNS, strict=True):
            # The order of the columns is not the same everywhere.
            keys = ", ".join(column.name for column in table.primary_key)
            rows = await self.execute(f"SELECT {', '.join(columns)} FROM {table.name} ORDER BY {keys}")
            pictures.append(tuple(rows))
        return tuple(pictures)

    async def restore(self, picture: Picture) -> None:
        """Let the rows be as they were."""
        await self.clear()
        connection = await inline_connection(self.session)
        assert connection is not None
        for table, columns, rows in zip(TABLES, COLUMNS, picture, strict=True):
            if rows:
                places = ", ".join("?" * len(columns))
                await connection.run_many(f"INSERT INTO {table.name} ({', '.join(columns)}) VALUES ({places})", rows)

    async def clear(self) -> None:
        """Let there be no rows."""
        for table in reversed(TABLES):
            await self.execute(f"DELETE FROM {table.name}")

    async def _open(self) -> AsyncSession:
        await self.database.init()
        session = self.database.open_session(write=True)
        await begin_write(session)
        return session

    async def _close(self) -> None:
        await self.database.close_session(self.session)
        await self.database.dispose()
