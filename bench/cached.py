"""Kept results: how long an equal call takes, beside one that has to run."""

import time
from statistics import median, quantiles
from typing import Any

from bench.connection import Connection
from bench.crud import WrongAnswerError, progress
from bench.jobs_databases import Kind, kinds, new_place
from bench.options import Options, Report
from bench.process import cpu_seconds
from bench.server import Server
from bench.table import Table

SERVICE = "bench.cached_service:app"
TASKS = "/api/v1/tasks"
AIM_P99_MS = 5.0


def run(options: Options) -> Report:
    """Measure equal calls of a function whose results are kept, one after the other over HTTP."""
    count = 100 if options.quick else 2_000
    table = Table(
        f"Kept results: POST $execute, {count:,} equal calls one after the other (ms)",
        ["database", "first call", "hit p50", "p99", "CPU", "aim of p99"],
        note="first call: until its result is there, median of 20",
    )
    figures: dict[str, Any] = {}
    for kind in kinds():
        progress(f"cache: {kind.name}")
        row = figures[kind.name] = measure(options, kind, count)
        aim = AIM_P99_MS if kind.aims else None
        table.rows.append([kind.name, row["miss_p50_ms"], row["p50_ms"], row["p99_ms"], row["cpu_ms"], aim])
    return Report([table], figures)


def measure(options: Options, kind: Kind, count: int) -> dict[str, float]:
    """Return the times on one database."""
    with (
        new_place(options, kind) as place,
        Server(SERVICE, place.directory, **place.variables) as server,
        server.connect() as connection,
    ):
        task = {"command": "square", "task_type": "python", "parameters": {"number": 1}}
        path = f"{TASKS}/{connection.call('POST', TASKS, task, expect=201)['id']}/$execute"
        misses = [timed(connection, path, number) for number in range(20)]
        for _ in range(count // 10):
            timed(connection, path, 1)
        cpu = cpu_seconds(server.pid)
        hits = [timed(connection, path, 1) for _ in range(count)]
        cpu = cpu_seconds(server.pid) - cpu
        if connection.call("GET", f"{TASKS}/$cache")["hits"] < count:
            raise WrongAnswerError("Not every equal call was a hit")
    return {
        "miss_p50_ms": median(misses),
        "p50_ms": median(hits),
        "p99_ms": quantiles(hits, n=100)[98],
        "cpu_ms": cpu / count * 1e3,
    }


def timed(connection: Connection, path: str, number: int) -> float:
    """Return the milliseconds until the result of a call is there."""
    begun = time.perf_counter()
    accepted = connection.call("POST", path, {"parameters": {"number": number}}, expect=202)
    if accepted["cache"] != "hit":
        job = connection.call("GET", f"/api/v1/jobs/{accepted['job_id']}?wait=10")
        if job["status"] != "completed":
            raise WrongAnswerError(f"A function that squares a number ended as {job}")
    return (time.perf_counter() - begun) * 1e3
