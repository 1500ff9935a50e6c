"""Keeps a service busy from inside: submits jobs, cancels some, tidies up."""

import asyncio
import random
from contextlib import suppress

from sqlalchemy import func, select

from chapkit.config.manager import ConfigManager
from chapkit.core.errors import ConflictError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.rows import JOBS
from chapkit.job.service import JobService
from chapkit.ml.schemas import TrainRequest
from chapkit.ml.submission import RunSubmitter, Submission
from tests.faults.jobs import ENDS, HANDLERS, TRAIN, ForgottenWork, PatientWork, training_body
from tests.faults.orders import Order
from tests.faults.points import POINTS, TIDY
from tests.faults.service import SHARED, submit
from tests.faults.strikes import Say
from tests.faults.tidying import Tidier, recover_swiftly

ENOUGH = 25
"""Jobs that wait or run; more would only make the end take longer."""
PAUSE = 0.004
_OPEN = ("pending", "running")
_FOCUS = 0.6
_NAMES = [handler.name for handler in HANDLERS]


async def drive(services: Services, order: Order, say: Say) -> None:
    """Do everything that leads to a point, in an order by chance, until the service stops."""
    chance = random.Random(order.seed)
    by = "" if order.strike is None else POINTS[order.strike.point].by
    with suppress(asyncio.CancelledError):
        async with asyncio.TaskGroup() as tasks:
            if by == TIDY or order.strike is None:
                tasks.create_task(Tidier(services, chance).run())
            tasks.create_task(recover_swiftly(services))
            while True:
                if await count_open(services) < ENOUGH:
                    name = by if by in ENDS and chance.random() < _FOCUS else chance.choice(_NAMES)
                    try:
                        job_id = await _submit(services, name, chance.getrandbits(31))
                    except UnavailableError as error:
                        if error.code != "service-stopping":
                            raise
                        break
                    if name != ForgottenWork.name:
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
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(recover_swiftly(services))
            tasks.create_task(_watch(services, say))


async def _watch(services: Services, say: Say) -> None:
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
