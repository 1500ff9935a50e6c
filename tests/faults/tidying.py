"""What keeps a service in order, done as often as it takes to come to every point: sweeps, retention, recovery."""

import asyncio
import os
import random
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import select, update

from chapkit.artifact.files import FileBlobStore
from chapkit.artifact.models import Blob
from chapkit.artifact.ports import BlobReferences
from chapkit.artifact.storage import ContentStorage
from chapkit.artifact.stores import DatabaseBlobStore
from chapkit.artifact.sweeper import BlobSweeper
from chapkit.core.checkpoint import Checkpointer
from chapkit.core.clock import SystemClock, utc_now
from chapkit.core.database import Database
from chapkit.core.errors import ConflictError, NotFoundError, UnavailableError
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase
from chapkit.job.janitor import JobJanitor
from chapkit.job.recovery import JobRecovery
from chapkit.job.retention import Retention
from chapkit.job.rows import JOBS
from chapkit.job.runtime import JobRuntime
from chapkit.job.service import JobService
from tests.faults.clocks import swift_monotonic
from tests.faults.jobs import LARGE, POOL, FailingWork, ForgottenWork, pool_content

_AGE = timedelta(hours=2)
_YEARS = timedelta(days=1000)
_RECOVER_EVERY = 0.15
_PAUSE = 0.01


class Tidier:
    """Leaves behind what has to be cleared away, and clears it away."""

    def __init__(self, services: Services, chance: random.Random) -> None:
        self._services = services
        self._chance = chance
        self._storage = services.get(ContentStorage)
        self._sweeper = BlobSweeper(services, self._storage, services.get(BlobReferences).queries)
        self._janitor = JobJanitor(services, SystemClock(), Retention(age=timedelta(days=300), count=None))

    async def run(self) -> None:
        """Do it all until cancelled."""
        database = self._services.get(Database)
        while True:
            await asyncio.sleep(self._chance.random() * _PAUSE)
            await self._leave_orphans()
            await self._sweeper.sweep()
            await self._age_a_job()
            await self._janitor.clean()
            await self._retry_a_failure()
            if isinstance(database, SqliteDatabase):
                await asyncio.to_thread(Checkpointer(database.path).run)

    async def _leave_orphans(self) -> None:
        """Put contents that nobody names; make them, and one that jobs share, look old."""
        async with self._services.scope.write() as scope:
            ref = await DatabaseBlobStore(scope.session).put(self._chance.randbytes(100))
            old = {"created_at": utc_now() - _AGE}
            await scope.session.execute(update(Blob).where(Blob.sha256 == ref.sha256).values(old))
        store = self._storage.large
        assert isinstance(store, FileBlobStore)
        old_time = (utc_now() - _AGE).timestamp()
        for content in (self._chance.randbytes(LARGE), pool_content(self._chance.randrange(POOL))):
            ref = await store.put(content)
            with suppress(FileNotFoundError):
                os.utime(store._path(ref.sha256), (old_time, old_time))

    async def _age_a_job(self) -> None:
        async with self._services.scope.write() as scope:
            ended = (JOBS.c.handler == ForgottenWork.name, JOBS.c.status == "completed")
            one = select(JOBS.c.id).where(*ended).limit(1).with_for_update(skip_locked=True).scalar_subquery()
            await scope.session.execute(update(JOBS).where(JOBS.c.id == one).values(finished_at=utc_now() - _YEARS))

    async def _retry_a_failure(self) -> None:
        async with self._services.scope.read() as scope:
            failed = (JOBS.c.handler == FailingWork.name, JOBS.c.status == "failed")
            job_id = await scope.session.scalar(select(JOBS.c.id).where(*failed).order_by(JOBS.c.id.desc()).limit(1))
        if job_id is not None:
            # Another process may be faster.
            with suppress(ConflictError, NotFoundError):
                await self._services.get(JobService).retry(job_id)


async def recover_swiftly(services: Services) -> None:
    """Show this process, and look for dead and stopped ones, more often than a service does."""
    runtime = services.get(JobRuntime)
    recovery = JobRecovery(runtime, swift_monotonic)
    while runtime.presence.id is not None:
        # As the worker of the service does: the next time will do.
        with suppress(UnavailableError):
            await runtime.presence.beat()
            await recovery.recover()
        await asyncio.sleep(_RECOVER_EVERY)
