from pathlib import Path

import pytest

from tests.faults.plans import all_plans, fewer_plans
from tests.faults.trial import try_out

SEED = 20260101


@pytest.mark.timeout(600)
def test_whatever_strikes_wherever_every_accepted_job_ends_with_one_result(empty_url: str, tmp_path: Path) -> None:
    dialect = empty_url.partition("+")[0]
    # Both databases go through the same code between most points.
    plans = (all_plans if dialect == "sqlite" else fewer_plans)(dialect, SEED)
    tally = try_out(empty_url, tmp_path, plans, SEED)
    print(f"{tally.kills} kills in {tally.seconds:.1f} s, {len(tally.accepted)} accepted jobs")
    assert tally.problems == []
    assert tally.kills >= len(plans)
    assert len(tally.accepted) > len(plans)
