"""The long run: `python -m tests.faults [--kills 10000] [--database URL] [--writers 60] [--ticks 1000]`."""

import argparse
import asyncio
import itertools
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from chapkit.core.database import parse_url
from chapkit.core.ids import ULID
from tests.faults.campaign import Tally
from tests.faults.fleet import Fleet
from tests.faults.openings import Openings, opening_plans
from tests.faults.plans import SIGNALS, endless_plans
from tests.faults.points import POINTS
from tests.faults.ticks import Race
from tests.faults.trial import try_out
from tests.faults.writers import contend, folder_url

ROUND = 250
"""Kills on one database, before an empty one takes its place."""
RACERS = 8


def main() -> int:
    """Kill, judge, and print the ledger; 1 if anything was not as it must be."""
    options = _options()
    total = Tally()
    begin = time.monotonic()
    for number in itertools.count():
        left = options.kills - total.kills
        if left <= 0:
            break
        with _Place(options.database, options.seed + number) as place:
            _add(total, place.strike(min(left, ROUND)))
            place.keep = bool(total.problems)
        _report(total, options.kills, begin)
        if total.problems:
            break
    if options.writers and not total.problems:
        _add(total, _write(options.writers))
    if options.ticks and not total.problems:
        with _Place(options.database, options.seed) as place:
            _add(total, place.race(options.ticks))
            place.keep = bool(total.problems)
    _print_ledger(total, time.monotonic() - begin)
    return 1 if total.problems else 0


class _Place:
    """An empty database and a folder for one round; what is left of it stays if something was wrong."""

    def __init__(self, server: str | None, seed: int) -> None:
        self.keep = False
        self._folder = Path(tempfile.mkdtemp(prefix="chapkit-faults-"))
        self._seed = seed
        self._server = None if server is None else parse_url(server)
        self._name = f"chapkit_faults_{ULID().lower()}"

    def __enter__(self) -> "_Place":
        self._execute(f'CREATE DATABASE "{self._name}"')
        return self

    def strike(self, kills: int) -> Tally:
        """Strike processes on their way to an open database first, then those that work."""
        url = self._url
        dialect = make_url(url).get_backend_name()
        with Fleet(url, self._folder) as fleet:
            tally = Openings(fleet, self._seed).run(itertools.islice(opening_plans(dialect, SIGNALS), kills))
        self.reset()
        plans = itertools.islice(endless_plans(dialect, self._seed), max(0, kills - tally.kills))
        _add(tally, try_out(url, self._folder, plans, self._seed))
        tally.problems = [f"seed {self._seed}, {self._folder}: {problem}" for problem in tally.problems]
        return tally

    def race(self, ticks: int) -> Tally:
        """Let eight processes race for the ticks of schedules, and strike them meanwhile."""
        with Fleet(self._url, self._folder) as fleet:
            seen = Race(fleet, RACERS, ticks, self._seed).run()
        print(
            f"{RACERS} processes raced for {ticks} ticks: {seen.ticks} ticks, {seen.kills} kills, {seen.seconds:.0f} s",
            flush=True,
        )
        return Tally(struck=seen.struck, problems=seen.problems)

    def reset(self) -> None:
        """Empty the database again."""
        self._execute(f'DROP DATABASE "{self._name}" WITH (FORCE)', f'CREATE DATABASE "{self._name}"')
        for path in self._folder.glob("service.db*"):
            path.unlink()

    def __exit__(self, *_: object) -> None:
        if self.keep:
            return
        self._execute(f'DROP DATABASE "{self._name}" WITH (FORCE)')
        shutil.rmtree(self._folder)

    @property
    def _url(self) -> str:
        if self._server is None:
            return folder_url(self._folder)
        return self._server.set(database=self._name).render_as_string(hide_password=False)

    def _execute(self, *statements: str) -> None:
        if self._server is not None:
            asyncio.run(self._execute_all(statements))

    async def _execute_all(self, statements: Iterable[str]) -> None:
        assert self._server is not None
        engine = create_async_engine(self._server, isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            for statement in statements:
                await connection.execute(text(statement))
        await engine.dispose()


def _write(seconds: float) -> Tally:
    folder = Path(tempfile.mkdtemp(prefix="chapkit-faults-"))
    tally = Tally()
    with Fleet(folder_url(folder), folder) as fleet:
        acknowledged, rows, tally.problems = contend(fleet, seconds)
    if acknowledged != rows:
        tally.problems.append(f"{acknowledged} writes were acknowledged, and there are {rows} rows")
    print(
        f"400 writers in 8 processes on one file, {seconds:g} s: {acknowledged} acknowledged, {rows} rows", flush=True
    )
    shutil.rmtree(folder)
    return tally


def _add(total: Tally, more: Tally) -> None:
    total.struck.update(more.struck)
    total.outcomes.update(more.outcomes)
    total.accepted |= more.accepted
    total.problems += more.problems


def _report(total: Tally, kills: int, begin: float) -> None:
    seconds = time.monotonic() - begin
    print(
        f"{total.kills}/{kills} kills, {len(total.accepted)} accepted jobs, {len(total.problems)} violations, "
        f"{seconds:.0f} s",
        flush=True,
    )


def _print_ledger(total: Tally, seconds: float) -> None:
    signals = Counter(name for _, name in total.struck.elements())
    points = Counter(point for point, _ in total.struck.elements())
    recovery = sum(number for point, number in points.items() if point.startswith("job.recovery."))
    print(f"\n{total.kills} kills in {seconds:.0f} s: {_list(signals)}")
    print(f"at {len(POINTS.keys() & points.keys())} of {len(POINTS)} points; {recovery} while others were recovered")
    print(f"{len(total.accepted)} accepted jobs; attempts: {_list(total.outcomes)}")
    print(f"{len(total.problems)} violations")
    for problem in total.problems[:50]:
        print(f"  {problem}")


def _list(counts: Counter[str]) -> str:
    return ", ".join(f"{number} {name}" for name, number in counts.most_common())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=10_000)
    parser.add_argument("--database", help="URL of a PostgreSQL server; an SQLite file, if not given")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument(
        "--writers", type=float, default=60.0, help="seconds of many writers on one SQLite file; 0: none"
    )
    parser.add_argument(
        "--ticks", type=int, default=1000, help="ticks of schedules that eight processes race for; 0: none"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
