"""Keeps a service busy from inside: submits jobs, cancels some, leaves orphans behind and sweeps them."""

import asyncio
import os
import random
from contextlib import suppress
from datetime import timedelta

from sqlalchemy import func, select, update

from chapkit.artifact.files import FileBlobStore
from chapkit.artifact.models import Blob
from chapkit.artifact.ports import BlobReferences
from chapkit.artifact.storage import ContentStorage
from chapkit.artifact.stores import DatabaseBlobStore
from chapkit.artifact.sweeper import BlobSweeper
from chapkit.config.manager import ConfigManager
from chapkit.core.checkpoint import Checkpointer
from chapkit.core.clock import utc_now
from chapkit.core.database import Database
from chapkit.core.errors import ConflictError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.core.sqlite import SqliteDatabase
from chapkit.job.rows import JOBS
from chapkit.job.service import JobService
from chapkit.ml.schemas import TrainRequest
from chapkit.ml.submission import RunSubmitter, Submission
from tests.faults.jobs import ENDS, HANDLERS, LARGE, POOL, TRAIN, PatientWork, pool_content, training_body
from tests.faults.orders import Order
from tests.faults.points import POINTS, TIDY
from tests.faults.service import SHARED, submit
from tests.faults.strikes import Say

ENOUGH = 25
"""Jobs that wait or run; more would only make the end take longer."""
PAUSE = 0.004
_AGE = timedelta(hours=2)
_OPEN = ("pending", "running")
_FOCUS = 0.6
_NAMES = [handler.name for handler in HANDLERS]


async def drive(services: Services, order: Order, say: Say) -> None:
    """Do everything that leads to a point, in an order by chance, until the service stops."""
    chance = random.Random(order.seed)
    by = "" if order.strike is None else POINTS[order.strike.point].by
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_tidy(services, chance, 0.0 if by == TIDY else 0.1))
            while True:
                if await count_open(services) < ENOUGH:
                    name = by if by in ENDS and chance.random() < _FOCUS else chance.choice(_NAMES)
                    try:
                        job_id = await _submit(services, name, chance.getrandbits(31))
                    except UnavailableError as error:
                        if error.code != "service-stopping":
                            raise
                        break
                    say("accepted", job_id, name)
                    if name == PatientWork.name:
                        tasks.create_task(_cancel_soon(services, job_id, chance.random() / 10))
                await asyncio.sleep(PAUSE)


async def _submit(services: Services, name: str, number: int) -> ULID:
    if name != TRAIN:
        return (await submit(services, name, number)).id
    async with services.scope.read() as scope:
        config = await scope.get(ConfigManager).find_by_name(SHARED)
    assert config is not None
    body = training_body(str(config.id), number)
    request = TrainRequest.model_validate_json(body)
    return (await services.get(RunSubmitter).train(Submission(request, body))).id


async def drain(services: Services, say: Say) -> None:
    """Say whenever every job has ended."""
    with suppress(asyncio.CancelledError):
        while True:
            if not await count_open(services):
                say("quiet")
            await asyncio.sleep(0.05)


async def count_open(services: Services) -> int:
    """Return the number of jobs that wait or run."""
    async with services.scope.read() as scope:
        statement = select(func.count()).select_from(JOBS).where(JOBS.c.status.in_(_OPEN))
        return await scope.session.scalar(statement) or 0


async def _cancel_soon(services: Services, job_id: ULID, pause: float) -> None:
    await asyncio.sleep(pause)
    with suppress(ConflictError):
        await services.get(JobService).cancel(job_id)


async def _tidy(services: Services, chance: random.Random, pause: float) -> None:
    storage = services.get(ContentStorage)
    sweeper = BlobSweeper(services, storage, services.get(BlobReferences).queries)
    database = services.get(Database)
    while True:
        await asyncio.sleep(chance.random() * pause)
        await _leave_orphans(services, chance)
        await sweeper.sweep()
        if isinstance(database, SqliteDatabase):
            await asyncio.to_thread(Checkpointer(database.path).run)


async def _leave_orphans(services: Services, chance: random.Random) -> None:
    """Put contents that nobody names, and make them and one that jobs share look old."""
    async with services.scope.write() as scope:
        ref = await DatabaseBlobStore(scope.session).put(chance.randbytes(100))
        await scope.session.execute(update(Blob).where(Blob.sha256 == ref.sha256).values(created_at=utc_now() - _AGE))
    store = services.get(ContentStorage).large
    assert isinstance(store, FileBlobStore)
    old = (utc_now() - _AGE).timestamp()
    for content in (chance.randbytes(LARGE), pool_content(chance.randrange(POOL))):
        ref = await store.put(content)
        with suppress(FileNotFoundError):
            os.utime(store._path(ref.sha256), (old, old))
