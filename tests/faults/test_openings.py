from pathlib import Path

import pytest
from sqlalchemy import make_url

from tests.faults.fleet import Fleet
from tests.faults.openings import Openings, opening_plans
from tests.faults.plans import SIGNALS

SEED = 20260102


@pytest.mark.timeout(300)
def test_a_database_that_was_struck_while_it_was_opened_is_whole_for_the_next_process(
    empty_url: str, tmp_path: Path
) -> None:
    dialect = make_url(empty_url).get_backend_name()
    # Making the tables anew takes seconds on a server.
    plans = opening_plans(dialect, SIGNALS if dialect == "sqlite" else SIGNALS[:1])
    with Fleet(empty_url, tmp_path) as fleet:
        tally = Openings(fleet, SEED).run(plans)
    print(f"{tally.kills} kills in {tally.seconds:.1f} s")
    assert tally.problems == []
    assert set(tally.struck) == {(plan.point, plan.signal) for plan in plans}
