"""The command line: which sections run, and where the figures go."""

import argparse
import json
import os
import platform
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from bench import artifacts, cached, crud, jobs, jobs_site, ml, schedules, startup
from bench.child import ChildError
from bench.connection import UnexpectedAnswerError
from bench.options import Options, Report, peer_on_both_sides
from bench.server import ROOT, StartError

SECTIONS: dict[str, Callable[[Options], Report]] = {
    "import": startup.run_import,
    "start": startup.run_start,
    "crud": crud.run,
    "ml": ml.run,
    "artifacts": artifacts.run,
    "jobs-submit": jobs.run_submit,
    "jobs-drain": jobs.run_drain,
    "jobs-wait": jobs.run_wait,
    "jobs-page": jobs.run_page,
    "jobs-recovery": jobs_site.run_recovery,
    "jobs-idle": jobs_site.run_idle,
    "jobs-trainings": jobs_site.run_trainings,
    "schedules": schedules.run,
    "cache": cached.run,
}
GROUPS = {"jobs": [name for name in SECTIONS if name.startswith("jobs-")]}
FAILURES = (StartError, ChildError, ImportError, OSError, UnexpectedAnswerError, crud.WrongAnswerError, SQLAlchemyError)
PACKAGES = ("fastapi", "starlette", "pydantic", "sqlalchemy", "aiosqlite", "uvicorn", "uvloop", "httptools")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one short round of everything")
    parser.add_argument("--only", action="append", choices=[*SECTIONS, *GROUPS], help="a section to run, repeatable")
    parser.add_argument("--out", type=Path, help="where the JSON goes (default: bench/results/<date>.json)")
    return parser.parse_args(given)


def main(given: Sequence[str] | None = None) -> int:
    """Run the sections, print their tables and write the figures; 1 when a section failed."""
    chosen = arguments(given)
    result: dict[str, Any] = {"machine": machine(), "quick": chosen.quick, "sections": {}, "failed": {}}
    reports: list[Report] = []
    with tempfile.TemporaryDirectory(prefix="chapkit-bench-") as directory:
        options = Options(Path(directory), quick=chosen.quick)
        for name in wanted(chosen.only):
            print(f"{name} ...", file=sys.stderr, flush=True)
            try:
                report = SECTIONS[name](options)
            except FAILURES as error:
                result["failed"][name] = f"{type(error).__name__}: {error}"
                continue
            reports.append(report)
            result["sections"][name] = report.figures
    result["machine"]["load_after"] = os.getloadavg()
    for report in reports:
        print(*report.tables, sep="\n")
    for name, reason in result["failed"].items():
        print(f"\n{name} failed: {reason}", file=sys.stderr)
    print(f"\n{write(result, chosen.out)}")
    return 1 if result["failed"] else 0


def wanted(only: Sequence[str] | None) -> list[str]:
    """Return the sections to run, in order."""
    return [name for given in only or SECTIONS for name in GROUPS.get(given, [given])]


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    revision = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": revision.stdout.strip() or None,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cores": os.cpu_count(),
        "load_before": os.getloadavg(),
        "packages": {name: version(name) for name in PACKAGES},
        "peer_on_both_sides": peer_on_both_sides(),
    }


def write(result: dict[str, Any], out: Path | None) -> Path:
    """Write the figures and return the path."""
    path = out or ROOT / "bench" / "results" / f"{datetime.now(UTC):%Y-%m-%d-%H%M%S}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return path
