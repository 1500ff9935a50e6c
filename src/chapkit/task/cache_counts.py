"""How often kept results were of use: counted in memory, written down now and then."""

import asyncio
from collections import Counter
from typing import Any, Literal, TypeAlias

from sqlalchemy import select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.errors import ChapkitError
from chapkit.core.logging import get_logger
from chapkit.core.services import Services
from chapkit.core.transactions import begin_write
from chapkit.job.runtime import JobRuntime
from chapkit.task.models import TaskCacheCount
from chapkit.task.results import TaskResults

Answer: TypeAlias = Literal["hits", "misses", "stale"]
ANSWERS: tuple[Answer, ...] = ("hits", "misses", "stale")
_PAUSE = 5.0
_ROUNDS_BETWEEN_PURGES = 120


class CacheCounts:
    """Counts of one process on top of those in the database."""

    def __init__(self) -> None:
        self._waiting: dict[str, Counter[Answer]] = {}

    def add(self, function: str, answer: Answer) -> None:
        """Count one answer."""
        self._waiting.setdefault(function, Counter())[answer] += 1

    @property
    def has_news(self) -> bool:
        """Tell whether something was counted since the last `write`."""
        return bool(self._waiting)

    async def write(self, services: Services) -> None:
        """Add what was counted to the database; what cannot be written stays for the next time."""
        waiting, self._waiting = self._waiting, {}
        try:
            async with services.scope.write(durable=False) as scope:
                await begin_write(scope.session)
                # In one order everywhere, so that two processes do not wait for each other.
                for function in sorted(waiting):
                    await scope.session.execute(_adding(scope.session, function, waiting[function]))
        except BaseException:
            for function, counted in waiting.items():
                self._waiting.setdefault(function, Counter()).update(counted)
            raise

    async def read(self, session: AsyncSession) -> dict[str, Counter[Answer]]:
        """Return the counts of each function, with those of this process that are not written yet."""
        columns = (TaskCacheCount.function, *(getattr(TaskCacheCount, name) for name in ANSWERS))
        counts: dict[str, Counter[Answer]] = {}
        for function, *numbers in await session.execute(select(*columns)):
            counts[function] = Counter(dict(zip(ANSWERS, numbers, strict=True)))
        for function, counted in self._waiting.items():
            counts.setdefault(function, Counter()).update(counted)
        return counts


class CacheUpkeep:
    """Writes the counts down and forgets results that expired long ago."""

    name = "task-cache"

    def __init__(self, services: Services, counts: CacheCounts, pause: float = _PAUSE) -> None:
        self._services = services
        self._counts = counts
        self._pause = pause

    async def run(self) -> None:
        """Work until cancelled."""
        rounds = 0
        while True:
            try:
                if rounds % _ROUNDS_BETWEEN_PURGES == 0:
                    await self._purge()
                if self._counts.has_news:
                    await self._counts.write(self._services)
            except (ChapkitError, SQLAlchemyError, ConnectionError) as error:
                get_logger("chapkit.task").warning("task.cache_waits", error=f"{type(error).__name__}: {error}")
            rounds += 1
            await asyncio.sleep(self._pause)

    async def _purge(self) -> None:
        now = self._services.get(JobRuntime).clock.now
        async with self._services.scope.write(durable=False) as scope:
            await TaskResults(scope.session, now).purge()


def _adding(session: AsyncSession, function: str, counted: Counter[Answer]) -> Any:
    dialect: Any = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    numbers = {name: counted[name] for name in ANSWERS}
    statement = dialect.insert(TaskCacheCount).values(function=function, **numbers)
    sums = {name: getattr(TaskCacheCount, name) + number for name, number in numbers.items()}
    return statement.on_conflict_do_update(index_elements=["function"], set_=sums)
