"""Takes away finished jobs that are too old or too many, a few rows at a time."""

import asyncio
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Select, and_, delete, func, or_, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.clock import Clock
from chapkit.core.errors import ChapkitError
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.core.services import Services
from chapkit.job.references import JobReferences
from chapkit.job.retention import Retention
from chapkit.job.rows import EVENTS, JOBS
from chapkit.job.schemas import JobStatus

INTERVAL = 600.0
FIRST_PAUSE = 60.0
"""Seconds after the start, which has other things to do."""
_MOST_LISTED = 2000
_MOST_ROWS = 100
"""Rows that one transaction deletes, about; fewer where that takes long."""
_FEWEST_ROWS = 20
_LONG = 0.02
"""Seconds."""
_SHORTEST_PAUSE = 0.001

_UNFINISHED = (JobStatus.PENDING.value, JobStatus.RUNNING.value)
_HAS_FINISHED = JOBS.c.finished_at.is_not(None)
_IS_FINAL = and_(_HAS_FINISHED, JOBS.c.status.not_in(_UNFINISHED))


@dataclass(frozen=True, order=True)
class _Position:
    """A place in the order in which jobs have finished: that of a job, or just before those of a moment."""

    moment: datetime
    id: str = ""

    def up_to_here(self) -> ColumnElement[bool]:
        """Select the jobs up to this place."""
        earlier = JOBS.c.finished_at < self.moment
        if not self.id:
            return earlier
        # The first condition is what an index can use.
        here = or_(earlier, JOBS.c.id <= self.id)
        return and_(JOBS.c.finished_at <= self.moment, here)

    def from_here(self) -> ColumnElement[bool]:
        """Select the jobs behind this place."""
        later = or_(JOBS.c.finished_at > self.moment, JOBS.c.id > self.id)
        return and_(JOBS.c.finished_at >= self.moment, later)


@dataclass(frozen=True)
class _Finished:
    """A job that may go, and about how many rows go with it."""

    id: ULID
    moment: datetime
    attempts: int
    events: int


class JobJanitor:
    """Cleans up now and then; several processes may do so at once.

    A job goes with its attempts and events in one transaction, unless these are very many. Its payload's blob, if it
    has one, has no name then and is swept later.
    """

    name = "job-retention"

    def __init__(
        self,
        services: Services,
        clock: Clock,
        retention: Retention,
        *,
        interval: float = INTERVAL,
        first_pause: float = FIRST_PAUSE,
    ) -> None:
        self._services = services
        self._clock = clock
        self._retention = retention
        self._interval = interval
        self._first_pause = first_pause
        self._rows = _MOST_ROWS
        self._events_gone: _Position | None = None

    async def run(self) -> None:
        """Clean up until cancelled."""
        await asyncio.sleep(self._first_pause)
        while True:
            try:
                await self.clean()
            except (ChapkitError, SQLAlchemyError, ConnectionError) as error:
                get_logger("chapkit.job").warning("job.retention_waits", error=f"{type(error).__name__}: {error}")
            await asyncio.sleep(self._interval)

    async def clean(self) -> int:
        """Remove what the settings say, and return the number of jobs that went."""
        ends = [await self._end_by_count(), self._ago(self._retention.longest)]
        end = max((end for end in ends if end is not None), default=None)
        jobs = 0 if end is None else await self._remove_jobs(end)
        end = self._ago(self._retention.longest_for_events)
        events = 0 if end is None else await self._remove_events(end)
        if jobs or events:
            get_logger("chapkit.job").info("job.retention", removed_jobs=jobs, removed_events=events)
        return jobs

    def _ago(self, duration: timedelta | None) -> _Position | None:
        return None if duration is None else _Position(self._clock.now() - duration)

    async def _end_by_count(self) -> _Position | None:
        """Return the newest job that is one too many; found once, so that two processes do not both make room."""
        count = self._retention.count
        if count is None:
            return None
        async with self._services.scope.read(scan=True) as scope:
            total = await scope.session.scalar(select(func.count()).select_from(JOBS).where(_HAS_FINISHED))
            if total is None or total <= count:
                return None
            finished = JOBS.alias("finished")
            needed = [
                query.where(query.selected_columns[0] == finished.c.id).exists() for query in self._references.queries
            ]
            statement = (
                select(finished.c.finished_at, finished.c.id)
                .where(finished.c.finished_at.is_not(None), *(~exists for exists in needed))
                .order_by(finished.c.finished_at.desc(), finished.c.id.desc())
                .offset(count)
                .limit(1)
            )
            row = (await scope.session.execute(statement)).first()
        return None if row is None else _Position(*row)

    async def _remove_jobs(self, end: _Position) -> int:
        removed = 0
        async for jobs in self._walk(end):
            async with self._services.scope.read(scan=True) as scope:
                needed = await self._references.among(scope.session, [job.id for job in jobs])
            for batch in self._batches([job for job in jobs if job.id not in needed]):
                for job in batch:
                    await self._lighten(job)
                async with self._transaction() as session:
                    removed += await self._delete_jobs(session, [job.id for job in batch], end)
        return removed

    async def _remove_events(self, end: _Position) -> int:
        removed = 0
        async for jobs in self._walk(end, self._events_gone):
            for batch in self._batches([job for job in jobs if job.events]):
                for job in batch:
                    removed += await self._lighten(job)
                async with self._transaction() as session:
                    removed += await _delete_events(session, [job.id for job in batch])
            self._events_gone = _Position(jobs[-1].moment, jobs[-1].id)
        return removed

    async def _walk(self, end: _Position, start: _Position | None = None) -> AsyncGenerator[Sequence[_Finished]]:
        """List what has finished between two places, the oldest first."""
        columns = (JOBS.c.id, JOBS.c.finished_at, JOBS.c.attempt, JOBS.c.events)
        ordered = select(*columns).where(_HAS_FINISHED, end.up_to_here()).order_by(JOBS.c.finished_at, JOBS.c.id)
        while True:
            statement = ordered if start is None else ordered.where(start.from_here())
            async with self._services.scope.read(scan=True) as scope:
                rows = (await scope.session.execute(statement.limit(_MOST_LISTED))).all()
            if not rows:
                return
            start = _Position(rows[-1].finished_at, rows[-1].id)
            yield [_Finished(*row) for row in rows]

    async def _lighten(self, job: _Finished) -> int:
        """Delete the events of a job that has very many, but for the last ones."""
        removed = 0
        for number in range(_MOST_ROWS, job.events, _MOST_ROWS):
            async with self._transaction() as session:
                removed += await _delete_events(session, [job.id], number)
        return removed

    async def _delete_jobs(self, session: AsyncSession, ids: Sequence[ULID], end: _Position) -> int:
        # Asked inside of the transaction, where nobody can change it any more.
        needed = await self._references.among(session, ids)
        free = [id for id in ids if id not in needed]
        if not free:
            return 0
        reach("job.retention.before-delete")
        statement = delete(JOBS).where(JOBS.c.id.in_(_final(free, end.up_to_here()))).returning(JOBS.c.id)
        removed = (await session.execute(statement)).all()
        reach("job.retention.after-delete")
        return len(removed)

    def _batches(self, jobs: Sequence[_Finished]) -> Iterator[Sequence[_Finished]]:
        """Split jobs so that each part has about so many rows as one transaction may delete."""
        batch: list[_Finished] = []
        rows = 0
        for job in jobs:
            more = 1 + job.attempts + min(job.events, _MOST_ROWS)
            if batch and rows + more > self._rows:
                yield batch
                batch, rows = [], 0
            batch.append(job)
            rows += more
        if batch:
            yield batch

    @property
    def _references(self) -> JobReferences:
        return self._services.get(JobReferences)

    @asynccontextmanager
    async def _transaction(self) -> AsyncGenerator[AsyncSession]:
        """Write, then let others do so for as long as that took."""
        started = time.perf_counter()
        async with self._services.scope.write() as scope:
            yield scope.session
        took = time.perf_counter() - started
        self._rows = max(_FEWEST_ROWS, self._rows // 2) if took > _LONG else min(_MOST_ROWS, self._rows * 2)
        await asyncio.sleep(max(_SHORTEST_PAUSE, took))


def _final(ids: Sequence[ULID], *criteria: ColumnElement[bool]) -> Select[Any]:
    """Select those of the jobs that have ended; what another process deletes in this moment is left to it."""
    return select(JOBS.c.id).where(JOBS.c.id.in_(ids), _IS_FINAL, *criteria).with_for_update(skip_locked=True)


async def _delete_events(session: AsyncSession, ids: Sequence[ULID], number: int | None = None) -> int:
    criteria = [] if number is None else [EVENTS.c.number <= number]
    statement = delete(EVENTS).where(EVENTS.c.job_id.in_(_final(ids)), *criteria)
    return cast("CursorResult[Any]", await session.execute(statement)).rowcount
