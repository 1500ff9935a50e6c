import asyncio
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import select

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.core.services import Services
from chapkit.job.queue import JobQueue
from chapkit.job.runtime import JobRuntime
from chapkit.job.schemas import JobStatus
from tests.things import Thing, open_database

ROUNDS = 2
ROOT = Path(__file__).parents[2]


class Child:
    """A process of the service."""

    def __init__(self, url: str, jobs: int) -> None:
        command = [sys.executable, "-m", "tests.faults.job_service", url, str(jobs)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=dict(os.environ))
        self.accepted: set[ULID] = set()
        self.begun: list[ULID] = []
        self.ready_at = 0.0
        self.first_begun_at = 0.0

    def read_until(self, *, accepted: int = 0, begun: int = 0) -> None:
        assert self._process.stdout is not None
        while len(self.accepted) < accepted or len(self.begun) < begun:
            line = self._process.stdout.readline()
            assert line, f"the service ended: {self._process.wait()}"
            word, moment, what = line.rstrip("\n").split(" ", 2)
            if word == "ready":
                self.ready_at = float(moment)
            elif word == "accepted":
                self.accepted.add(ULID(what))
            elif word == "begun":
                self.first_begun_at = self.first_begun_at or float(moment)
                self.begun.append(ULID(what))

    def end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        assert self._process.stdout is not None
        self._process.stdout.close()
        return self._process.wait(20)


@pytest.mark.timeout(60)
def test_every_accepted_job_is_completed_once_whatever_kills_the_service(database_url: str) -> None:
    accepted: set[ULID] = set()
    for _ in range(ROUNDS):
        child = Child(database_url, jobs=2)
        try:
            child.read_until(accepted=2, begun=2)
        finally:
            assert child.end(signal.SIGKILL) == -signal.SIGKILL
        accepted |= child.accepted
    last = Child(database_url, jobs=0)
    try:
        last.read_until(begun=1)
        # Counted from the moment the service stands; an interpreter may take long to start.
        assert last.first_begun_at - last.ready_at < 1.0
        records, results = asyncio.run(_wait_for(database_url, accepted))
    finally:
        assert last.end(signal.SIGTERM) == 0
    assert records == dict.fromkeys(accepted, JobStatus.COMPLETED)
    assert results == Counter(accepted)


async def _wait_for(url: str, jobs: set[ULID]) -> tuple[dict[ULID, JobStatus], Counter[str]]:
    database, services = open_database(url), Services()
    services.add(Database, database)
    queue = JobQueue(JobRuntime(services))
    try:
        records = [await queue.wait_until_final(job, 20) for job in jobs]
        async with services.scope.read() as scope:
            names = (await scope.session.scalars(select(Thing.name))).all()
    finally:
        await database.dispose()
    return {record.id: record.status for record in records}, Counter(name.partition(":")[0] for name in names)
