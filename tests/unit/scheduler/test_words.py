import itertools
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings

from chapkit.core.errors import ChapkitError
from chapkit.scheduler.triggers import Cron, Interval, Once, Trigger, Window
from chapkit.scheduler.words import explain
from tests.unit.scheduler.expressions import twins

NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)
ONLY, OF = "but only if that is ", " of the month, UTC"


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        # How often.
        ("* * * * * *", "Every second"),
        ("*/10 * * * * *", "Every 10 seconds"),
        ("*/7 * * * * *", "At seconds 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every minute"),
        ("5 * * * * *", "At second 5 of every minute"),
        ("5,7 * * * * *", "At seconds 5 and 7 of every minute"),
        ("5 */10 * * * *", "At second 5 of minutes 0, 10, 20, 30, 40 and 50 of every hour"),
        ("*/2 * 6 * * *", "Every 2 seconds of every minute of hour 6, UTC"),
        ("* 1-4,9 6,18 * * *", "Every second of minutes 1 to 4 and 9 of hours 6 and 18, UTC"),
        ("0 * * * * *", "Every minute"),
        ("* * * * *", "Every minute"),
        ("*/1 * * * *", "Every minute"),
        ("*/15 * * * *", "Every 15 minutes"),
        ("0,15,30,45 * * * *", "Every 15 minutes"),
        ("*/30 * * * *", "At minutes 0 and 30 of every hour"),
        ("*/7 * * * *", "At minutes 0, 7, 14, 21, 28, 35, 42, 49 and 56 of every hour"),
        ("1-59/20 * * * *", "At minutes 1, 21 and 41 of every hour"),
        ("0 * * * *", "Every hour"),
        ("@hourly", "Every hour"),
        ("30 * * * *", "At minute 30 of every hour"),
        ("0-10 * * * *", "At minutes 0 to 10 of every hour"),
        ("0 */2 * * *", "Every 2 hours from 00:00, UTC"),
        ("30 */2 * * *", "Every 2 hours from 00:30, UTC"),
        ("0 */5 * * *", "At 00:00, 05:00, 10:00, 15:00 and 20:00 every day, UTC"),
        ("0 */7 * * *", "At 00:00, 07:00, 14:00 and 21:00 every day, UTC"),
        ("0 9-17 * * *", "Every hour from 09:00 to 17:00, UTC"),
        ("30 9-17 * * *", "Every hour from 09:30 to 17:30, UTC"),
        ("*/15 9-17 * * *", "Every 15 minutes from 09:00 to 17:45, UTC"),
        ("* 9 * * *", "Every minute from 09:00 to 09:59, UTC"),
        ("* 9-10 * * *", "Every minute from 09:00 to 10:59, UTC"),
        ("* 9-10,14 * * *", "Every minute of hours 9, 10 and 14, UTC"),
        ("*/20 1,5,9,11,14 * * *", "Every 20 minutes of hours 1, 5, 9, 11 and 14, UTC"),
        ("*/20 */2 * * *", "Every 20 minutes of hours 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20 and 22, UTC"),
        ("7 1,5,9,11,14,20,22 * * *", "At minute 7 of hours 1, 5, 9, 11, 14, 20 and 22, UTC"),
        ("1-5 0,3-5 * * *", "At minutes 1 to 5 of hours 0 and 3 to 5, UTC"),
        # Times of the day.
        ("0 6 * * *", "At 06:00 every day, UTC"),
        ("@daily", "At 00:00 every day, UTC"),
        ("@midnight", "At 00:00 every day, UTC"),
        ("0 6,18 * * *", "At 06:00 and 18:00 every day, UTC"),
        ("0,30 6,18 * * *", "At 06:00, 06:30, 18:00 and 18:30 every day, UTC"),
        ("15 10 23 * * *", "At 23:10:15 every day, UTC"),
        ("0,30 0 6 * * *", "At 06:00:00 and 06:00:30 every day, UTC"),
        # Days of the week.
        ("0 6 * * MON-FRI", "At 06:00 on Monday to Friday, UTC"),
        ("0 6 * * 0,6", "At 06:00 on Saturday and Sunday, UTC"),
        ("0 6 * * 7", "At 06:00 on Sunday, UTC"),
        ("@weekly", "At 00:00 on Sunday, UTC"),
        ("0 6 * * 1,3,5", "At 06:00 on Monday, Wednesday and Friday, UTC"),
        ("0 6 * * 5-7,1", "At 06:00 on Monday and Friday to Sunday, UTC"),
        ("0 6 * * 0-6", "At 06:00 every day, UTC"),
        ("30 0 * * 5L", "At 00:30 on the last Friday of every month, UTC"),
        ("0 0 * * MON#1", "At 00:00 on the 1st Monday of every month, UTC"),
        ("0 0 * * MON#1,MON#3", "At 00:00 on the 1st Monday and 3rd Monday of every month, UTC"),
        ("0 0 * * MON#1,1#2,1#3,1#4,1#5", "At 00:00 on Monday, UTC"),
        ("0 0 * * 2,MON#1,5L", "At 00:00 on Tuesday, and on the 1st Monday and last Friday of every month, UTC"),
        ("0 0 * * 1,1#1,1L", "At 00:00 on Monday, UTC"),
        # Days of the month.
        ("0 0 1 * *", "At 00:00 on the 1st of every month, UTC"),
        ("@monthly", "At 00:00 on the 1st of every month, UTC"),
        ("0 0 2,3,11,12,22,23 * *", "At 00:00 on the 2nd, 3rd, 11th, 12th, 22nd and 23rd of every month, UTC"),
        ("0 0 1-7 * *", "At 00:00 on the 1st to 7th of every month, UTC"),
        ("0 0 L * *", "At 00:00 on the last day of every month, UTC"),
        ("0 0 LW * *", "At 00:00 on the last weekday (Monday to Friday) of every month, UTC"),
        ("0 0 1,15,L * *", "At 00:00 on the 1st, 15th and last day of every month, UTC"),
        ("0 0 1-31 * *", "At 00:00 every day, UTC"),
        # Months.
        ("@yearly", "At 00:00 on 1 January, UTC"),
        ("0 6 1 3 *", "At 06:00 on 1 March, UTC"),
        ("0 0 29 2 *", "At 00:00 on 29 February, UTC"),
        ("0 0 1 1,7 *", "At 00:00 on the 1st of January and July, UTC"),
        ("0 0 L 2 *", "At 00:00 on the last day of February, UTC"),
        ("0 0 * JAN-MAR *", "At 00:00 every day in January to March, UTC"),
        ("*/5 * * 6-8 *", "Every 5 minutes in June to August, UTC"),
        ("0 0 * 1,3 MON", "At 00:00 on Monday in January and March, UTC"),
        ("0 0 * 5 MON,FRI#2", "At 00:00 on Monday in May, and on the 2nd Friday of May, UTC"),
        # Both kinds of days.
        ("0 0 13 * FRI", "At 00:00 on the 13th of every month, and on Friday, UTC"),
        ("0 6 1 3 1", "At 06:00 on 1 March, and on Monday in March, UTC"),
        ("0 0 1-31 * MON", "At 00:00 every day, UTC"),
        ("0 0 13 * 0-6", "At 00:00 every day, UTC"),
        ("0 0 */1 * MON", "At 00:00 on Monday, UTC"),
        ("0 0 13 * */1", "At 00:00 on the 13th of every month, UTC"),
        (
            "0 0 */10 * MON,TUE",
            "At 00:00 on the 1st, 11th, 21st and 31st of every month, but only if that is Monday or Tuesday, UTC",
        ),
        ("0 0 */20 5 1#1,3L", "At 00:00 on the 1st and 21st of May, " + ONLY + "the 1st Monday or last Wednesday" + OF),
        ("0 0 */20 5 1#1,3", "At 00:00 on the 1st and 21st of May, " + ONLY + "Wednesday or the 1st Monday" + OF),
        ("0 0 */20 5 1#1", "At 00:00 on the 1st and 21st of May, but only if that is the 1st Monday of the month, UTC"),
    ],
)
def test_an_expression_is_explained(expression: str, words: str) -> None:
    assert explain(Cron(expression)) == words


def test_the_zone_is_named() -> None:
    assert explain(Cron("0 6 * * MON-FRI", "Africa/Kigali")) == "At 06:00 on Monday to Friday, Africa/Kigali"
    assert explain(Cron("*/15 * * * *", "Asia/Kathmandu")) == "Every 15 minutes, Asia/Kathmandu"


@pytest.mark.parametrize(
    ("trigger", "words"),
    [
        (Once(datetime(2027, 3, 1, 6, tzinfo=UTC)), "Once, on 1 March 2027 at 06:00 UTC"),
        (Once(datetime(2027, 3, 1, 8, tzinfo=ZoneInfo("Africa/Kigali"))), "Once, on 1 March 2027 at 06:00 UTC"),
        (Once(datetime(2027, 3, 1, 6, 0, 5, tzinfo=UTC)), "Once, on 1 March 2027 at 06:00:05 UTC"),
        (Once(datetime(2027, 3, 1, 6, 0, 0, 500_000, tzinfo=UTC)), "Once, on 1 March 2027 at 06:00:00.5 UTC"),
        (Interval("15m"), "Every 15 minutes"),
        (Interval(1), "Every second"),
        (Interval("60s"), "Every minute"),
        (Interval("1d"), "Every day"),
        (Interval("1h30m"), "Every 1 hour and 30 minutes"),
        (Interval("7m"), "Every 7 minutes, counted from 1 January 1970 at 00:00 UTC"),
        (Interval("15m", NOON), "Every 15 minutes, counted from 1 March 2027 at 12:00 UTC"),
        (Interval("2d1h1.5s", NOON), "Every 2 days, 1 hour and 1.5 seconds, counted from 1 March 2027 at 12:00 UTC"),
        (Window(start=NOON).limit(Interval("1h")), "Every hour, from 1 March 2027 at 12:00 UTC"),
        (Window(end=NOON).limit(Cron("@hourly")), "Every hour, until 1 March 2027 at 12:00 UTC"),
        (
            Window(NOON, NOON + timedelta(days=1)).limit(Cron("0 6 * * *")),
            "At 06:00 every day, UTC, from 1 March 2027 at 12:00 UTC, until 2 March 2027 at 12:00 UTC",
        ),
    ],
)
def test_a_trigger_is_explained(trigger: Trigger, words: str) -> None:
    assert explain(trigger) == words


def test_a_trigger_of_somebody_else_is_named() -> None:
    class FullMoon(Trigger):
        def next_after(self, moment: datetime) -> datetime | None:
            return None

    assert explain(FullMoon()) == "As FullMoon says"


def meaning(trigger: Cron) -> Any:
    """Return all times of a day and all days of a leap year."""
    fields, rule = trigger.fields, trigger.fields.days
    kinds = [(first, last) for first in range(7) for last in (28, 29, 30, 31)]
    return fields.seconds, fields.minutes, fields.hours, fields.months, [rule.in_month(*kind) for kind in kinds]


def read(expression: str) -> Cron | None:
    try:
        return Cron(expression)
    except ChapkitError as error:
        assert error.code == "schedule-never-fires"  # noqa: PT017
        return None


@settings(max_examples=100, deadline=None)
@given(twins())
def test_expressions_that_mean_the_same_are_explained_the_same(pair: tuple[str, str]) -> None:
    first, second = read(pair[0]), read(pair[1])
    if first is not None and second is not None:
        assert explain(first) == explain(second)
        assert meaning(first) == meaning(second)


TIMES = itertools.product(
    ["0", "*", "*/30", "0,30", "5"],
    ["0", "*", "*/20", "0,30", "1-4", "1,2,3,4,6", "5-59/10", "*/2"],
    ["0", "*", "*/2", "*/6", "1-4", "1,2,3,4,6", "0-23/5", "22,23,0"],
)
DAYS = itertools.product(
    ["*", "1", "L", "LW", "1-31", "*/2", "1,L", "1,2"],
    ["*", "1", "1-12", "1,2", "1,2,3"],
    ["*", "1", "0-6", "1,2", "1,2,3", "5L", "5#1", "1,5#1", "0#1,0#2,0#3,0#4,0#5", "*/7"],
)


def test_what_is_explained_the_same_means_the_same() -> None:
    by_words: dict[str, Any] = {}
    expressions = [f"{' '.join(times)} 1 1 *" for times in TIMES] + [f"0 6 {' '.join(days)}" for days in DAYS]
    for expression in expressions:
        trigger = read(expression)
        if trigger is None:
            continue
        assert by_words.setdefault(explain(trigger), meaning(trigger)) == meaning(trigger)
    assert len(by_words) > 400
