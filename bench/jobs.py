"""Jobs: how many are submitted and drained a second, how long one takes, what a page of them costs."""

import json
import time
from contextlib import ExitStack
from statistics import median
from typing import Any

from bench.child import Child
from bench.connection import Connection
from bench.crud import WrongAnswerError, progress
from bench.jobs_databases import Kind, Place, both, kinds, new_place
from bench.jobs_parts import SUBMIT
from bench.options import Options, Report
from bench.process import cpu_seconds
from bench.server import Server
from bench.table import Table

SERVICE = "bench.jobs_service:app"
JOBS = "/api/v1/jobs"
CONNECTIONS = 16
WORKERS = (None, 4, 16, 32)
DRAIN_AIMS = {"process": 1_500, "power": 1_000}
WAIT_AIM_MS = 25.0
PAGE_AIM_MS = 10.0
PAGE = f"{JOBS}?page=1&size=100"
NO_WORKER = {"BENCH_JOB_WORKERS": "0"}
FINAL = ("completed", "failed", "canceled")

Figures = dict[str, Any]


def run_submit(options: Options) -> Report:
    """Measure durable submits: one transaction each, in process and over HTTP, beside the bare driver."""
    table = Table(
        "Jobs: durable submits, one transaction each (jobs/s)",
        ["database", "bare driver", "in process", "16 tasks", "of bare", "CPU ms", "HTTP, 16", "p99 ms", "CPU ms"],
        note="bare driver: sqlite3 inserting a job and an event and committing, in a loop; of bare: in process / bare",
    )
    figures: Figures = {}
    for kind in kinds():
        progress(f"submits: {kind.name}")
        with new_place(options, kind) as place:
            found = figures[kind.name] = measure_submits(options, place)
        bare, one, http = found.get("bare"), found["inside"], found["http"]
        of_bare = one["rate"] / bare if bare else None
        inside_cells = (bare, one["rate"], found["inside 16"]["rate"], of_bare, one["cpu_ms"])
        table.rows.append([kind.name, *inside_cells, http["rps"], http["p99_ms"], http["cpu_ms"]])
    return Report([table], figures)


def measure_submits(options: Options, place: Place) -> Figures:
    """Return the rates on one database."""
    found: Figures = {}
    with inside(place) as child:
        if place.kind.is_sqlite:
            path = str(place.directory / "bare.db")
            found["bare"] = child.ask(operation="raw", path=path, seconds=options.seconds)["rate"]
        found["inside"] = child.ask(operation="submit", seconds=options.seconds, tasks=1)
        found["inside 16"] = child.ask(operation="submit", seconds=options.seconds, tasks=16)
    with ExitStack() as stack:
        server = stack.enter_context(Server(SERVICE, place.directory, **{**place.variables, **NO_WORKER}))
        load = stack.enter_context(Child("bench.jobs_load", server.port, server.pid))
        load.ask(path=SUBMIT, connections=CONNECTIONS, count=CONNECTIONS * 4)
        found["http"] = load.ask(path=SUBMIT, connections=CONNECTIONS, seconds=options.seconds)
    return found


def run_drain(options: Options) -> Report:
    """Measure how fast jobs that do nothing are done when many wait."""
    count = 500 if options.quick else 5_000
    heads = [*("defaults" if number is None else f"{number} workers" for number in WORKERS)]
    table = Table(
        f"Jobs: {count:,} that do nothing, drained (jobs/s), best of {options.rounds} on SQLite",
        ["database", *heads, "CPU ms a job", "aim"],
        note="from the commit of all to the last one completed; CPU: with the defaults",
    )
    figures: Figures = {}
    for kind in kinds():
        progress(f"drain: {kind.name}")
        rounds: dict[str, list[Figures]] = {head: [] for head in heads}
        for _ in range(options.rounds if kind.aims else 1):
            for head, workers in zip(heads, WORKERS, strict=True):
                with new_place(options, kind) as place, inside(place) as child:
                    rounds[head].append(child.ask(operation="drain", count=count, workers=workers))
        found = {head: max(rows, key=lambda row: row["rate"]) for head, rows in rounds.items()}
        figures[kind.name] = {"best": found, "rounds": rounds}
        aim = DRAIN_AIMS[kind.durability] if kind.aims else None
        table.rows.append([kind.name, *(found[head]["rate"] for head in heads), found["defaults"]["cpu_ms"], aim])
    return Report([table], figures)


def run_wait(options: Options) -> Report:
    """Measure the time from a submit over HTTP to the result, one job after the other."""
    count = 40 if options.quick else 300
    table = Table(
        f"Jobs: submit, then GET ?wait=10 until it has ended; {count} one after the other (ms)",
        ["database", "worker", "submit p50", "result p50", "result p99", "CPU", "aim of p50"],
    )
    figures: Figures = {}
    for kind in kinds():
        progress(f"submit to result: {kind.name}")
        found = figures[kind.name] = {
            "same process": measure_wait(options, kind, count, apart=False),
            "another process": measure_wait(options, kind, count, apart=True),
        }
        for worker, row in found.items():
            aim = WAIT_AIM_MS if kind.aims else None
            times = (row["submit_p50_ms"], row["p50_ms"], row["p99_ms"])
            table.rows.append([kind.name, worker, *times, row["cpu_ms"], aim])
    return Report([table], figures)


def measure_wait(options: Options, kind: Kind, count: int, *, apart: bool) -> Figures:
    """Return the times on one database; `apart`, the asked process does no jobs."""
    with ExitStack() as stack:
        place = stack.enter_context(new_place(options, kind))
        variables = {**place.variables, **NO_WORKER} if apart else place.variables
        servers = [stack.enter_context(Server(SERVICE, place.directory, **variables))]
        if apart:
            servers.append(stack.enter_context(Server(SERVICE, place.directory, **place.variables)))
        connection = stack.enter_context(servers[0].connect())
        for _ in range(count // 10):
            submit_and_wait(connection)
        cpu = sum(cpu_seconds(server.pid) for server in servers)
        pairs = [submit_and_wait(connection) for _ in range(count)]
        cpu = sum(cpu_seconds(server.pid) for server in servers) - cpu
    submits, results = zip(*pairs, strict=True)
    return {"submit_p50_ms": median(submits) * 1e3, **quantiles(results), "cpu_ms": cpu / count * 1e3}


def submit_and_wait(connection: Connection) -> tuple[float, float]:
    """Return the seconds of the submit, and those from its beginning to the result."""
    begun = time.perf_counter()
    job = connection.call("POST", SUBMIT, expect=202)
    submitted = time.perf_counter()
    while job["status"] not in FINAL:
        job = connection.call("GET", f"{JOBS}/{job['id']}?wait=10")
    if job["status"] != "completed":
        raise WrongAnswerError(f"A job that does nothing ended as {job}")
    return submitted - begun, time.perf_counter() - begun


def run_page(options: Options) -> Report:
    """Measure a page of 100 out of many jobs."""
    count, requests = (2_000, 50) if options.quick else (10_000, 300)
    table = Table(
        f"Jobs: GET {PAGE} out of {count:,} (ms)",
        ["database", "p50", "p99", "CPU", "kB", "aim"],
        note="one connection",
    )
    figures: Figures = {}
    for kind in both():
        progress(f"page: {kind.name}")
        with new_place(options, kind) as place:
            with inside(place) as child:
                child.ask(operation="fill", count=count)
            variables = {**place.variables, **NO_WORKER}
            with Server(SERVICE, place.directory, **variables) as server, server.connect() as connection:
                page = connection.call("GET", PAGE)
                if page["total"] != count or len(page["items"]) != 100:
                    raise WrongAnswerError(f"A page of {len(page['items'])} out of {page['total']}")
                cpu = cpu_seconds(server.pid)
                times = [timed_call(connection, PAGE) for _ in range(requests)]
                cpu = (cpu_seconds(server.pid) - cpu) / requests
        found = figures[kind.name] = {**quantiles(times), "cpu_ms": cpu * 1e3, "bytes": len(json.dumps(page))}
        aim = PAGE_AIM_MS if kind.aims else None
        table.rows.append(
            [kind.name, *(found[key] for key in ("p50_ms", "p99_ms", "cpu_ms")), found["bytes"] / 1e3, aim]
        )
    return Report([table], figures)


def timed_call(connection: Connection, path: str) -> float:
    """Return the seconds of one request."""
    begun = time.perf_counter()
    connection.call("GET", path)
    return time.perf_counter() - begun


def inside(place: Place) -> Child:
    """Return a process that works with jobs without HTTP."""
    return Child("bench.jobs_inside", place.url, place.kind.durability)


def quantiles(times: Any) -> dict[str, float]:
    """Return the middle, the 99th percentile and the longest of some seconds, in milliseconds."""
    ordered = sorted(times)
    return {
        "p50_ms": median(ordered) * 1e3,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
        "max_ms": ordered[-1] * 1e3,
    }
