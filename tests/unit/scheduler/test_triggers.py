import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chapkit.core.errors import ChapkitError
from chapkit.scheduler.triggers import Cron, Interval, Limited, Once, Trigger, Window

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)
FOR_EVER = datetime.max.replace(tzinfo=UTC)
ALWAYS = datetime.min.replace(tzinfo=UTC)


class _Zoneless(tzinfo):
    """A zone that does not know its offset, so that a moment in it is naive all the same."""

    def utcoffset(self, moment: datetime | None) -> timedelta | None:
        return None

    def dst(self, moment: datetime | None) -> timedelta | None:
        return None

    def tzname(self, moment: datetime | None) -> str | None:
        return None


def test_once_fires_one_time() -> None:
    trigger = Once(NOON)
    assert trigger.next_after(NOON - timedelta(microseconds=1)) == NOON
    assert trigger.next_after(NOON) is None
    assert trigger.first(NOON) == NOON
    assert list(trigger.between(ALWAYS, FOR_EVER, 5)) == [NOON]


def test_a_moment_in_any_zone_is_the_same_moment() -> None:
    kigali = datetime(2027, 3, 1, 14, tzinfo=ZoneInfo("Africa/Kigali"))
    assert Once(kigali) == Once(NOON)
    found = Once(kigali).next_after(kigali - DAY)
    assert found is not None
    assert found.tzinfo is UTC


NAIVE = datetime(2027, 3, 1, 12)


@pytest.mark.parametrize(
    "act",
    [
        lambda: Once(NAIVE),
        lambda: Once(NOON.replace(tzinfo=_Zoneless())),
        lambda: Interval(60, NAIVE),
        lambda: Window(start=NAIVE),
        lambda: Window(end=NAIVE),
        lambda: Once(NOON).next_after(NAIVE),
        lambda: Cron("* * * * *").next_after(NAIVE),
        lambda: Interval(60).first(NAIVE),
        lambda: list(Interval(60).between(NOON, NAIVE, 1)),
        lambda: Interval(60).latest(NOON, NAIVE, 1),
        lambda: Window().contains(NAIVE),
    ],
)
def test_a_moment_without_a_zone_is_refused_with_the_way_out(act: Callable[[], Any]) -> None:
    with pytest.raises(ChapkitError, match="2027-03-01T06:00:00Z") as caught:
        act()
    assert caught.value.code == "schedule-time-naive"
    assert "datetime.datetime(" not in caught.value.detail
    assert "which says no time zone" in caught.value.detail


def test_a_text_is_no_moment_although_it_has_a_zone() -> None:
    text: Any = "2030-01-01T00:00:00Z"
    with pytest.raises(ChapkitError, match="at is '2030-01-01T00:00:00Z', which is no datetime;"):
        Once(text)


@pytest.mark.parametrize("year", [1, 1899, 9998, 9999])
def test_a_tick_outside_of_the_calendar_is_refused(year: int) -> None:
    for make in (Once, lambda at: Interval(60, at)):
        with pytest.raises(ChapkitError) as caught:
            make(datetime(year, 6, 1, tzinfo=UTC))
        assert caught.value.code == "schedule-time-out-of-range"


@pytest.mark.parametrize("trigger", [Once(NOON), Interval("1d"), Cron("0 6 * * *"), Cron("0 6 * * *", "Asia/Tokyo")])
def test_the_ends_of_time_are_no_trouble(trigger: Trigger) -> None:
    assert trigger.next_after(FOR_EVER) is None
    assert trigger.next_after(datetime.max.replace(tzinfo=timezone(-timedelta(hours=12)))) is None
    first = trigger.next_after(ALWAYS)
    assert first is not None
    assert first == trigger.first(datetime.min.replace(tzinfo=timezone(timedelta(hours=12))))
    assert trigger.latest(ALWAYS, FOR_EVER, 1) != []


def test_the_last_leap_day_of_all_is_the_last() -> None:
    trigger = Cron("0 0 29 2 *", "Asia/Tokyo")
    assert trigger.next_after(datetime(9996, 2, 28, 14, tzinfo=UTC)) == datetime(9996, 2, 28, 15, tzinfo=UTC)
    assert trigger.next_after(datetime(9996, 2, 28, 15, tzinfo=UTC)) is None


def test_an_interval_fires_at_its_anchor_and_not_before() -> None:
    trigger = Interval("15m", NOON)
    assert trigger.next_after(NOON - 40 * DAY) == NOON
    assert trigger.next_after(NOON) == NOON + timedelta(minutes=15)
    assert trigger.next_after(NOON + timedelta(minutes=14, seconds=59)) == NOON + timedelta(minutes=15)


def test_an_interval_without_an_anchor_begins_at_the_hour() -> None:
    assert list(Interval("15m").between(NOON, FOR_EVER, 3)) == [NOON + n * timedelta(minutes=15) for n in range(3)]


@pytest.mark.parametrize("every", [timedelta(seconds=1), timedelta(seconds=1.000001), timedelta(days=1, seconds=7)])
def test_an_interval_does_not_drift_over_ten_thousand_ticks(every: timedelta) -> None:
    anchor = datetime(2024, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC)
    trigger = Interval(every, anchor)
    moment = anchor
    for count in range(1, 10_001):
        found = trigger.next_after(moment)
        assert found == anchor + count * every
        moment = found


def test_an_interval_goes_by_real_time_when_the_clocks_change() -> None:
    anchor = datetime(2027, 3, 27, 6, tzinfo=ZoneInfo("Europe/Berlin"))
    hours = [tick.astimezone(anchor.tzinfo).hour for tick in Interval("1d", anchor).between(anchor, FOR_EVER, 3)]
    assert hours == [6, 7, 7]


def test_the_end_of_a_range_is_left_out() -> None:
    trigger = Interval("1h")
    day, next_day = list(trigger.between(NOON, NOON + DAY, 99)), list(trigger.between(NOON + DAY, NOON + 2 * DAY, 99))
    assert len(day) == len(next_day) == 24
    assert day[0] == NOON
    assert next_day[0] == NOON + DAY


def test_a_range_is_no_longer_than_its_limit() -> None:
    assert len(list(Interval(1).between(NOON, FOR_EVER, 7))) == 7
    assert list(Interval(1).between(NOON, FOR_EVER, 0)) == []


def test_the_latest_ticks_of_a_year_of_seconds_are_found_without_walking() -> None:
    asked: list[datetime] = []

    class Counting(Interval):
        def next_after(self, moment: datetime) -> datetime | None:
            asked.append(moment)
            return super().next_after(moment)

    end = NOON + 365 * DAY
    assert Counting(1).latest(NOON, end, 3) == [end - timedelta(seconds=n) for n in (3, 2, 1)]
    assert len(asked) < 500


@pytest.mark.parametrize(
    "trigger", [Interval("7h"), Cron("0 6 * * 1"), Cron("0,5 1,2 1 */3 *", "Africa/Cairo"), Once(NOON), Interval("30d")]
)
def test_the_latest_ticks_are_the_last_of_all(trigger: Trigger) -> None:
    start, end = NOON - 100 * DAY, NOON + 100 * DAY
    every = list(trigger.between(start, end, 10_000))
    assert every
    for count in (0, 1, 2, 5, 100):
        assert trigger.latest(start, end, count) == (every[-count:] if count else [])
    assert trigger.latest(end, start, 3) == []


def test_a_window_lets_its_start_through_and_not_its_end() -> None:
    window = Window(NOON, NOON + timedelta(hours=2))
    trigger = window.limit(Interval("1h"))
    assert list(trigger.between(ALWAYS, FOR_EVER, 9)) == [NOON, NOON + timedelta(hours=1)]
    assert trigger.next_after(NOON + timedelta(hours=1)) is None
    assert window.contains(NOON)
    assert not window.contains(NOON + timedelta(hours=2))
    assert not window.contains(NOON - timedelta(microseconds=1))


def test_a_window_may_be_open_at_either_side() -> None:
    trigger = Interval("1h")
    assert Window().limit(trigger) is trigger
    assert Window(start=NOON).limit(trigger).first(ALWAYS) == NOON
    assert Window(end=NOON).limit(trigger).latest(ALWAYS, FOR_EVER, 1) == [NOON - timedelta(hours=1)]
    assert Window(end=FOR_EVER).limit(trigger).first(NOON) == NOON


def test_what_ends_before_it_begins_is_no_window() -> None:
    for end in (NOON, NOON - DAY):
        with pytest.raises(ChapkitError, match="must come after") as caught:
            Window(NOON, end)
        assert caught.value.code == "schedule-window-invalid"


@pytest.mark.parametrize(
    "trigger",
    [Once(NOON), Interval("15m", NOON), Cron("0 6 * * *", "Africa/Kigali"), Window(NOON).limit(Cron("@daily"))],
)
def test_triggers_are_values(trigger: Trigger) -> None:
    again = pickle.loads(pickle.dumps(trigger))
    assert again == trigger
    assert hash(again) == hash(trigger)
    assert again.first(NOON) == trigger.first(NOON)
    with pytest.raises(FrozenInstanceError):
        trigger.at = NOON  # type: ignore[attr-defined]
    assert "=" in repr(trigger)
    assert "_zone" not in repr(trigger)


MOMENTS = st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))
ZONES = st.sampled_from(
    ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/Havana", "Africa/Casablanca", "Asia/Gaza"]
)
CRONS = st.builds(
    lambda fields, zone: Cron(" ".join(fields), zone),
    st.tuples(
        st.sampled_from(["*", "*/15", "0", "30", "7,8", "59"]),
        st.sampled_from(["*", "*/3", "0", "2", "1-3", "23", "0,12"]),
        st.sampled_from(["*", "*", "1", "L", "LW", "28-31"]),
        st.sampled_from(["*", "*", "3,10", "2"]),
        st.sampled_from(["*", "*", "SUN", "1-5", "5L", "1#1"]),
    ),
    ZONES,
)
TRIGGERS = (
    CRONS
    | st.builds(Interval, st.timedeltas(timedelta(seconds=1), timedelta(days=366)), MOMENTS)
    | st.builds(Once, MOMENTS)
    | st.builds(
        lambda cron, start, length: Limited(cron, Window(start, start + length)), CRONS, MOMENTS, st.just(30 * DAY)
    )
)


@settings(max_examples=200, deadline=None)
@given(TRIGGERS, MOMENTS)
def test_ticks_only_ever_go_forward(trigger: Trigger, moment: datetime) -> None:
    for _ in range(5):
        tick = trigger.next_after(moment)
        if tick is None:
            break
        assert tick.tzinfo is UTC
        assert tick > moment
        moment = tick


@settings(max_examples=200, deadline=None)
@given(TRIGGERS, MOMENTS, st.floats(0, 1))
def test_every_moment_before_a_tick_has_the_same_next_tick(trigger: Trigger, moment: datetime, share: float) -> None:
    tick = trigger.next_after(moment)
    if tick is not None:
        between = min(moment + (tick - moment) * share, tick - timedelta(microseconds=1))
        assert trigger.next_after(max(moment, between)) == tick
        assert trigger.first(tick) == tick


@settings(max_examples=100, deadline=None)
@given(TRIGGERS, MOMENTS, st.timedeltas(timedelta(0), timedelta(days=400)), st.integers(0, 20))
def test_a_range_is_what_comes_after_each_other(
    trigger: Trigger, start: datetime, length: timedelta, limit: int
) -> None:
    end = start + length
    expected: list[datetime] = []
    tick = trigger.next_after(start - timedelta(microseconds=1))
    while tick is not None and tick < end and len(expected) < limit:
        expected.append(tick)
        tick = trigger.next_after(tick)
    assert list(trigger.between(start, end, limit)) == expected
