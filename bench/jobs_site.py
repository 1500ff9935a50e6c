"""Jobs: what a death costs, what idling costs, and what thousands of trainings do to everybody else."""

import json
import time
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

from bench.child import Child
from bench.connection import Connection
from bench.crud import WrongAnswerError, progress
from bench.jobs import CONNECTIONS, JOBS, SERVICE, Figures
from bench.jobs_databases import PROCESS, Kind, both, new_place
from bench.jobs_parts import MARKS_VARIABLE, SUBMIT
from bench.load import CONFIGS
from bench.options import Options, Report
from bench.process import cpu_seconds
from bench.server import Server
from bench.table import Table

ML_SERVICE = "bench.jobs_ml_service:app"
RESTART_AIM_S = 1.0
TAKEOVER_AIM_S = 20.0
IDLE_AIM_PERCENT = 1.0
HEALTH_AIM_MS = 100.0
RUNNING = 4
PATIENCE = 90.0
DRAIN_PATIENCE = 900.0


class Marks:
    """The notes that endless jobs leave when they begin."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def of(self, pid: int) -> dict[str, float]:
        """Return the jobs that a process has begun, and when."""
        lines = [line.split() for line in self.path.read_text().splitlines()]
        return {job: float(moment) for process, job, moment in lines if int(process) == pid}

    def wait(self, pid: int, among: set[str] | None = None, count: int = 1) -> dict[str, float]:
        """Return what `of` does when so many jobs, of those given, are there."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            found = {job: moment for job, moment in self.of(pid).items() if among is None or job in among}
            if len(found) >= count:
                return found
            time.sleep(0.005)
        raise WrongAnswerError(f"After {PATIENCE:.0f} s, process {pid} has begun only {self.of(pid)}")


def run_recovery(options: Options) -> Report:
    """Measure when the jobs of a killed service run again."""
    rounds = 1 if options.quick else 5
    table = Table(
        f"Jobs: kill -9 with {RUNNING} running, until the first of them runs again (s), {rounds} rounds",
        ["database", "who goes on", "median", "longest", "aim"],
        note="restarted: from its first healthy answer, 0 where a job ran before it; another process: from the kill",
    )
    figures: Figures = {}
    for kind in both():
        progress(f"recovery: {kind.name}")
        found = figures[kind.name] = {
            "restarted": [measure_restart(options, kind) for _ in range(rounds)],
            "another process": [measure_takeover(options, kind) for _ in range(rounds)],
        }
        for who, aim in (("restarted", RESTART_AIM_S), ("another process", TAKEOVER_AIM_S)):
            seconds = [max(0.0, row["seconds"]) for row in found[who]]
            table.rows.append([kind.name, who, median(seconds), max(seconds), aim])
    return Report([table], figures)


def measure_restart(options: Options, kind: Kind) -> Figures:
    """Return the seconds from the restarted service's first healthy answer to the first job."""
    with new_place(options, kind) as place:
        marks = Marks(place.directory / "marks.txt")
        variables = {**place.variables, MARKS_VARIABLE: str(marks.path)}
        with Server(SERVICE, place.directory, **variables) as server:
            held = begin_endless(server, marks)
            server.kill()
        started = time.monotonic()
        with Server(SERVICE, place.directory, **variables) as server:
            ready = time.monotonic()
            again = min(marks.wait(server.pid, among=set(held)).values())
            server.kill()
    return {"seconds": again - ready, "from_start": again - started}


def measure_takeover(options: Options, kind: Kind) -> Figures:
    """Return the seconds from the death of one process to the first of its jobs in another one."""
    with ExitStack() as stack:
        place = stack.enter_context(new_place(options, kind))
        marks = Marks(place.directory / "marks.txt")
        variables = {**place.variables, MARKS_VARIABLE: str(marks.path)}
        first = stack.enter_context(Server(SERVICE, place.directory, **variables))
        held = begin_endless(first, marks)
        second = stack.enter_context(Server(SERVICE, place.directory, **variables))
        killed = time.monotonic()
        first.kill()
        again = min(marks.wait(second.pid, among=set(held)).values())
        second.kill()
    return {"seconds": again - killed}


def begin_endless(server: Server, marks: Marks) -> dict[str, float]:
    """Submit jobs that do not end, and return them when they run."""
    with server.connect() as connection:
        for _ in range(RUNNING):
            connection.call("POST", f"{SUBMIT}?handler=bench.endless", expect=202)
        return marks.wait(server.pid, count=RUNNING)


def run_idle(options: Options) -> Report:
    """Measure the processor time of a service with a worker that has nothing to do."""
    seconds = 3.0 if options.quick else 20.0
    table = Table(f"Jobs: an idle service with a worker, CPU over {seconds:.0f} s (%)", ["database", "CPU", "aim"])
    figures: Figures = {}
    for kind in both():
        progress(f"idle: {kind.name}")
        with new_place(options, kind) as place, Server(SERVICE, place.directory, **place.variables) as server:
            with server.connect() as connection:
                job = connection.call("POST", SUBMIT, expect=202)
                connection.call("GET", f"{JOBS}/{job['id']}?wait=10")
            time.sleep(1.0)
            before, begun = cpu_seconds(server.pid), time.perf_counter()
            time.sleep(seconds)
            percent = (cpu_seconds(server.pid) - before) / (time.perf_counter() - begun) * 100
        figures[kind.name] = {"percent": percent}
        table.rows.append([kind.name, percent, IDLE_AIM_PERCENT])
    return Report([table], figures)


def run_trainings(options: Options) -> Report:
    """Measure what others notice of thousands of trainings, and whether all of them end well."""
    count = 200 if options.quick else 4_000
    table = Table(
        f"Jobs: {count:,} trainings queued over HTTP, {CONNECTIONS} connections; /health every 5 ms meanwhile",
        ["phase", "trainings/s", "health p50 ms", "p99", "max", "aim", "failed"],
        note="submitted: until the last is accepted, while the first ones run; drained: from then to the last result",
    )
    progress(f"{count:,} trainings")
    with ExitStack() as stack:
        place = stack.enter_context(new_place(options, PROCESS))
        server = stack.enter_context(Server(ML_SERVICE, place.directory, **place.variables))
        load = stack.enter_context(Child("bench.jobs_load", server.port, server.pid))
        prober = stack.enter_context(Child("bench.prober", server.port, server.pid))
        connection = stack.enter_context(server.connect())
        body = training(connection)
        # The first training pays for what is imported lazily.
        load.ask(path="/api/v1/ml/$train", body=body, connections=1, count=1)
        drained(connection, 1)
        figures = measure_trainings(count, body, load, prober, connection)
    for phase in ("submitted", "drained"):
        row = figures[phase]
        waits = (row["health_p50_ms"], row["health_p99_ms"], row["health_max_ms"])
        table.rows.append([phase, row["rate"], *waits, HEALTH_AIM_MS, figures["failed"]])
    return Report([table], figures)


def measure_trainings(count: int, body: str, load: Child, prober: Child, connection: Connection) -> Figures:
    """Submit the trainings, wait for the last one and return what /health said meanwhile."""
    prober.ask(watch=True)
    begun = time.monotonic()
    accepted = load.ask(path="/api/v1/ml/$train", body=body, connections=CONNECTIONS, count=count)
    submitted = time.monotonic()
    already = finished(stats(connection))
    by_status = drained(connection, count + 1)
    ended = time.monotonic()
    figures = {
        "submitted": {"rate": count / (submitted - begun), **prober.ask(start=begun, end=submitted)},
        "drained": {"rate": (count + 1 - already) / (ended - submitted), **prober.ask(start=submitted, end=ended)},
        "accepted": accepted,
        "failed": by_status["failed"] + by_status["canceled"],
    }
    prober.ask(watch=False)
    return figures


def training(connection: Connection) -> str:
    """Return the body of a training."""
    made = connection.call("POST", CONFIGS, {"name": "bench", "data": {}}, expect=201)
    data = {"columns": ["x", "y"], "data": [[number, number * 2] for number in range(10)]}
    return json.dumps({"config_id": made["id"], "data": data})


def drained(connection: Connection, count: int) -> dict[str, int]:
    """Wait until so many jobs have ended, and return how."""
    deadline = time.monotonic() + DRAIN_PATIENCE
    while finished(by_status := stats(connection)) < count and time.monotonic() < deadline:
        time.sleep(0.05)
    if finished(by_status) >= count:
        return by_status
    raise WrongAnswerError(f"After {DRAIN_PATIENCE:.0f} s the jobs are {by_status}")


def stats(connection: Connection) -> dict[str, Any]:
    """Return how many jobs there are in each status."""
    by_status: dict[str, int] = connection.call("GET", f"{JOBS}/$stats")["by_status"]
    return by_status


def finished(by_status: dict[str, int]) -> int:
    """Return how many jobs have ended."""
    return by_status["completed"] + by_status["failed"] + by_status["canceled"]
