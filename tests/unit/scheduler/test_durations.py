import math
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chapkit.core.errors import UnprocessableError
from chapkit.scheduler.triggers import Interval, duration, duration_text

MINUTE = 60
HOUR = 3600


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("15m", 15 * MINUTE),
        ("1h30m", 90 * MINUTE),
        ("1h 30m", 90 * MINUTE),
        ("1 hour and 30 minutes", 90 * MINUTE),
        ("1 hour, 30 minutes", 90 * MINUTE),
        ("2d", 48 * HOUR),
        ("1w", 168 * HOUR),
        ("90s", 90),
        ("90 seconds", 90),
        ("1.5h", 90 * MINUTE),
        (" 2 days ", 48 * HOUR),
        ("PT15M", 15 * MINUTE),
        ("pt15m", 15 * MINUTE),
        ("P1DT12H", 36 * HOUR),
        ("P2W", 336 * HOUR),
        ("PT1.5S", 1.5),
        ("PT0.5H", 30 * MINUTE),
        ("900", 900),
        (900, 900),
        (1.1, 1.1),
        (timedelta(minutes=15), 15 * MINUTE),
        ("366d", 366 * 24 * HOUR),
        (1, 1),
    ],
)
def test_an_interval_can_be_written_in_the_usual_ways(value: Any, seconds: float) -> None:
    assert duration(value) == timedelta(seconds=seconds)
    assert Interval(value).every == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "value",
    [
        0,
        -1,
        0.999,
        "0s",
        "0.5s",
        "367d",
        "366d1s",
        timedelta(0),
        timedelta(days=-1),
        timedelta(days=366, microseconds=1),
        math.nan,
        math.inf,
        1e300,
        10**400,
        "",
        "m",
        "15x",
        "15 parsecs",
        "1h30",
        "-15m",
        "15M",
        "P",
        "PT",
        "P1DT",
        "PT15",
        "P15M",
        "15m!",
        "\u0661\u0665m",
        "9" * 5000,
        "999999999w999999999w",
        True,
        None,
        ["15m"],
        {"minutes": 15},
    ],
)
def test_what_is_no_interval_is_refused_with_examples(value: Any) -> None:
    with pytest.raises(UnprocessableError, match="'1h30m'") as caught:
        duration(value)
    assert caught.value.code == "interval-invalid"
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("value", ["1 month", "2 years", "3mo", "P1M", "P1Y", "P1Y2M3DT4H"])
def test_months_lead_to_a_cron_expression(value: str) -> None:
    with pytest.raises(UnprocessableError, match=r"0 0 1 \* \*"):
        duration(value)


def test_a_tenth_of_a_second_is_exact() -> None:
    assert duration("1.1s") == timedelta(seconds=1, microseconds=100_000)
    assert duration("PT1.000001S") == timedelta(seconds=1, microseconds=1)


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(minutes=90), "1h30m"),
        (timedelta(days=7), "7d"),
        (timedelta(seconds=1.5), "1.5s"),
        (timedelta(seconds=10), "10s"),
        (timedelta(days=1, microseconds=1), "1d0.000001s"),
        (timedelta(0), "0s"),
    ],
)
def test_a_length_has_a_short_text(length: timedelta, text: str) -> None:
    assert duration_text(length) == text


@settings(max_examples=300, deadline=None)
@given(st.timedeltas(timedelta(seconds=1), timedelta(days=366)))
def test_the_text_of_a_length_can_be_read_again(length: timedelta) -> None:
    assert duration(duration_text(length)) == length
