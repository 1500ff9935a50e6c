from pathlib import Path

import pytest

from tests.faults.fleet import Fleet
from tests.faults.ticks import Race

TICKS, PROCESSES, SEED = 100, 4, 20260704
LEAST = 10


@pytest.mark.timeout(300)
def test_whoever_races_and_whoever_dies_each_tick_becomes_one_job(database_url: str, tmp_path: Path) -> None:
    with Fleet(database_url, tmp_path) as fleet:
        tally = Race(fleet, PROCESSES, TICKS, SEED, LEAST).run()
    print(f"{tally.ticks} ticks, {tally.kills} kills in {tally.seconds:.1f} s")
    assert tally.problems == []
    assert tally.ticks == TICKS
    assert tally.kills >= LEAST
