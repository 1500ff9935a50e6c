"""Jobs without HTTP: `python -m bench.jobs_inside URL DURABILITY` submits and drains in a process of its own."""

import asyncio
import gc
import sqlite3
import sys
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import uvloop

from bench.child import serve
from bench.jobs_parts import Nothing, service
from chapkit.core.services import Services
from chapkit.job import JobService, JobSpec, JobStatus

PATIENCE = 300.0
"""Seconds in which a queue must be empty."""
_RAW_TABLES = """
CREATE TABLE jobs (id TEXT PRIMARY KEY, handler TEXT, payload TEXT, status TEXT, queue TEXT, priority INT, at TEXT);
CREATE INDEX ix_claim ON jobs (status, queue, priority DESC, id);
CREATE INDEX ix_status ON jobs (status, id);
CREATE TABLE events (job_id TEXT, number INT, kind TEXT, data TEXT, at TEXT, PRIMARY KEY (job_id, number));
"""
_RAW_JOB = "INSERT INTO jobs VALUES (?, 'bench.nothing', '{}', 'pending', 'default', 0, '2026-01-01T00:00:00Z')"
_RAW_EVENT = "INSERT INTO events VALUES (?, 1, 'status', '{\"status\":\"pending\"}', '2026-01-01T00:00:00Z')"


class Inside:
    """Answers the commands of the driver."""

    def __init__(self, url: str, durability: str) -> None:
        self.url = url
        self.durability = durability

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command; standard output is for the answer, so logs go elsewhere."""
        with redirect_stdout(sys.stderr):
            return self.carry_out(command["operation"], command)

    def carry_out(self, operation: str, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one operation."""
        if operation == "raw":
            return self.raw(Path(command["path"]), command["seconds"])
        if operation == "submit":
            return uvloop.run(self.submit(command["seconds"], command["tasks"]))
        if operation == "fill":
            return uvloop.run(self.fill(command["count"]))
        return uvloop.run(self.drain(command["count"], command["workers"]))

    def raw(self, path: Path, seconds: float) -> dict[str, float]:
        """Insert a job and an event and commit, with nothing but the driver: what the disk and SQLite allow."""
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if self.durability == 'power' else 'NORMAL'}")
        connection.executescript(_RAW_TABLES)
        number = 0
        started = time.perf_counter()
        while time.perf_counter() < started + seconds:
            key = (f"01K{number:023}",)
            connection.execute("BEGIN IMMEDIATE")
            connection.execute(_RAW_JOB, key)
            connection.execute(_RAW_EVENT, key)
            connection.execute("COMMIT")
            number += 1
        elapsed = time.perf_counter() - started
        connection.close()
        return {"rate": number / elapsed}

    async def submit(self, seconds: float, tasks: int) -> dict[str, float]:
        """Submit one job a transaction, from several tasks at once."""
        latencies: list[float] = []
        async with self._service(0) as services:

            async def go_on(until: float) -> None:
                while (begun := time.perf_counter()) < until:
                    await submit_one(services)
                    latencies.append(time.perf_counter() - begun)

            await go_on(time.perf_counter() + 0.2)
            latencies.clear()
            started, cpu = time.perf_counter(), time.process_time()
            await asyncio.gather(*(go_on(started + seconds) for _ in range(tasks)))
            elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
        ordered = sorted(latencies)
        count = len(ordered)
        return {"rate": count / elapsed, "p99_ms": ordered[int(count * 0.99)] * 1e3, "cpu_ms": cpu / count * 1e3}

    async def fill(self, count: int) -> dict[str, int]:
        """Submit jobs that nobody takes, many in a transaction."""
        async with self._service(0) as services:
            for _ in range(count // 1_000):
                await submit_many(services, 1_000)
        return {"count": count}

    async def drain(self, count: int, workers: int | None) -> dict[str, float]:
        """Submit jobs in one transaction, and time how long they take from its commit until all are completed."""
        handler = Nothing()
        async with self._service(workers, handler) as services:
            await submit_many(services, 1)
            await completed(services, handler, 1)
            await submit_many(services, count)
            started, cpu = time.perf_counter(), time.process_time()
            await completed(services, handler, count + 1)
            elapsed, cpu = time.perf_counter() - started, time.process_time() - cpu
        return {"rate": count / elapsed, "cpu_ms": cpu / count * 1e3}

    @asynccontextmanager
    async def _service(self, workers: int | None, *handlers: Nothing) -> AsyncGenerator[Services]:
        app = service(self.url, self.durability, workers, *(handlers or (Nothing(),)))
        async with app.router.lifespan_context(app):
            gc.collect()
            yield app.state.services


async def submit_one(services: Services) -> None:
    """Submit one job in a transaction of its own."""
    async with services.scope.write() as scope:
        await services.get(JobService).submit(JobSpec(handler=Nothing.name), scope)


async def submit_many(services: Services, count: int) -> None:
    """Submit jobs in one transaction."""
    async with services.scope.write() as scope:
        for _ in range(count):
            await services.get(JobService).submit(JobSpec(handler=Nothing.name), scope)


async def completed(services: Services, handler: Nothing, count: int) -> None:
    """Wait until so many jobs are completed in the database; asked only when the last one has begun."""
    async with asyncio.timeout(PATIENCE):
        while handler.count < count:
            await asyncio.sleep(0.01)
        while (await services.get(JobService).stats()).by_status[JobStatus.COMPLETED] < count:
            await asyncio.sleep(0.002)


if __name__ == "__main__":
    serve(Inside(sys.argv[1], sys.argv[2]).answer)
