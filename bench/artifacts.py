"""A thousand artifacts of a megabyte: storing them, and listing them without reading them."""

import json
import time
from statistics import median
from typing import Any

from bench.connection import request_bytes
from bench.crud import WrongAnswerError, progress
from bench.options import Options, Report, ml_sides
from bench.process import resident_mb
from bench.server import Server
from bench.table import Table

ARTIFACTS = "/api/v1/artifacts"
MEGABYTE = 1_000_000
LISTS = 10


def artifact_body() -> bytes:
    """Return an artifact whose content is about a megabyte of JSON."""
    lines = ["a line of some result, neither short nor very long"] * (MEGABYTE // 54)
    data: dict[str, Any] = {"type": "generic", "metadata": {}, "content": {"lines": lines}}
    return json.dumps({"data": {**data, "content_type": "application/json", "content_size": None}}).encode()


def run(options: Options) -> Report:
    """Store the artifacts on each side, then list them ten times."""
    count = 50 if options.quick else 1_000
    measured: dict[str, dict[str, float]] = {}
    for side, target in ml_sides().items():
        progress(f"storing {count:,} artifacts: {side}")
        directory = options.place(f"artifacts-{side}")
        with Server(target, directory, BENCH_MODEL_TIMES=str(directory / "times.txt")) as server:
            measured[side] = measure(server, count)
    table = Table(f"Artifacts, {count:,} of 1 MB JSON each", ["what", "peer", "chapkit", "ratio"])
    for name, value in measured["peer"].items():
        ours = measured["chapkit"][name]
        table.rows.append([name, value, ours, ours / value if value else None])
    return Report([table], measured)


def measure(server: Server, count: int) -> dict[str, float]:
    """Return the times of storing, listing and reading."""
    body = artifact_body()
    with server.connect() as connection:
        stored: list[float] = []
        made: dict[str, Any] = {}
        for _ in range(count):
            started = time.perf_counter()
            made = connection.call("POST", ARTIFACTS, body, expect=201)
            stored.append(time.perf_counter() - started)
        figures = {"store one, ms p50": median(stored) * 1e3}
        for name, path in {
            "list all": ARTIFACTS,
            "page of 100": f"{ARTIFACTS}?page=1&size=100",
            "read one": f"{ARTIFACTS}/{made['id']}",
        }.items():
            times, answer = [], b""
            for _ in range(LISTS):
                started = time.perf_counter()
                status, answer = connection.exchange(request_bytes("GET", path))
                times.append(time.perf_counter() - started)
                if status != 200:
                    raise WrongAnswerError(f"{server.target}: {path}: {status} {answer[:300]!r}")
            figures[f"{name}, ms p50"] = median(times) * 1e3
            figures[f"{name}, kB"] = len(answer) / 1e3
        figures["rows in the list"] = len(connection.call("GET", ARTIFACTS))
        figures["RSS MB at the end"] = resident_mb(server.pid)
    return figures
