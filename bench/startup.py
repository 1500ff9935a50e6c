"""Import time, time to the first healthy answer, resident memory."""

import json
import subprocess
import sys
from statistics import median
from typing import Any

from bench.load import CONFIGS
from bench.options import Options, Report, crud_sides, peer_on_both_sides
from bench.process import resident_mb
from bench.server import ROOT, Server, environment
from bench.table import Table

BARE = "import fastapi, sqlalchemy.ext.asyncio"
OURS = ("import chapkit", "from chapkit.api import ServiceBuilder")
PROBE = """
import json, sys, time
before = len(sys.modules)
started = time.perf_counter()
{statement}
seconds = time.perf_counter() - started
heavy = "pandas numpy pyarrow polars sklearn alembic httpx opentelemetry rich email_validator".split()
loaded = [name for name in heavy if name in sys.modules]
print(json.dumps({{"ms": seconds * 1e3, "modules": len(sys.modules) - before, "heavy": loaded}}))
"""
REQUESTS = 1_000


def run_import(options: Options) -> Report:
    """Time imports in fresh interpreters, interleaved."""
    statements = [BARE, "import bench.peer", *(() if peer_on_both_sides() else OURS)]
    runs: dict[str, list[dict[str, Any]]] = {statement: [] for statement in statements}
    for statement in statements:
        import_once(statement)
    for _ in range(2 if options.quick else 5):
        for statement in statements:
            runs[statement].append(import_once(statement))
    best = {statement: min(rows, key=lambda row: row["ms"]) for statement, rows in runs.items()}
    table = Table("Import, best run (ms)", ["statement", "ms", "ratio", "modules", "heavy ones"])
    for statement, row in best.items():
        ratio = row["ms"] / best[BARE]["ms"]
        table.rows.append([statement, row["ms"], ratio, row["modules"], " ".join(row["heavy"]) or "none"])
    return Report([table], {"best": best, "runs": runs})


def import_once(statement: str) -> dict[str, Any]:
    """Run one import in a fresh interpreter."""
    code = PROBE.format(statement=statement)
    variables = environment(BENCH_DATABASE_URL="sqlite+aiosqlite:///unused.db")
    done = subprocess.run(
        [sys.executable, "-c", code], env=variables, cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ImportError(f"{statement}: {done.stderr[-500:]}")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def run_start(options: Options) -> Report:
    """Time the start with a fresh and with an existing database, and read the memory."""
    rounds = 2 if options.quick else 5
    measured: dict[str, dict[str, list[float]]] = {side: {} for side in crud_sides()}
    for number in range(rounds):
        for side, target in crud_sides().items():
            directory = options.place(f"start-{side}-{number}")
            for database in ("fresh", "existing"):
                with Server(target, directory) as server:
                    keep = measured[side].setdefault
                    keep(f"{database} database, ms to healthy", []).append(server.seconds_to_healthy * 1e3)
                    keep(f"{database} database, RSS MB", []).append(resident_mb(server.pid))
                    if database == "existing" and number == 0:
                        send_requests(server)
                        keep(f"RSS MB after {REQUESTS:,} requests", []).append(resident_mb(server.pid))
    table = Table(f"Start, median of {rounds}", ["what", "peer", "chapkit", "ratio"])
    for name, values in measured["peer"].items():
        peer, chapkit = median(values), median(measured["chapkit"][name])
        table.rows.append([name, peer, chapkit, chapkit / peer])
    return Report([table], {"runs": measured})


def send_requests(server: Server) -> None:
    """Send a mixture of requests."""
    with server.connect() as connection:
        body = {"name": "x", "data": {}}
        made = connection.call("POST", CONFIGS, body, expect=201)
        for number in range(REQUESTS // 5):
            connection.call("GET", "/health")
            connection.call("POST", CONFIGS, body, expect=201)
            connection.call("GET", f"{CONFIGS}/{made['id']}")
            connection.call("PUT", f"{CONFIGS}/{made['id']}", {"name": f"x{number}", "data": {"beta": number}})
            connection.call("GET", f"{CONFIGS}?page=1&size=100")
