"""Processes that race for the ticks of schedules and are killed meanwhile; then each tick is looked for."""

import asyncio
import random
import select as waiting
import signal
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.job.rows import JOBS
from chapkit.scheduler.models import Schedule, ScheduleTick
from chapkit.scheduler.plan import trigger_of
from chapkit.scheduler.trigger_schemas import IntervalTrigger, write_trigger
from tests.faults.campaign import ANYWHERE
from tests.faults.clocks import SPEED
from tests.faults.fleet import Child, Fleet
from tests.faults.jobs import InlineWork, Mark
from tests.faults.orders import Order
from tests.faults.points import POINTS, Road
from tests.faults.strikes import Strike
from tests.things import open_database

SCHEDULES = 10
EVERY = timedelta(seconds=8)
"""By the swift clock."""
_POINTS = [name for name, place in POINTS.items() if place.road is Road.TICK]
_SIGNALS = ("SIGKILL", "SIGKILL", "SIGKILL", "SIGTERM", "SIGSTOP")
_DEAD_END = 5.0
"""Seconds after which a process is killed that was struck by nothing."""
_PATIENCE = 120.0
_QUIET_TIMES = 3


@dataclass
class TickTally:
    """What came of a race."""

    ticks: int = 0
    struck: Counter[tuple[str, str]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        return self.struck.total()


@dataclass(eq=False)
class _Life:
    child: Child
    due: float
    signal: str
    struck: bool = False


class Race:
    """Keeps so many processes at work until the last tick is over."""

    def __init__(self, fleet: Fleet, processes: int, ticks: int, seed: int, least_kills: int = 10) -> None:
        self._fleet = fleet
        self._processes = processes
        self._ticks = ticks
        self._least_kills = least_kills
        self._chance = random.Random(seed)
        self._lives: list[_Life] = []
        self.tally = TickTally()

    def run(self) -> TickTally:
        """Let processes race and strike them; then one of them finishes."""
        begin = time.monotonic()
        start = self._read_clock() + 5 * EVERY
        end = asyncio.run(plan_ticks(self._fleet.url, start, self._ticks))
        until = time.monotonic() + (end - start).total_seconds() / SPEED + 1.0
        while time.monotonic() < until or self.tally.kills < self._least_kills:
            while len(self._lives) < self._processes:
                self._begin()
            self._look()
        for life in self._lives:
            life.child.send(signal.SIGCONT)
            life.child.send(signal.SIGKILL)
        for life in self._lives:
            self._wait_for_end(life.child)
        self._finish()
        self.tally.ticks, problems = asyncio.run(find_violations(self._fleet.url))
        self.tally.problems += problems
        self.tally.seconds = time.monotonic() - begin
        return self.tally

    def _read_clock(self) -> datetime:
        child = self._start()
        while True:
            for words in child.read():
                if words[0] == "clock":
                    child.send(signal.SIGKILL)
                    self._wait_for_end(child)
                    return datetime.fromisoformat(words[1])

    def _start(self, strike: Strike | None = None) -> Child:
        child = self._fleet.start(Order(Road.TICK, seed=self._chance.getrandbits(32), strike=strike))
        child.line.settimeout(_PATIENCE)
        return child

    def _begin(self) -> None:
        name, strike, due = self._chance.choice(_SIGNALS), None, _DEAD_END
        if self._chance.random() < 0.7:
            strike = Strike(self._chance.choice(_POINTS), self._chance.randint(1, 4), name)
        else:
            due = self._chance.uniform(0.05, 0.8)
        self._lives.append(_Life(self._start(strike), time.monotonic() + due, name))

    def _look(self) -> None:
        ready, _, _ = waiting.select([life.child.line for life in self._lives], [], [], 0.02)
        for life in tuple(self._lives):
            said = life.child.read() if life.child.line in ready else []
            self._note(said)
            if blows := [(words[1], words[2]) for words in said if words[0] == "struck"]:
                self.tally.struck.update(blows)
                life.struck, life.due = True, time.monotonic() + self._chance.uniform(0.05, 0.5)
            elif life.child.is_alive and time.monotonic() >= life.due:
                self._act(life)
            if not life.child.is_alive:
                self._lives.remove(life)

    def _act(self, life: _Life) -> None:
        """Let one that was stopped go on for a moment; kill the others."""
        if life.struck and life.signal == "SIGSTOP":
            life.child.send(signal.SIGCONT)
            life.struck, life.due = False, time.monotonic() + self._chance.uniform(0.05, 0.4)
            return
        self.tally.struck[ANYWHERE, "SIGKILL"] += 1
        life.child.send(signal.SIGKILL)
        life.due += _PATIENCE

    def _wait_for_end(self, child: Child) -> None:
        while child.is_alive:
            self._note(child.read())

    def _note(self, said: list[list[str]]) -> None:
        self.tally.problems += [" ".join(words) for words in said if words[0] == "crashed"]

    def _finish(self) -> None:
        child = self._start()
        quiet, deadline = 0, time.monotonic() + _PATIENCE
        while quiet < _QUIET_TIMES and child.is_alive and time.monotonic() < deadline:
            said = child.read()
            self._note(said)
            quiet += said.count(["quiet"])
        if quiet < _QUIET_TIMES:
            self.tally.problems.append("the ticks were not over long after the last kill")
        child.send(signal.SIGTERM)
        self._wait_for_end(child)
        if child.status != 0:
            self.tally.problems.append(f"the last process ended with {child.status}")


async def plan_ticks(url: str, start: datetime, ticks: int) -> datetime:
    """Store schedules that have so many ticks together; return when the last one is over."""
    each = ticks // SCHEDULES
    database = open_database(url)
    async with database.session() as session:
        for number in range(SCHEDULES):
            anchor = start + EVERY * number / SCHEDULES
            schedule = Schedule(
                id=ULID(),
                name=f"race-{number}",
                target="handler",
                arguments={"handler": InlineWork.name, "payload": {"number": number}},
                trigger=write_trigger(IntervalTrigger(every=EVERY.total_seconds(), anchor=anchor)),
                end_at=anchor + EVERY * each,
                missed={"all": 1000},
                overlap="allow",
                next_run_at=anchor,
            )
            session.add(schedule)
        await session.commit()
    await database.dispose()
    return start + EVERY * (each + 1)


async def find_violations(url: str) -> tuple[int, list[str]]:
    """Return the number of ticks, and everything that is not as it must be."""
    database = open_database(url)
    try:
        return await _judge(database)
    finally:
        await database.dispose()


async def _judge(database: Database) -> tuple[int, list[str]]:
    async with database.session() as session:
        schedules = (await session.scalars(select(Schedule))).all()
        ticks = (await session.scalars(select(ScheduleTick))).all()
        marks = Counter(await session.scalars(select(Mark.job_id)))
        jobs: dict[str, Any] = {row["id"]: dict(row) for row in (await session.execute(select(JOBS))).mappings()}
    problems: list[str] = []
    for schedule in schedules:
        start, end = schedule.created_at - timedelta(days=999), schedule.end_at
        assert end is not None
        wanted = list(trigger_of(schedule).between(start, end, 100_000))
        found = sorted(tick.scheduled_for for tick in ticks if tick.schedule_id == schedule.id)
        if found != wanted:
            missing, extra = set(wanted) - set(found), set(found) - set(wanted)
            problems.append(f"{schedule.name}: {len(missing)} ticks are missing, {len(extra)} are too many")
        if schedule.next_run_at is not None or schedule.ticks != len(wanted):
            problems.append(f"{schedule.name}: next {schedule.next_run_at}, {schedule.ticks} of {len(wanted)} counted")
    keys = Counter(
        (row["labels"]["schedule_id"], row["labels"]["scheduled_for"]) for row in jobs.values() if row["labels"]
    )
    problems += [f"tick {key} has {number} jobs" for key, number in keys.items() if number != 1]
    if len({tick.job_id for tick in ticks}) != len(ticks) or len(jobs) != len(ticks):
        problems.append(f"{len(ticks)} ticks, {len(jobs)} jobs")
    for tick in ticks:
        job = jobs.get(tick.job_id or "")
        if job is None or job["status"] != "completed" or marks[job["id"]] != 1:
            problems.append(f"{tick.scheduled_for}: {tick.outcome} {tick.reason}, {job and job['status']}")
    return len(ticks), problems
