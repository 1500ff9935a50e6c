"""Which process is struck where, and with what."""

import itertools
import random
from collections.abc import Iterator

from tests.faults.campaign import ANYWHERE, Plan
from tests.faults.points import Road, points_for

SIGNALS = ("SIGKILL", "SIGTERM", "SIGSTOP")


def all_plans(dialect: str, seed: int) -> list[Plan]:
    """Return each point with each signal, and for every tenth of them a moment by chance, mixed."""
    plans = [Plan(point, name) for point in points_for(dialect, Road.WORK, Road.STOP) for name in SIGNALS]
    return _mixed(plans, seed)


def fewer_plans(dialect: str, seed: int) -> list[Plan]:
    """Return each point with a kill and with one of the other signals, and some moments by chance, mixed."""
    points = points_for(dialect, Road.WORK, Road.STOP)
    others = itertools.cycle(SIGNALS[1:])
    return _mixed([Plan(point, name) for point in points for name in (SIGNALS[0], next(others))], seed)


def _mixed(plans: list[Plan], seed: int) -> list[Plan]:
    plans += [Plan(ANYWHERE, name) for name in itertools.islice(itertools.cycle(SIGNALS), len(plans) // 10)]
    random.Random(seed).shuffle(plans)
    return plans


def endless_plans(dialect: str, seed: int) -> Iterator[Plan]:
    """Return plans without end: all of them in one order, then in another."""
    for turn in itertools.count(seed):
        yield from all_plans(dialect, turn)
