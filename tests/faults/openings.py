"""Kills while a database is opened: made anew, or brought up to date; or while the signing key is made."""

import asyncio
import random
import shutil
import signal
import time
from collections.abc import Iterable

from sqlalchemy import make_url

from tests.faults.campaign import Plan, Tally
from tests.faults.fleet import Child, Fleet
from tests.faults.old_database import Schema
from tests.faults.orders import Order
from tests.faults.points import POINTS, Road, points_for
from tests.faults.strikes import Strike

PATIENCE = 30.0
_ROADS = (Road.CREATE, Road.UPGRADE, Road.SIGN)


class Openings:
    """Two processes open the same database, the first one is struck; a third one must find all in order."""

    def __init__(self, fleet: Fleet, seed: int) -> None:
        self._fleet = fleet
        self._url = _beside(fleet.url)
        self._schema = Schema(self._url)
        self._chance = random.Random(seed)
        self.tally = Tally()

    def run(self, plans: Iterable[Plan]) -> Tally:
        """Strike by every plan and return what was seen."""
        begin = time.monotonic()
        for plan in plans:
            self.tally.problems += [f"{plan}: {problem}" for problem in self._try(plan, POINTS[plan.point].road)]
        self.tally.seconds = time.monotonic() - begin
        return self.tally

    def _try(self, plan: Plan, road: Road) -> list[str]:
        self._prepare(road)
        said = self._strike(plan, road) + self._listen(self._start(road))
        problems = [" ".join(words) for words in said if words[0] == "crashed"]
        keys = {words[1] for words in said if words[0] == "key"}
        if len(keys) > 1:
            problems.append(f"there are {len(keys)} signing keys")
        if road != Road.SIGN:
            problems += asyncio.run(self._schema.find_problems(with_rows=road == Road.UPGRADE))
        return problems

    def _prepare(self, road: Road) -> None:
        if road == Road.SIGN:
            shutil.rmtree(self._fleet.folder / "key", ignore_errors=True)
        else:
            asyncio.run(self._schema.make(with_rows=road == Road.UPGRADE))

    def _start(self, road: Road, strike: Strike | None = None) -> Child:
        child = self._fleet.start(Order(road, self._url, str(self._fleet.folder / "key"), strike=strike))
        child.line.settimeout(PATIENCE)
        return child

    def _strike(self, plan: Plan, road: Road) -> list[list[str]]:
        """Let another process come as soon as the first one is struck, and the first one go on if it only stopped."""
        child = self._start(road, Strike(plan.point, 1, plan.signal))
        said: list[list[str]] = []
        others: list[Child] = []
        while child.is_alive:
            heard = child.read()
            said += heard
            if any(words[0] == "struck" for words in heard):
                self.tally.struck[plan.point, plan.signal] += 1
                others.append(self._start(road))
                if plan.signal == "SIGSTOP":
                    time.sleep(self._chance.uniform(0.02, 0.2))
                    child.send(signal.SIGCONT)
        return said + [words for other in others for words in self._listen(other)]

    def _listen(self, child: Child) -> list[list[str]]:
        said: list[list[str]] = []
        while child.is_alive:
            said += child.read()
        if child.status != 0:
            said.append(["crashed", f"with status {child.status}"])
        return said


def opening_plans(dialect: str, signals: Iterable[str]) -> list[Plan]:
    """Return each point on the way to an open database with each signal."""
    return [Plan(point, name) for point in points_for(dialect, *_ROADS) for name in signals]


def _beside(url: str) -> str:
    """Return the URL of a database for openings alone: another file, or another schema on the same server."""
    parsed = make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return parsed.set(database=f"{parsed.database}.opened").render_as_string(hide_password=False)
    return url
