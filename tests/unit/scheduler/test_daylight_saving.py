"""200 schedules over all changes of the clock from 2024 to 2030 in ten zones, against a reference of its own."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from chapkit.scheduler.triggers import Cron
from tests.unit.scheduler.debian_cron import Clock, Job

# With the hour around which the clocks change there, as they show it.
ZONES = {
    "Europe/Berlin": 2,
    "America/New_York": 1,
    "America/Santiago": 23,
    "America/Asuncion": 0,
    "Africa/Cairo": 0,
    "Africa/Casablanca": 2,
    "Asia/Beirut": 0,
    "Australia/Lord_Howe": 1,
    "Antarctica/Troll": 2,
    "Africa/Kigali": 2,
}

# h is that hour, i the one before it, j the one after it.
EXPRESSIONS = [
    "* * * * *",
    "*/15 * * * *",
    "7-59/20 * * * *",
    "0 * * * *",
    "35 * * * *",
    "*/10 h * * *",
    "*/10 j * * *",
    "* i,h,j * * *",
    "15 */2 * * *",
    "45 */3 * * SUN",
    "0 h * * *",
    "30 h * * *",
    "10,40 i,h,j * * *",
    "0 0-23 * * *",
    "5-59/10 h * * *",
    "0 j * * 0",
    "30 h * * FRI,SUN,SAT",
    "59 i * * *",
    "15 h L,1-31/2 * *",
    "20 i-i,h,j 25-31 * 5L",
]


def expressions_for(hour: int) -> list[str]:
    names = {"i": str((hour - 1) % 24), "h": str(hour), "j": str((hour + 1) % 24)}
    found = []
    for text in EXPRESSIONS:
        minute, hours, *rest = text.split()
        for name, number in names.items():
            hours = hours.replace(name, number)
        found.append(" ".join([minute, hours, *rest]))
    return found


def changes(zone: str, first: int, last: int) -> list[datetime]:
    """Return the hours in which the offset of a zone changes."""
    place = ZoneInfo(zone)
    moment, found = datetime(first, 1, 1, tzinfo=UTC), []
    while moment.year <= last:
        later = moment + timedelta(hours=1)
        if moment.astimezone(place).utcoffset() != later.astimezone(place).utcoffset():
            found.append(moment)
        moment = later
    return found


def ticks(expression: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    return list(Cron(expression, zone).between(start, end, 1_000_000))


def check(zone: str, expressions: list[str], moments: list[datetime], tick: int = 60, hours: int = 4) -> None:
    wrong = []
    for moment in moments:
        start, end = moment - timedelta(hours=hours), moment + timedelta(hours=hours)
        clock = Clock(zone, start, end, tick)
        for expression in expressions:
            expected = clock.runs(Job(expression))
            # A tick is found on the way to it, and when it is due.
            due = [Cron(expression, zone).first(moment) for moment in expected]
            if not ticks(expression, zone, start, end) == due == expected:
                wrong.append((expression, moment, expected))
    assert wrong == []


@pytest.mark.parametrize("zone", ZONES)
def test_schedules_run_as_by_the_reference_when_the_clocks_change(zone: str) -> None:
    moments = changes(zone, 2024, 2030)
    if zone == "Africa/Kigali":
        assert moments == []
        moments = [datetime(2028, 2, 29, 1, tzinfo=UTC)]
    assert moments
    check(zone, expressions_for(ZONES[zone]), moments)


def test_there_are_two_hundred_different_schedules() -> None:
    schedules = {(zone, expression) for zone, hour in ZONES.items() for expression in expressions_for(hour)}
    assert len(schedules) == 200


@pytest.mark.parametrize(
    ("zone", "moment", "hour"),
    [
        ("Asia/Pyongyang", datetime(2018, 5, 4, 15, tzinfo=UTC), 23),
        ("America/Caracas", datetime(2016, 5, 1, 7, tzinfo=UTC), 2),
        ("Europe/Istanbul", datetime(2016, 3, 27, 1, tzinfo=UTC), 3),
        ("America/St_Johns", datetime(2010, 11, 7, 2, 31, tzinfo=UTC), 23),
        ("America/St_Johns", datetime(2011, 3, 13, 3, 31, tzinfo=UTC), 0),
        ("Antarctica/Casey", datetime(2018, 3, 10, 17, tzinfo=UTC), 2),
        ("Antarctica/Casey", datetime(2018, 10, 6, 20, tzinfo=UTC), 5),
        ("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC), 0),
        ("America/Nuuk", datetime(2023, 3, 26, 1, tzinfo=UTC), 22),
    ],
)
def test_zones_that_changed_their_rules_are_followed(zone: str, moment: datetime, hour: int) -> None:
    place = ZoneInfo(zone)
    around = [(moment + timedelta(hours=hours)).astimezone(place).utcoffset() for hours in (-1, 1)]
    assert around[0] != around[1]
    check(zone, expressions_for(hour), [moment], hours=30)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "Australia/Lord_Howe"])
def test_six_fields_follow_the_clock_as_five_do(zone: str) -> None:
    hour = ZONES[zone]
    expressions = [f"0,20 {text}" for text in expressions_for(hour)[1::2]]
    check(zone, [*expressions, "*/7 * * * * *", f"* 30 {hour} * * *"], changes(zone, 2027, 2027), tick=1, hours=2)


def test_a_whole_leap_year_runs_as_by_the_reference() -> None:
    zone, start, end = "America/Santiago", datetime(2028, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC)
    # By quarters of an hour, which all of these are at.
    clock = Clock(zone, start, end, tick=900)
    for expression in ("30 2 29 2 *", "0 0 L * *", "15 23 LW * *", "0 6 * * MON#5", "0 12 13 * FRI", "0 0 */9 * 1-5"):
        expected = clock.runs(Job(expression))
        assert expected
        assert ticks(expression, zone, start, end) == expected


def test_what_the_clock_skips_runs_once_right_after_the_jump() -> None:
    start, end = datetime(2027, 3, 28, tzinfo=UTC), datetime(2027, 3, 28, 3, tzinfo=UTC)
    jump = datetime(2027, 3, 28, 1, tzinfo=UTC)
    for expression in ("30 2 * * *", "0,15,30 2 * * *", "0 2,3 * * *", "20 30 2 * * *"):
        assert ticks(expression, "Europe/Berlin", start, end) == [jump]


def test_what_the_clock_shows_twice_runs_the_first_time_only() -> None:
    start, end = datetime(2027, 10, 31, tzinfo=UTC), datetime(2027, 10, 31, 3, tzinfo=UTC)
    first = datetime(2027, 10, 31, 0, 30, tzinfo=UTC)
    assert ticks("30 2 * * *", "Europe/Berlin", start, end) == [first]
    assert ticks("30 2 * * *", "Europe/Berlin", first + timedelta(seconds=1), end) == []
    assert ticks("*/30 2 * * *", "Europe/Berlin", first, end) == [first + timedelta(minutes=30) * n for n in range(3)]


def test_a_day_that_a_zone_leaves_out_does_not_run() -> None:
    # Samoa went over the date line: 30 December 2011 does not exist there.
    start, end = datetime(2011, 12, 29, tzinfo=UTC), datetime(2012, 1, 1, tzinfo=UTC)
    place = ZoneInfo("Pacific/Apia")
    found = [tick.astimezone(place) for tick in ticks("0 6 * * *", "Pacific/Apia", start, end)]
    assert [tick.day for tick in found] == [29, 31, 1]


def test_a_day_that_a_zone_has_twice_runs_twice() -> None:
    # Kwajalein had 30 September 1969 twice for nearly all of its hours: 23 hours back are no daylight saving.
    moment = datetime(1969, 9, 30, 13, tzinfo=UTC)
    check("Pacific/Kwajalein", ["30 6 * * *", "*/30 4 * * *", "0 0 30 9 *"], [moment], hours=40)
    found = ticks("30 6 30 9 *", "Pacific/Kwajalein", moment - timedelta(days=2), moment + timedelta(days=2))
    assert len(found) == 2
