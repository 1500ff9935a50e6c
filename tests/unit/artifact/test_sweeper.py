import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert, literal, select

from chapkit.artifact.feature import ArtifactFeature
from chapkit.artifact.manager import ArtifactManager
from chapkit.artifact.ports import BlobReferences
from chapkit.artifact.storage import ContentStorage
from chapkit.artifact.stores import BlobStore
from chapkit.artifact.sweeper import BlobSweeper
from chapkit.core.services import Services
from chapkit.job.models import Job
from tests.unit.artifact.conftest import Application

pytestmark = pytest.mark.anyio
LARGE = b"x" * 100_000


class Hours:
    """A clock that runs ahead of the machine's."""

    def __init__(self, hours: float) -> None:
        self._ahead = timedelta(hours=hours)

    def now(self) -> datetime:
        return datetime.now(UTC) + self._ahead


def sweeper_of(services: Services, hours: float = 2) -> BlobSweeper:
    return BlobSweeper(services, services.get(ContentStorage), services.get(BlobReferences).queries, Hours(hours))


async def put(services: Services, *contents: bytes) -> list[str]:
    async with services.scope.write() as scope:
        return [(await scope.get(BlobStore).put(content)).sha256 for content in contents]


async def present(services: Services, names: list[str]) -> list[bool]:
    async with services.scope.read() as scope:
        return [await scope.get(BlobStore).exists(name) for name in names]


async def test_what_no_row_names_goes(application: Application) -> None:
    names = await put(application.services, b"small", LARGE)
    assert await sweeper_of(application.services).sweep() == 2
    assert await present(application.services, names) == [False, False]
    assert await sweeper_of(application.services).sweep() == 0


async def test_what_is_young_stays(application: Application) -> None:
    names = await put(application.services, b"small", LARGE)
    assert await sweeper_of(application.services, hours=0.5).sweep() == 0
    assert await present(application.services, names) == [True, True]


async def test_what_an_artifact_names_stays_until_the_artifact_goes(application: Application) -> None:
    async with application.services.scope.write() as scope:
        manager = scope.get(ArtifactManager)
        ids = [(await manager.store(content)).id for content in (b"small", LARGE)]
    assert await sweeper_of(application.services).sweep() == 0
    async with application.services.scope.write() as scope:
        await scope.get(ArtifactManager).delete_all_by_id(ids)
    assert await sweeper_of(application.services).sweep() == 2


async def test_what_a_job_names_stays(application: Application) -> None:
    [name] = await put(application.services, LARGE)
    async with application.services.scope.write() as scope:
        await scope.session.execute(insert(Job).values(handler="ml.train", kind="ml.train", payload_blob=name))
    assert await sweeper_of(application.services).sweep() == 0


async def test_what_another_feature_names_stays(application: Application) -> None:
    kept, gone = await put(application.services, b"kept", b"gone")
    query: Any = select(literal(kept).label("sha256")).subquery()
    application.services.get(BlobReferences).add(select(query.c.sha256))
    assert await sweeper_of(application.services).sweep() == 1
    assert await present(application.services, [kept, gone]) == [True, False]


async def test_many_blobs_are_swept_in_batches(application: Application) -> None:
    await put(application.services, *(f"content {number}".encode() for number in range(1200)))
    assert await sweeper_of(application.services).sweep() == 1200


async def test_the_feature_brings_the_worker_which_sweeps_at_the_start(application: Application) -> None:
    [worker] = ArtifactFeature().workers(application.services)
    assert worker.name == "blob-sweeper"
    names = await put(application.services, b"young")
    task = asyncio.create_task(worker.run())
    await asyncio.wait([task], timeout=0.2)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert await present(application.services, names) == [True]
