import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from chapkit.core.errors import ChapkitError
from chapkit.scheduler.triggers import Cron
from tests.unit.scheduler.debian_cron import Job
from tests.unit.scheduler.expressions import twins

START = datetime(2027, 1, 1, tzinfo=UTC)


def days(expression: str, count: int = 4) -> list[str]:
    return [f"{tick:%Y-%m-%d}" for tick in Cron(expression).between(START, datetime(2300, 1, 1, tzinfo=UTC), count)]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 L * *", ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30"]),
        ("0 0 L 2 *", ["2027-02-28", "2028-02-29", "2029-02-28", "2030-02-28"]),
        ("0 0 LW * *", ["2027-01-29", "2027-02-26", "2027-03-31", "2027-04-30"]),
        ("0 0 * * 5L", ["2027-01-29", "2027-02-26", "2027-03-26", "2027-04-30"]),
        ("0 0 * * 0L", ["2027-01-31", "2027-02-28", "2027-03-28", "2027-04-25"]),
        ("0 0 * * MON#1", ["2027-01-04", "2027-02-01", "2027-03-01", "2027-04-05"]),
        ("0 0 * * 1#5", ["2027-03-29", "2027-05-31", "2027-08-30", "2027-11-29"]),
        ("0 0 * * 7#2,sun#4", ["2027-01-10", "2027-01-24", "2027-02-14", "2027-02-28"]),
        ("0 0 29 2 *", ["2028-02-29", "2032-02-29", "2036-02-29", "2040-02-29"]),
        ("0 0 * 2 MON#5", ["2044-02-29", "2072-02-29", "2112-02-29", "2140-02-29"]),
        ("0 0 31 * *", ["2027-01-31", "2027-03-31", "2027-05-31", "2027-07-31"]),
        ("0 0 13 * FRI", ["2027-01-01", "2027-01-08", "2027-01-13", "2027-01-15"]),
        ("0 0 */7 * FRI", ["2027-01-01", "2027-01-08", "2027-01-15", "2027-01-22"]),
        ("0 0 5 jan,DEC *", ["2027-01-05", "2027-12-05", "2028-01-05", "2028-12-05"]),
        ("@yearly", ["2027-01-01", "2028-01-01", "2029-01-01", "2030-01-01"]),
        ("@annually", ["2027-01-01", "2028-01-01", "2029-01-01", "2030-01-01"]),
        ("@monthly", ["2027-01-01", "2027-02-01", "2027-03-01", "2027-04-01"]),
        ("@weekly", ["2027-01-03", "2027-01-10", "2027-01-17", "2027-01-24"]),
        ("@Daily", ["2027-01-01", "2027-01-02", "2027-01-03", "2027-01-04"]),
        ("@midnight", ["2027-01-01", "2027-01-02", "2027-01-03", "2027-01-04"]),
    ],
)
def test_days_are_found(expression: str, expected: list[str]) -> None:
    assert days(expression) == expected


def test_hours_and_seconds_are_found() -> None:
    assert [f"{tick:%H:%M:%S}" for tick in Cron("@hourly").between(START, START + timedelta(hours=3), 9)] == [
        "00:00:00",
        "01:00:00",
        "02:00:00",
    ]
    found = [f"{tick:%H:%M:%S}" for tick in Cron("5,10 59 23 * * *").between(START, START + timedelta(days=1), 9)]
    assert found == ["23:59:05", "23:59:10"]


def test_the_years_after_2038_are_as_good_as_any() -> None:
    place = ZoneInfo("Europe/Berlin")
    found = list(
        Cron("30 2 * * *", "Europe/Berlin").between(
            datetime(2077, 3, 27, tzinfo=UTC), datetime.max.replace(tzinfo=UTC), 3
        )
    )
    assert [f"{tick.astimezone(place):%d %H:%M}" for tick in found] == ["27 02:30", "28 03:00", "29 02:30"]


def test_fractions_of_a_second_do_not_shift_a_tick() -> None:
    noon = datetime(2027, 1, 1, 12, tzinfo=UTC)
    trigger = Cron("* * * * * *")
    assert trigger.next_after(noon - timedelta(microseconds=1)) == noon
    assert trigger.next_after(noon) == noon + timedelta(seconds=1)
    assert trigger.next_after(noon + timedelta(microseconds=1)) == noon + timedelta(seconds=1)
    assert trigger.first(noon) == noon


def test_white_space_does_not_make_another_expression() -> None:
    assert Cron("  0\t6  * * *\n") == Cron("0 6 * * *")
    assert Cron(" 0  6 * * *").expression == "0 6 * * *"


@pytest.mark.parametrize(
    ("expression", "field", "found", "hint"),
    [
        ("61 * * * *", "minute", "61", "0 to 59"),
        ("0 24 * * *", "hour", "24", "0 to 23"),
        ("0 0 0 * *", "day-of-month", "0", "1 to 31"),
        ("0 0 1 13 *", "month", "13", "JAN to DEC"),
        ("0 0 * * 8", "day-of-week", "8", "SUN to SAT"),
        ("60 * * * * *", "second", "60", "0 to 59"),
        ("0 0 ? * *", "day-of-month", "?", r"Write \* instead"),
        ("1,,2 * * * *", "minute", "", "a comma too many"),
        ("0, * * * *", "minute", "", "a comma too many"),
        ("*/0 * * * *", "minute", "*/0", "steps"),
        ("0 22-6 * * *", "hour", "22-6", "22-23,0-6"),
        ("0 0 28-3 * *", "day-of-month", "28-3", "28-31,1-3"),
        ("50-10 0 * * *", "minute", "50-10", "50-59,0-10"),
        ("0 0 1 NOV-2 *", "month", "NOV-2", "NOV-12,1-2"),
        ("0 0 * * FRI-MON", "day-of-week", "FRI-MON", "FRI-6,0-MON"),
        ("0 0 * * FRI-SUN", "day-of-week", "FRI-SUN", "5-7"),
        ("0 0 * * MONDAY", "day-of-week", "MONDAY", "write MON"),
        ("0 0 1 january *", "month", "JANUARY", "write JAN"),
        ("0 0 15W * *", "day-of-month", "15W", "LW"),
        ("0 0 L-3 * *", "day-of-month", "L-3", "L and LW stand alone"),
        ("0 0 LW-2 * *", "day-of-month", "LW-2", "L and LW stand alone"),
        ("0 0 15-L * *", "day-of-month", "15-L", "write 15-31"),
        ("0 0 *-3 * *", "day-of-month", "*-3", r"A \* stands alone"),
        ("5-* * * * *", "minute", "5-*", r"A \* stands alone"),
        ("0 0 1-5/0 * *", "day-of-month", "1-5/0", "a step is a number from 1"),
        ("0 0 1 JAN/0 *", "month", "JAN/0", "a step is a number from 1"),
        ("0 0 * * 1-5L", "day-of-week", "1-5L", "in a list"),
        ("0 0 * * MON#1-3", "day-of-week", "MON#1-3", "may stand in a list"),
        ("0 0 * * FRIL", "day-of-week", "FRIL", "the last Friday is 5L"),
        ("0 0 1 JUL-APR *", "month", "JUL-APR", "JUL-12,1-APR"),
        ("0 0 * * 2#6", "day-of-week", "2#6", "second Friday"),
        ("0 0 * * L", "day-of-week", "L", "last Friday"),
        ("0 0 * * 1-x", "day-of-week", "1-X", "SUN to SAT"),
        ("0 0 * * \u0661", "day-of-week", "\u0661", "SUN to SAT"),
        ("1- * * * *", "minute", "1-", "0 to 59"),
        ("a,b 99 * * *", "minute", "A", "0 to 59"),
        ("* * * *", "expression", "4", "expected five"),
        ("", "expression", "0", "expected five"),
        ("0 0 1 1 * 2027 *", "expression", "7", "years cannot be given"),
        ("@reboot", "expression", "@reboot", "@hourly"),
        ("@every 5m", "expression", "@every 5m", "@hourly"),
        ("* " * 200, "expression", "400", "longer than 256"),
        (None, "expression", "NoneType", "no text"),
    ],
)
def test_a_wrong_expression_is_refused_by_field(expression: Any, field: str, found: str, hint: str) -> None:
    with pytest.raises(ChapkitError, match=hint) as caught:
        Cron(expression)
    error = caught.value
    assert error.code == "cron-invalid"
    assert (error.extensions["field"], error.extensions["found"]) == (field, found)
    assert error.extensions["expected"]


@pytest.mark.parametrize(
    "expression", ["0 0 30 2 *", "0 0 31 4,6,9,11 *", "0 0 31 2 *", "* * */20 * 1L", "0 0 */30 2 MON#5", "0 0 30 2 */1"]
)
def test_what_no_calendar_has_is_refused(expression: str) -> None:
    with pytest.raises(ChapkitError, match="would never run") as caught:
        Cron(expression)
    assert caught.value.code == "schedule-never-fires"


def test_what_is_rare_is_not_refused() -> None:
    assert days("0 0 30,31 2 MON", 1) == ["2027-02-01"]
    assert days("0 0 */28 2 0#5", 2) == ["2032-02-29", "2060-02-29"]


@settings(max_examples=300, deadline=None)
@given(st.text("0123456789*,-/#LW@ MONFRI?\u0661", max_size=30))
def test_any_text_is_either_read_or_refused(text: str) -> None:
    try:
        trigger = Cron(text)
    except ChapkitError as error:
        assert error.code in ("cron-invalid", "schedule-never-fires")  # noqa: PT017
    else:
        tick = trigger.next_after(START)
        assert tick is not None
        assert Job(trigger.expression).matches(tick.replace(tzinfo=None))


@settings(max_examples=100, deadline=None)
@given(twins(), st.datetimes(datetime(2024, 1, 1), datetime(2030, 1, 1)))
def test_in_utc_it_does_as_cronsim_and_the_reference_do(pair: tuple[str, str], moment: datetime) -> None:
    moment = moment.replace(tzinfo=UTC)
    try:
        first, second = Cron(pair[0]), Cron(pair[1])
    except ChapkitError as error:
        assert error.code == "schedule-never-fires"  # noqa: PT017
        return
    simulated = CronSim(pair[0], moment)
    for _ in range(4):
        tick = first.next_after(moment)
        assert tick is not None
        assert tick == second.next_after(moment) == next(simulated)
        assert Job(pair[0]).matches(tick.replace(tzinfo=None))
        moment = tick


def test_only_who_uses_zones_and_expressions_imports_what_reads_them() -> None:
    code = """
import sys
from datetime import UTC, datetime
from chapkit.scheduler import policies, triggers, words
triggers.Interval("15m").next_after(datetime(2027, 1, 1, tzinfo=UTC))
assert not {"cronsim", "zoneinfo", "difflib", "sqlalchemy", "fastapi", "pydantic"} & set(sys.modules)
triggers.Cron("0 6 * * *").next_after(datetime(2027, 1, 1, tzinfo=UTC))
assert "zoneinfo" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
