import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chapkit.core.errors import UnprocessableError
from chapkit.scheduler.policies import Missed, Overlap, check_jitter, jittered, missed

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
GRACE = timedelta(minutes=1)
MINUTE = timedelta(minutes=1)
LATE = [NOW - n * MINUTE for n in (5, 4, 3, 2)]
ON_TIME = [NOW - MINUTE, NOW]
POLICIES = [Missed.skip(), Missed.latest(), Missed.all(1), Missed.all(3), Missed.all(1000)]


@pytest.mark.parametrize(
    ("policy", "due", "run"),
    [
        (Missed.skip(), LATE, []),
        (Missed.skip(), LATE + ON_TIME, ON_TIME),
        (Missed.latest(), LATE, LATE[-1:]),
        (Missed.latest(), LATE + ON_TIME, ON_TIME),
        (Missed.all(2), LATE, LATE[-2:]),
        (Missed.all(2), LATE + ON_TIME, LATE[-2:] + ON_TIME),
        (Missed.all(100), LATE + ON_TIME, LATE + ON_TIME),
        (Missed.all(100), [], []),
    ],
)
def test_missed_ticks_run_by_their_policy(policy: Missed, due: list[datetime], run: list[datetime]) -> None:
    skipped = [tick for tick in due if tick not in run]
    assert missed(due, policy, GRACE, now=NOW) == (run, skipped)
    assert missed(due[::-1], policy, GRACE, now=NOW) == (run, skipped)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(st.integers(0, 1000).map(lambda n: NOW - timedelta(seconds=n)), unique=True),
    st.sampled_from(POLICIES),
    st.timedeltas(timedelta(0), timedelta(minutes=20)),
)
def test_each_tick_either_runs_or_does_not(due: list[datetime], policy: Missed, grace: timedelta) -> None:
    run, skipped = missed(due, policy, grace, now=NOW)
    assert sorted(run + skipped) == sorted(due)
    assert run == sorted(run)
    assert skipped == sorted(skipped)
    assert not skipped or not run or skipped[-1] < run[0]
    assert all(tick < NOW - grace for tick in skipped)
    if due and policy != Missed.skip():
        assert max(due) in run


def test_the_present_moment_may_be_in_any_zone() -> None:
    here = NOW.astimezone(ZoneInfo("Africa/Kigali"))
    assert missed(LATE + ON_TIME, Missed.skip(), GRACE, now=here) == (ON_TIME, LATE)


@pytest.mark.parametrize("wire", ["skip", "latest", {"all": 1}, {"all": 1000}])
def test_a_policy_is_written_as_it_is_read(wire: Any) -> None:
    assert Missed.from_wire(wire).to_wire() == wire


def test_a_policy_that_catches_up_on_one_is_not_that_of_the_latest() -> None:
    assert Missed.all(1) != Missed.latest()
    assert missed(LATE + ON_TIME, Missed.all(1), GRACE, now=NOW)[0] == [LATE[-1], *ON_TIME]


@pytest.mark.parametrize(
    "wire",
    [
        *("all", "SKIP", "", None, 3, ["skip"], "x" * 5000),
        *({"all": 0}, {"all": 1001}, {"all": "3"}, {"all": 1.5}, {"all": True}, {}, {"skip": 1}, {"all": 3, "most": 4}),
    ],
)
def test_what_is_no_policy_is_refused(wire: Any) -> None:
    with pytest.raises(UnprocessableError, match="'latest'") as caught:
        Missed.from_wire(wire)
    assert caught.value.code == "missed-policy-invalid"
    assert len(str(caught.value)) < 400


def test_the_ways_to_overlap_have_the_names_of_the_wire() -> None:
    assert [str(overlap) for overlap in Overlap] == ["allow", "skip", "queue", "replace"]


@settings(max_examples=150, deadline=None)
@given(
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
    st.floats(0, 86_400),
    st.text(max_size=30),
)
def test_a_delay_is_never_negative_and_less_than_the_jitter(moment: datetime, seconds: float, seed: str) -> None:
    delay = (jittered(moment, seconds, seed) - moment).total_seconds()
    assert delay >= 0
    assert delay < seconds or seconds < 1e-6
    assert jittered(moment, seconds, seed) == jittered(moment.astimezone(ZoneInfo("Asia/Tokyo")), seconds, seed)


def test_delays_differ_by_schedule_and_by_tick_and_use_all_of_the_jitter() -> None:
    by_schedule = {jittered(NOW, 60, f"schedule {n}") - NOW for n in range(500)}
    by_tick = {jittered(NOW + n * MINUTE, 60, "a schedule") - n * MINUTE - NOW for n in range(500)}
    for delays in (by_schedule, by_tick):
        assert len(delays) > 490
        assert min(delays) < timedelta(seconds=3)
        assert max(delays) > timedelta(seconds=57)


def test_the_delay_is_the_same_in_another_process() -> None:
    code = """
from datetime import UTC, datetime
from chapkit.scheduler.policies import jittered
print(jittered(datetime(2027, 3, 1, 12, tzinfo=UTC), 60, "a schedule").isoformat())
"""
    answer = subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True, text=True)
    assert answer.stdout.strip() == jittered(NOW, 60, "a schedule").isoformat()


def test_no_jitter_is_no_delay() -> None:
    assert jittered(NOW, 0, "a schedule") == NOW


@pytest.mark.parametrize("seconds", [-1, 86_401, float("nan"), float("inf"), True, "60", None])
def test_a_jitter_that_makes_no_sense_is_refused(seconds: Any) -> None:
    for act in (check_jitter, lambda value: jittered(NOW, value, "a schedule")):
        with pytest.raises(UnprocessableError, match="86400") as caught:
            act(seconds)
        assert caught.value.code == "jitter-invalid"
