"""Create, read, list, update, delete and health over HTTP, both sides in turn."""

import sys
from contextlib import ExitStack
from statistics import median
from typing import Any

from bench.child import Child
from bench.load import CONFIGS, PAGE
from bench.options import Options, Report, crud_sides
from bench.server import Server
from bench.table import Table

OPERATIONS = ("health", "read", "list100", "update", "create", "delete")
CONNECTIONS = (1, 16)
SEED_CONNECTIONS = 16
WARM_SECONDS = 0.3
AIMS = {"read": 3.0, "update": 3.0, "create": 3.0, "delete": 3.0, "list100": 10.0}
WRITE_P99_AIM_MS = 60.0
FIGURES = ("rps", "p50_ms", "p99_ms", "cpu_ms")

Measured = dict[str, dict[str, list[dict[str, float]]]]


class WrongAnswerError(Exception):
    """A server that answers fast, but not what the benchmark asks for."""


def run(options: Options) -> Report:
    """Measure every operation with 1 and 16 connections, both sides interleaved."""
    with ExitStack() as stack:
        loads: dict[str, Child] = {}
        for side, target in crud_sides().items():
            server = stack.enter_context(Server(target, options.place(f"crud-{side}")))
            check_answers(server)
            loads[side] = stack.enter_context(Child("bench.load", server.port, server.pid))
        for side, load in loads.items():
            progress(f"seeding {options.rows} configs: {side}")
            load.ask(operation="seed", rows=options.rows, connections=SEED_CONNECTIONS, seconds=0)
        measured = measure(options, loads)
    return report(options, measured)


def measure(options: Options, loads: dict[str, Child]) -> Measured:
    """Return the figures of each operation, side and round."""
    rows = [f"{name} c{count}" for count in CONNECTIONS for name in OPERATIONS]
    measured: Measured = {row: {side: [] for side in loads} for row in rows}
    for load in loads.values():
        for name in OPERATIONS:
            load.ask(operation=name, connections=4, seconds=WARM_SECONDS)
    for number in range(options.rounds):
        progress(f"round {number + 1} of {options.rounds}")
        # The side that goes first changes, so that neither always meets a warm or a busy machine.
        order = list(loads) if number % 2 == 0 else list(reversed(loads))
        for count in CONNECTIONS:
            for name in OPERATIONS:
                for side in order:
                    figures = loads[side].ask(operation=name, connections=count, seconds=options.seconds)
                    measured[f"{name} c{count}"][side].append(figures)
    return measured


def report(options: Options, measured: Measured) -> Report:
    """Return the medians of the rounds and their ratio."""
    units = ("req/s", "p50", "p99", "CPU")
    heads = ["operation", *(f"{side} {unit}" for unit in units for side in crud_sides())]
    table = Table(
        f"CRUD, SQLite file, {options.rows:,} configs, median of {options.rounds} x {options.seconds} s (times in ms)",
        [*heads, "ratio", "CPU ratio", "aim"],
        note=f"ratio: chapkit/peer in requests/s; aim for p99 of writes at 16 connections: {WRITE_P99_AIM_MS:.0f} ms",
    )
    medians: dict[str, Any] = {}
    for name, sides in measured.items():
        middle = {side: {key: median(row[key] for row in rows) for key in FIGURES} for side, rows in sides.items()}
        peer, chapkit = middle["peer"], middle["chapkit"]
        pairs = zip(sides["chapkit"], sides["peer"], strict=True)
        ratio = median(ours["rps"] / theirs["rps"] for ours, theirs in pairs)
        cells = [value for key in FIGURES for value in (peer[key], chapkit[key])]
        cpu_ratio = chapkit["cpu_ms"] / peer["cpu_ms"] if peer["cpu_ms"] else None
        table.rows.append([name, *cells, ratio, cpu_ratio, AIMS.get(name.split()[0])])
        medians[name] = {**middle, "ratio": ratio, "cpu_ratio": cpu_ratio}
    return Report([table], {"medians": medians, "rounds": measured})


def check_answers(server: Server) -> None:
    """Make sure that the server does what the operations ask for."""
    with server.connect() as connection:
        body = {"name": "first", "data": {"alpha": 0.25, "beta": 1, "label": "a"}}
        made = connection.call("POST", CONFIGS, body, expect=201)
        expected = {**body["data"], "prediction_periods": 3, "additional_continuous_covariates": []}  # type: ignore[dict-item]
        path = f"{CONFIGS}/{made['id']}"
        changed = connection.call("PUT", path, {"name": "second", "data": {"alpha": 2.5, "beta": 9, "label": "b"}})
        found = connection.call("GET", path)
        page = connection.call("GET", f"{CONFIGS}?page=1&size={PAGE}")
        connection.call("DELETE", path, expect=204)
        connection.call("GET", path, expect=404)
    keys = {"id", "created_at", "updated_at", "tags", "name", "data"}
    right = {
        "the members of a configuration": set(made) == keys,
        "the stored data": made["data"] == expected,
        "the update": found["data"]["alpha"] == 2.5 and found["name"] == changed["name"] == "second",
        "the page": page["total"] == 1 and page["items"] == [found] and page["pages"] == 1,
    }
    wrong = [name for name, holds in right.items() if not holds]
    if wrong:
        raise WrongAnswerError(f"{server.target}: not as expected: {', '.join(wrong)}; made {made}, page {page}")


def progress(text: str) -> None:
    """Tell the person who waits."""
    print(f"  {text}", file=sys.stderr, flush=True)
