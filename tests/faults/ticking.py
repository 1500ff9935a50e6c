"""What a process does that sees to schedules and runs their jobs."""

import asyncio
import signal
from contextlib import suppress

from fastapi import FastAPI
from sqlalchemy import func, select

from chapkit.core.clock import to_text
from chapkit.core.services import Services
from chapkit.job.runtime import JobRuntime
from chapkit.scheduler.models import Schedule
from tests.faults.driver import count_open
from tests.faults.strikes import Say
from tests.faults.tidying import recover_swiftly

_LOOK_EVERY = 0.05


async def see_to_ticks(app: FastAPI, say: Say) -> None:
    """Work until told to stop; say by which clock, and whenever nothing is left."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with app.router.lifespan_context(app):
        services: Services = app.state.services
        say("ready", 0)
        say("clock", to_text(services.get(JobRuntime).clock.now()))
        with suppress(asyncio.CancelledError):
            async with asyncio.TaskGroup() as tasks:
                working = [tasks.create_task(recover_swiftly(services)), tasks.create_task(_watch(services, say))]
                await stop.wait()
                for task in working:
                    task.cancel()


async def _watch(services: Services, say: Say) -> None:
    while True:
        async with services.scope.read() as scope:
            pending = select(func.count()).select_from(Schedule).where(Schedule.next_run_at.is_not(None))
            ticks = await scope.session.scalar(pending) or 0
        if not ticks and not await count_open(services):
            say("quiet")
        await asyncio.sleep(_LOOK_EVERY)
