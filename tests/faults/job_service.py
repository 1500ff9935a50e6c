"""A service that the test kills: `python -m tests.faults.job_service DATABASE_URL JOBS`."""

import asyncio
import signal
import sys
import time
from typing import ClassVar

from chapkit.core.services import Scope
from chapkit.job.context import JobContext
from chapkit.job.ports import JobHandler, JobOutcome
from tests.things import Thing, open_database
from tests.unit.job.parts import job_system


class Slow(JobHandler):
    """Computes for a while, then stores one row as its result."""

    name: ClassVar[str] = "test.slow"

    async def execute(self, context: JobContext) -> JobOutcome:
        say("begun", context.job_id)
        await context.run_user_function(time.sleep, context.payload["seconds"])

        async def record(scope: Scope) -> None:
            scope.session.add(Thing(name=f"{context.job_id}:{context.attempt}"))
            await scope.session.flush()

        return JobOutcome(record=record)


def say(word: str, what: object = "") -> None:
    print(word, time.monotonic(), what, flush=True)


async def main(url: str, jobs: int) -> None:
    database = open_database(url)
    await database.init()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with job_system(database, Slow()) as system:
        say("ready")
        for _ in range(jobs):
            job = await system.submit("test.slow", {"seconds": 0.3})
            say("accepted", job.id)
        await stop.wait()
    await database.dispose()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
