"""Triggers explained to people."""

from datetime import datetime, timedelta

from chapkit.scheduler.cron import Cron
from chapkit.scheduler.cron_day_words import MONTHS, days
from chapkit.scheduler.cron_time_words import is_bound_to_clock, rhythm, times_of_day
from chapkit.scheduler.interval import EPOCH, Interval
from chapkit.scheduler.lists_of_words import listed
from chapkit.scheduler.once import Once
from chapkit.scheduler.trigger import Trigger
from chapkit.scheduler.window import Limited

_DAY = timedelta(days=1)


def explain(trigger: Trigger) -> str:
    """Return in plain English when the trigger fires.

    Expressions that mean the same days and times are explained by the same words.
    """
    match trigger:
        case Once():
            return f"Once, on {_moment(trigger.at)}"
        case Interval():
            return _interval(trigger)
        case Cron():
            return _cron(trigger)
        case Limited():
            window = trigger.window
            start = f", from {_moment(window.start)}" if window.start else ""
            end = f", until {_moment(window.end)}" if window.end else ""
            return explain(trigger.trigger) + start + end
        case _:
            return f"As {type(trigger).__name__} says"


def _cron(trigger: Cron) -> str:
    fields = trigger.fields
    on_days = days(fields)
    times = times_of_day(fields)
    text = f"{times or rhythm(fields)} {on_days or ('every day' if times else '')}".strip()
    if times and on_days.startswith("in "):
        text = f"{times} every day {on_days}"
    is_elsewhere = trigger.timezone != "UTC"
    zone = f", {trigger.timezone}" if is_elsewhere or on_days or is_bound_to_clock(fields) else ""
    return text[0].upper() + text[1:] + zone


def _interval(trigger: Interval) -> str:
    rest = trigger.every // timedelta(microseconds=1)
    parts: list[tuple[str, str]] = []
    for noun, size in (("day", 86_400), ("hour", 3600), ("minute", 60)):
        count, rest = divmod(rest, size * 1_000_000)
        if count:
            parts.append((str(count), noun))
    if rest:
        parts.append((f"{rest / 1_000_000:.6f}".rstrip("0").rstrip("."), "second"))
    if len(parts) == 1 and parts[0][0] == "1":
        text = f"Every {parts[0][1]}"
    else:
        text = "Every " + listed([f"{count} {noun}{'' if count == '1' else 's'}" for count, noun in parts])
    is_obvious = trigger.anchor == EPOCH and not _DAY % trigger.every
    return text if is_obvious else f"{text}, counted from {_moment(trigger.anchor)}"


def _moment(moment: datetime) -> str:
    if moment.microsecond:
        time = f"{moment:%H:%M:%S.%f}".rstrip("0")
    else:
        time = f"{moment:%H:%M:%S}" if moment.second else f"{moment:%H:%M}"
    return f"{moment.day} {MONTHS[moment.month]} {moment.year} at {time} UTC"
