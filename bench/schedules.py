"""Schedules: how late ticks are, and what very many cost that have nothing to do."""

import asyncio
import time
from datetime import UTC, datetime, timedelta
from statistics import median, quantiles
from typing import Any

from sqlalchemy import select

from bench.crud import WrongAnswerError, progress
from bench.jobs_databases import Kind, both, new_place
from bench.jobs_parts import Nothing
from bench.options import Options, Report
from bench.process import cpu_seconds
from bench.server import Server
from bench.table import Table
from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.core.sqlite import SqliteDatabase
from chapkit.job.rows import JOBS
from chapkit.scheduler.models import Schedule, ScheduleTick
from chapkit.scheduler.trigger_schemas import AnyTrigger, CronTrigger, IntervalTrigger, write_trigger

SERVICE = "bench.schedules_service:app"
IDLE = 10_000
BUSY = 20
IDLE_AIM_PERCENT = 1.0
MEDIAN_AIM_MS = 250.0
P99_AIM_MS = 1000.0
_SETTLE = 3.0
_LATER = timedelta(seconds=10)
"""Time to start, before the first tick."""


def run(options: Options) -> Report:
    """Measure the processor time of a service with idle schedules, then the lateness of busy ones beside them."""
    seconds = 5.0 if options.quick else 30.0
    table = Table(
        f"Schedules: {IDLE:,} idle ones, CPU over {seconds:.0f} s; beside them {BUSY}, each every second",
        ["database", "idle CPU %", "aim", "ticks", "late p50 ms", "aim", "p99 ms", "aim", "max ms", "busy CPU %"],
    )
    figures: dict[str, Any] = {}
    for kind in both():
        progress(f"schedules: {kind.name}")
        row = figures[kind.name] = measure(options, kind, seconds)
        idle, late = (row["idle_percent"], IDLE_AIM_PERCENT), (row["p50_ms"], MEDIAN_AIM_MS, row["p99_ms"], P99_AIM_MS)
        table.rows.append([kind.name, *idle, row["ticks"], *late, row["max_ms"], row["busy_percent"]])
    return Report([table], figures)


def measure(options: Options, kind: Kind, seconds: float) -> dict[str, float]:
    """Return the figures of one database."""
    with new_place(options, kind) as place:
        asyncio.run(store(place.url, idle_schedules()))
        with Server(SERVICE, place.directory, **place.variables) as server:
            time.sleep(_SETTLE)
            idle = cpu_percent(server.pid, seconds)
        asyncio.run(store(place.url, busy_schedules(datetime.now(UTC) + _LATER, seconds)))
        with Server(SERVICE, place.directory, **place.variables) as server:
            busy = cpu_percent(server.pid, seconds + _LATER.total_seconds() + 2.0)
        late = asyncio.run(lateness(place.url))
    if len(late) < BUSY * (seconds - 1):
        raise WrongAnswerError(f"There were only {len(late)} ticks")
    return {
        "idle_percent": idle,
        "ticks": len(late),
        "p50_ms": median(late),
        "p99_ms": quantiles(late, n=100)[98],
        "max_ms": max(late),
        "busy_percent": busy,
    }


def cpu_percent(pid: int, seconds: float) -> float:
    """Return the processor time that a process takes."""
    before, begun = cpu_seconds(pid), time.perf_counter()
    time.sleep(seconds)
    return (cpu_seconds(pid) - before) / (time.perf_counter() - begun) * 100


def idle_schedules() -> list[Schedule]:
    """Return schedules that are due in a year."""
    due = datetime.now(UTC).replace(microsecond=0) + timedelta(days=365)
    trigger = CronTrigger(expression="0 6 1 1 *", timezone="Africa/Kigali")
    return [schedule(trigger, due + timedelta(seconds=number)) for number in range(IDLE)]


def busy_schedules(start: datetime, seconds: float) -> list[Schedule]:
    """Return schedules of every second, spread over it."""
    found: list[Schedule] = []
    for number in range(BUSY):
        anchor = start + timedelta(seconds=number / BUSY)
        busy = schedule(IntervalTrigger(every=1, anchor=anchor), anchor)
        busy.end_at = anchor + timedelta(seconds=seconds)
        found.append(busy)
    return found


def schedule(trigger: AnyTrigger, due: datetime) -> Schedule:
    """Return a schedule of the handler that does nothing."""
    return Schedule(
        id=ULID(),
        name="bench",
        target="handler",
        arguments={"handler": Nothing.name},
        trigger=write_trigger(trigger),
        overlap="allow",
        next_run_at=due,
    )


async def store(url: str, schedules: list[Schedule]) -> None:
    """Write schedules, while no service is there."""
    database = open_database(url)
    await database.init()
    async with database.session() as session:
        session.add_all(schedules)
        await session.commit()
    await database.dispose()


async def lateness(url: str) -> list[float]:
    """Return how late the job of each tick was submitted, in milliseconds."""
    database = open_database(url)
    async with database.session() as session:
        submitted = select(ScheduleTick.scheduled_for, JOBS.c.submitted_at).join(JOBS, JOBS.c.id == ScheduleTick.job_id)
        rows = (await session.execute(submitted)).all()
    await database.dispose()
    return [(moment - due) / timedelta(milliseconds=1) for due, moment in rows]


def open_database(url: str) -> Database:
    """Return a database that nobody has opened."""
    return SqliteDatabase(url) if url.startswith("sqlite") else Database(url)
