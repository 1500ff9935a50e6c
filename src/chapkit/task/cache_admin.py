"""Kept results as seen from outside: numbers, and dropping them."""

from typing import Any

from sqlalchemy import ColumnElement

from chapkit.core.errors import UnprocessableError
from chapkit.core.services import Services
from chapkit.job.runtime import JobRuntime
from chapkit.task.cache_counts import CacheCounts
from chapkit.task.results import TaskResults, everything, of_function, tagged, with_key
from chapkit.task.schemas import TaskCacheFunction, TaskCacheStats, TaskInvalidateRequest


class CacheAdmin:
    """The kept results of a service."""

    def __init__(self, services: Services, counts: CacheCounts) -> None:
        self._services = services
        self._counts = counts

    async def stats(self) -> TaskCacheStats:
        """Return how many results there are and how often they were of use, in all processes together."""
        async with self._services.scope.read() as scope:
            results = TaskResults(scope.session, self._services.get(JobRuntime).clock.now)
            numbers, oldest = await results.count(), await results.oldest()
            counts = await self._counts.read(scope.session)
        functions = [
            TaskCacheFunction(
                function=name,
                results=numbers.get(name, 0),
                hits=counts[name]["hits"] if name in counts else 0,
                misses=counts[name]["misses"] if name in counts else 0,
                stale=counts[name]["stale"] if name in counts else 0,
            )
            for name in sorted({*numbers, *counts})
        ]
        return TaskCacheStats(
            results=sum(each.results for each in functions),
            hits=sum(each.hits for each in functions),
            misses=sum(each.misses for each in functions),
            stale=sum(each.stale for each in functions),
            oldest=oldest,
            functions=functions,
        )

    async def invalidate(self, wanted: TaskInvalidateRequest) -> int:
        """Drop results, so that the next call of each runs the function; their artifacts stay.

        Raises:
            UnprocessableError: Not exactly one member says which (`cache-criterion-invalid`).
        """
        criterion = _criterion(wanted)
        async with self._services.scope.write() as scope:
            return await TaskResults(scope.session, self._services.get(JobRuntime).clock.now).drop(criterion)


def _criterion(wanted: TaskInvalidateRequest) -> ColumnElement[bool]:
    given: dict[str, Any] = {name: value for name, value in wanted.model_dump().items() if value not in (None, False)}
    if len(given) != 1:
        raise UnprocessableError(
            'Say with exactly one member what is dropped: {"tag": ...}, {"function": ...}, {"key": ...} or '
            '{"all": true}',
            code="cache-criterion-invalid",
            found=sorted(given),
            expected=["tag", "function", "key", "all"],
        )
    if wanted.tag is not None:
        return tagged(wanted.tag)
    if wanted.function is not None:
        return of_function(wanted.function)
    return everything() if wanted.key is None else with_key(wanted.key)
