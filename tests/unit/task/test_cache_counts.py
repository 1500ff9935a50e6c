import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from chapkit.artifact.manager import ArtifactManager
from chapkit.core.database import Database
from chapkit.core.errors import UnavailableError
from chapkit.core.services import Services
from chapkit.task.cache import Cache
from chapkit.task.cache_counts import CacheCounts, CacheUpkeep
from chapkit.task.models import TaskCacheCount, TaskResult
from chapkit.task.results import Kept, TaskResults
from tests.service.task_calls import service
from tests.serving import serving
from tests.things import services_over

pytestmark = pytest.mark.anyio

PATIENCE = 10.0


class Failing(Services):
    """Has no database for some time."""

    def __init__(self, failures: int) -> None:
        super().__init__()
        self.failures = failures
        self.asked = 0

    @property
    def scope(self):  # type: ignore[no-untyped-def]
        self.asked += 1
        if self.asked <= self.failures:
            raise UnavailableError("not now")
        return super().scope


async def read(services: Services, counts: CacheCounts) -> dict[str, Counter[str]]:
    async with services.scope.read() as scope:
        return dict(await counts.read(scope.session))  # type: ignore[arg-type]


async def test_counts_of_processes_add_up(database: Database) -> None:
    services = services_over(database)
    here, there = CacheCounts(), CacheCounts()
    for counts in (here, there):
        counts.add("f", "hits")
        counts.add("g", "misses")
        await counts.write(services)
    here.add("f", "hits")
    assert (here.has_news, there.has_news) == (True, False)
    assert (await read(services, here))["f"]["hits"] == 3
    assert (await read(services, there))["f"]["hits"] == 2
    assert (await read(services, there))["g"] == Counter(hits=0, misses=2, stale=0)


async def test_what_cannot_be_written_is_not_lost() -> None:
    counts = CacheCounts()
    counts.add("f", "stale")
    with pytest.raises(UnavailableError):
        await counts.write(Failing(1))
    assert counts.has_news


async def test_the_upkeep_goes_on_when_the_database_is_back() -> None:
    app = service()
    async with serving(app):
        services: Services = app.state.services
        counts, failing = CacheCounts(), Failing(2)
        failing._things, failing._factories = services._things, services._factories
        counts.add("f", "hits")
        upkeep = asyncio.create_task(CacheUpkeep(failing, counts, pause=0.001).run())
        async with asyncio.timeout(PATIENCE):
            while counts.has_news:
                await asyncio.sleep(0.001)
        upkeep.cancel()
        async with services.scope.read() as scope:
            assert await scope.session.scalar(select(TaskCacheCount.hits)) == 1


async def test_a_result_that_expired_long_ago_is_forgotten() -> None:
    app = service()
    now = datetime.now(UTC)
    async with serving(app), app.state.services.scope.write() as scope:
        artifact = await scope.get(ArtifactManager).store({"a": 1})
        for name, ttl in (("long", 3600.0), ("short", 1.0), ("ever", None)):
            await TaskResults(scope.session, lambda: now).keep(Kept(name, "f", Cache(ttl=ttl)), artifact.id)
        later = TaskResults(scope.session, lambda: now + timedelta(days=1, minutes=1))
        assert await later.purge() == 1
        assert sorted((await scope.session.scalars(select(TaskResult.key))).all()) == ["ever", "long"]
        assert await later.count() == {"f": 1}
