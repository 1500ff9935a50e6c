"""Train, predict and fetch over HTTP, and what it costs beyond the model's own time."""

import json
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from bench.child import Child
from bench.connection import Connection, request_bytes
from bench.crud import WrongAnswerError, progress
from bench.load import CONFIGS
from bench.options import Options, Report, ml_sides
from bench.server import Server
from bench.table import Table

COLUMNS = [*(f"x{number}" for number in range(9)), "disease_cases"]
REPEATS = {1_000: (2, 6), 10_000: (1, 3), 100_000: (1, 3)}
"""Rows of a frame, and how often it is sent in a quick and in a full run."""
JOBS = "/api/v1/jobs"
FIGURES = ("total_ms", "accept_ms", "model_ms", "beyond_ms", "health_max_ms", "peak_mb")

SHOWN = tuple(name for name in FIGURES if name != "model_ms")

Measured = dict[str, dict[str, list[dict[str, float]]]]


class Site:
    """One server with its prober, and the calls that are timed."""

    def __init__(self, server: Server, connection: Connection, prober: Child, times: Path) -> None:
        self.server = server
        self.connection = connection
        self.prober = prober
        self.times = times
        made = connection.call("POST", CONFIGS, {"name": "bench", "data": {}}, expect=201)
        self.config_id: str = made["id"]

    def job(self, path: str, body: bytes) -> tuple[str, dict[str, float]]:
        """Submit a job, wait for its end and return its artifact and figures."""
        self.times.write_text("")
        start = time.monotonic()
        accepted = self.connection.call("POST", path, body, expect=202)
        accept = time.monotonic() - start
        record = self.wait(accepted["job_id"])
        end = time.monotonic()
        model = sum(map(float, self.times.read_text().split()))
        worst = self.prober.ask(start=start, end=end)
        total = end - start
        figures = {"total_ms": total, "accept_ms": accept, "model_ms": model, "beyond_ms": total - model}
        return record["artifact_id"], {**{name: value * 1e3 for name, value in figures.items()}, **worst}

    def wait(self, job_id: str) -> dict[str, Any]:
        """Wait until a job has ended well."""
        while True:
            asked = time.monotonic()
            record: dict[str, Any] = self.connection.call("GET", f"{JOBS}/{job_id}?wait=30")
            if record["status"] == "completed":
                return record
            if record["status"] not in ("pending", "running"):
                raise WrongAnswerError(f"{self.server.target}: the job ended as {record}")
            if time.monotonic() - asked < 0.05:
                # The server did not wait for the job: do not make the asking itself a load.
                time.sleep(0.002)

    def fetch(self, artifact_id: str, rows: int) -> dict[str, float]:
        """Read an artifact as a whole and check that nothing is missing."""
        start = time.monotonic()
        status, body = self.connection.exchange(request_bytes("GET", f"/api/v1/artifacts/{artifact_id}"))
        end = time.monotonic()
        worst = self.prober.ask(start=start, end=end)
        content = json.loads(body)["data"]["content"] if status == 200 else {}
        if len(content.get("data", ())) != rows:
            raise WrongAnswerError(f"{self.server.target}: artifact {artifact_id}: {status} {body[:300]!r}")
        return {"total_ms": (end - start) * 1e3, "body_mb": len(body) / 1e6, **worst}


def run(options: Options) -> Report:
    """Measure the sizes on both sides in turn."""
    measured: Measured = {}
    with ExitStack() as stack:
        sites = {side: open_site(stack, options, side, target) for side, target in ml_sides().items()}
        for rows, (few, many) in REPEATS.items():
            progress(f"train, predict and fetch of {rows:,} rows")
            for number in range(few if options.quick else many):
                # The first run of all pays for what is imported lazily, so it has rows of its own.
                prefix = "first " if number == 0 and rows == min(REPEATS) else ""
                for side, site in sites.items():
                    # Only the prober of the measured server asks: the other one would take its processor.
                    site.prober.ask(watch=True)
                    found = measure(site, rows)
                    site.prober.ask(watch=False)
                    for operation, figures in found.items():
                        sides = measured.setdefault(f"{prefix}{operation} {rows:,}", {name: [] for name in sites})
                        sides[side].append(figures)
    return report(measured)


def open_site(stack: ExitStack, options: Options, side: str, target: str) -> Site:
    """Start a server and its prober."""
    directory = options.place(f"ml-{side}")
    times = directory / "times.txt"
    server = stack.enter_context(Server(target, directory, BENCH_MODEL_TIMES=str(times)))
    prober = stack.enter_context(Child("bench.prober", server.port, server.pid))
    return Site(server, stack.enter_context(server.connect()), prober, times)


def measure(site: Site, rows: int) -> dict[str, dict[str, float]]:
    """Train, predict and read the prediction."""
    body = frame_body(rows)
    config = json.dumps(site.config_id).encode()
    model_id, trained = site.job("/api/v1/ml/$train", b'{"config_id":%b,"data":%b}' % (config, body))
    artifact = json.dumps(model_id).encode()
    historic = frame_body(1)
    request = b'{"artifact_id":%b,"historic":%b,"future":%b}' % (artifact, historic, body)
    prediction_id, predicted = site.job("/api/v1/ml/$predict", request)
    return {"train": trained, "predict": predicted, "fetch": site.fetch(prediction_id, rows)}


@cache
def frame_body(rows: int) -> bytes:
    """Return a frame of numbers as the wire has it, the same each time."""
    data = [[((row * 31 + column * 17) % 9973) / 7 for column in range(len(COLUMNS))] for row in range(rows)]
    return json.dumps({"columns": COLUMNS, "data": data}).encode()


def report(measured: Measured) -> Report:
    """Return the medians; of the waiting and the memory, the worst."""
    heads = ("end to end", "accept", "beyond", "health", "MB")
    names = ["operation rows", *(f"{side} {head}" for head in heads for side in ml_sides())]
    note = "beyond: without the model's own time; health: the longest wait of /health meanwhile; MB: peak of the server"
    table = Table("ML, 10 numeric columns, JSON rows (ms)", [*names, "ratio"], note=note)
    summary: dict[str, Any] = {}
    for name, sides in measured.items():
        short = {side: {key: summarised(key, rows) for key in FIGURES} for side, rows in sides.items()}
        peer, chapkit = short["peer"], short["chapkit"]
        ratio = (chapkit["total_ms"] or 0) / (peer["total_ms"] or 1)
        table.rows.append([name, *(value for key in SHOWN for value in (peer[key], chapkit[key])), ratio])
        summary[name] = {**short, "ratio": ratio}
    return Report([table], {"summary": summary, "runs": measured})


def summarised(key: str, rows: list[dict[str, float]]) -> float | None:
    """Return one figure of several runs."""
    values = [row[key] for row in rows if key in row]
    middle: Callable[[list[float]], float] = max if key in ("health_max_ms", "peak_mb") else median
    return middle(values) if values else None
