"""The kill loop: several processes on one database, each with an appointment with a signal."""

import random
import selectors
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from tests.faults.caller import Caller
from tests.faults.fleet import Child, Fleet
from tests.faults.orders import DRAIN, Order
from tests.faults.points import POINTS, Road
from tests.faults.strikes import Strike

PROCESSES = 3
REACH_SECONDS = 15.0
"""How long a process may take to come to its point; then it is killed where it is."""
STOP_SECONDS = 30.0
QUIET_SECONDS = 120.0
ANYWHERE = "anywhere"
LONG_STOP = 2.5
"""Seconds after which others take a stopped process for dead, by their swift clock."""
_MOST_TRIES = 3
_SHORT_STOPS = (0.02, 0.05, 0.2)
_TICK = 0.05
_POWER = 0.2
SYNC = "durability."
_QUIET_TIMES = 3
"""So often must the last process say that nothing is left; the first time may be older than the last request."""


@dataclass(frozen=True)
class Plan:
    """Where the next process is to be struck, and how."""

    point: str
    signal: str
    tries: int = 0


@dataclass
class Tally:
    """What came of a campaign."""

    struck: Counter[tuple[str, str]] = field(default_factory=Counter)
    accepted: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)
    """How attempts ended."""
    seconds: float = 0.0

    @property
    def kills(self) -> int:
        return self.struck.total()


@dataclass(eq=False)
class _Life:
    child: Child
    plan: Plan
    due: float
    then: Callable[["_Life"], None]
    """What happens when it is `due`, unless the process has ended by then."""
    struck: bool = False
    expected: int | None = None
    """Status with which it must end."""


class Campaign:
    """Carries out plans until none is left."""

    def __init__(self, fleet: Fleet, plans: Iterable[Plan], seed: int, processes: int = PROCESSES) -> None:
        self._fleet = fleet
        self._plans = deque(plans)
        self._chance = random.Random(seed)
        self._processes = processes
        self._lives: set[_Life] = set()
        self._selector = selectors.DefaultSelector()
        self._caller = Caller(self._ports, fleet.config_id, seed)
        self.tally = Tally()

    def run(self) -> Tally:
        """Strike by every plan, let one process finish the work, return what was seen."""
        begin = time.monotonic()
        self._caller.start()
        try:
            while self._plans or self._lives:
                while self._plans and len(self._lives) < self._processes:
                    self._begin(self._plans.popleft())
                self._hear()
                self._act()
        finally:
            self._caller.stop()
            self._selector.close()
        self._finish()
        self.tally.accepted |= self._caller.answers.accepted
        self.tally.problems += self._caller.answers.problems
        self.tally.seconds = time.monotonic() - begin
        return self.tally

    def _ports(self) -> list[int]:
        return [life.child.port for life in tuple(self._lives) if life.child.port and not life.struck]

    def _begin(self, plan: Plan) -> None:
        place, strike, road = POINTS.get(plan.point), None, Road.WORK
        if place is not None:
            strike = Strike(plan.point, self._depth(place.deepest), plan.signal)
            road = place.road
        power = plan.point.startswith(SYNC) or self._chance.random() < _POWER
        order = Order(road, seed=self._chance.getrandbits(32), power=power, strike=strike)
        life = _Life(self._fleet.start(order), plan, time.monotonic() + REACH_SECONDS, self._miss)
        if strike is None:
            self._later(life, self._chance.uniform(0.0, 0.4), self._hit)
        self._lives.add(life)
        self._selector.register(life.child.line, selectors.EVENT_READ, life)

    def _depth(self, deepest: int) -> int:
        # Early ones more often: they take less time.
        return 1 + int(deepest * self._chance.random() ** 2)

    def _hear(self) -> None:
        for key, _ in self._selector.select(_TICK):
            life: _Life = key.data
            said = life.child.read()
            if not life.child.is_alive:
                self._selector.unregister(key.fd)
            for words in said:
                self._note(life, words)

    def _note(self, life: _Life, words: list[str]) -> None:
        match words:
            case ["accepted", job_id, handler]:
                self.tally.accepted[job_id] = handler
            case ["ready", _] if life.child.order.road == Road.STOP:
                self._later(life, self._chance.uniform(0.05, 0.3), self._tell)
            case ["struck", _, name]:
                self._struck(life, signal.Signals[name])
            case ["exit", status]:
                self._end(life, int(status))
            case ["crashed", *text]:
                self.tally.problems.append(f"{life.plan}: {' '.join(text)}")
            case _:
                pass

    def _act(self) -> None:
        now = time.monotonic()
        for life in tuple(self._lives):
            if life.due <= now:
                life.then(life)

    def _struck(self, life: _Life, number: signal.Signals) -> None:
        life.struck = True
        self.tally.struck[life.plan.point, number.name] += 1
        if number == signal.SIGSTOP:
            self._later(life, self._chance.choice(_stops(life.plan.point)), self._wake)
        else:
            self._expect(life, number)

    def _hit(self, life: _Life) -> None:
        number = signal.Signals[life.plan.signal]
        life.child.send(number)
        self._struck(life, number)

    def _wake(self, life: _Life) -> None:
        life.child.send(signal.SIGCONT)
        self._later(life, self._chance.uniform(0.05, 0.3), self._dismiss)

    def _dismiss(self, life: _Life) -> None:
        number = self._chance.choice((signal.SIGKILL, signal.SIGTERM))
        life.child.send(number)
        self._expect(life, number)

    def _tell(self, life: _Life) -> None:
        life.child.send(signal.SIGTERM)
        self._expect(life, signal.SIGTERM)

    def _expect(self, life: _Life, number: signal.Signals) -> None:
        life.expected = 0 if number == signal.SIGTERM else -number
        self._later(life, STOP_SECONDS, self._overdue)

    def _miss(self, life: _Life) -> None:
        life.child.send(signal.SIGKILL)
        self._expect(life, signal.SIGKILL)

    def _overdue(self, life: _Life) -> None:
        self.tally.problems.append(f"{life.plan}: did not end within {STOP_SECONDS} s")
        self._miss(life)

    def _later(self, life: _Life, seconds: float, then: Callable[[_Life], None]) -> None:
        life.due, life.then = time.monotonic() + seconds, then

    def _end(self, life: _Life, status: int) -> None:
        self._lives.discard(life)
        plan = life.plan
        # Before it listens to signals, a process ends by them.
        early = status == -signal.SIGTERM and not life.child.port and life.expected == 0
        # One that was told to stop may be done with it before it is killed.
        stopped = status == 0 and life.child.order.road == Road.STOP
        if status != life.expected and not early and not stopped:
            self.tally.problems.append(f"{plan}: ended with {status}, not with {life.expected}")
        if not life.struck and plan.tries < _MOST_TRIES:
            self._plans.append(replace(plan, tries=plan.tries + 1))
        elif not life.struck:
            self.tally.problems.append(f"{plan}: no process came to this point")

    def _finish(self) -> None:
        life = _Life(self._fleet.start(Order(DRAIN)), Plan("drain", "SIGTERM"), 0.0, self._miss)
        child = life.child
        child.line.settimeout(QUIET_SECONDS)
        deadline = time.monotonic() + QUIET_SECONDS
        while not child.port and child.is_alive:
            self._hear_one(life)
        self._caller.finish(child.port, QUIET_SECONDS)
        # What was said before the last answer counts for nothing.
        quiet = 0
        child.forget()
        while quiet < _QUIET_TIMES and child.is_alive and time.monotonic() < deadline:
            quiet += self._hear_one(life).count(["quiet"])
        if quiet < _QUIET_TIMES:
            self.tally.problems.append(f"the work was not done {QUIET_SECONDS} s after the last kill")
        self._tell(life)
        while child.is_alive:
            self._hear_one(life)

    def _hear_one(self, life: _Life) -> list[list[str]]:
        said = life.child.read()
        for words in said:
            self._note(life, words)
        return said


def _stops(point: str) -> tuple[float, ...]:
    holds = point in POINTS and POINTS[point].holds
    return _SHORT_STOPS if holds else (0.2, LONG_STOP)
