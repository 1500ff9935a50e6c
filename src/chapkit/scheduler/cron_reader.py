"""Cron expressions as text."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import NoReturn

from chapkit.scheduler.cron_fields import CronFields, DayRule
from chapkit.scheduler.errors import CronInvalidError, NeverFiresError

ALIASES: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_LONGEST = 256
_FIELDS = ("second", "minute", "hour", "day-of-month", "month", "day-of-week")
_ALWAYS = "lists (1,2), ranges (1-5), steps (*/2) and * may be used"
_EXPECTED: Mapping[str, str] = {
    "second": "0 to 59",
    "minute": "0 to 59",
    "hour": "0 to 23",
    "day-of-month": "1 to 31, L for the last day, or LW for the last of Monday to Friday",
    "month": "1 to 12 or JAN to DEC",
    "day-of-week": "0 to 7 (0 and 7 are Sunday) or SUN to SAT, 5L for the last Friday, 5#2 for the second Friday",
}
_ORDER = "minute hour day-of-month month day-of-week, or six fields with the second before them"
_SOME_DAY = datetime(2000, 1, 1, tzinfo=UTC)
_LAST = -1000
_LAST_WEEKDAY = -1001


def read_expression(expression: str) -> CronFields:
    """Return what the expression means.

    Raises:
        CronInvalidError: It cannot be read; the text says which field, what was found and what is expected.
        NeverFiresError: It means days that do not exist, such as 30 February (`schedule-never-fires`).
    """
    parts = _split(expression)
    # Lazy: a service without cron expressions does not need it.
    from cronsim import CronSim, CronSimError

    try:
        read = CronSim(" ".join(parts), _SOME_DAY)
    except CronSimError:
        raise _explained(expression, parts) from None
    by_week: set[int | tuple[int, int]] = read.weekdays
    pairs = [(_monday_first(item[0]), item[1]) for item in by_week if isinstance(item, tuple)]
    return CronFields(
        seconds=frozenset(read.seconds),
        minutes=frozenset(read.minutes),
        hours=frozenset(read.hours),
        months=frozenset(read.months),
        days=DayRule(
            days=frozenset(day for day in read.days if day > 0),
            has_last_day=_LAST in read.days,
            has_last_weekday=_LAST_WEEKDAY in read.days,
            weekdays=frozenset(_monday_first(item) for item in by_week if isinstance(item, int)),
            nth_weekdays=frozenset((weekday, count) for weekday, count in pairs if count != _LAST),
            last_weekdays=frozenset(weekday for weekday, count in pairs if count == _LAST),
            needs_both=read.day_and,
        ),
        is_fixed=not parts[-5].startswith("*") and not parts[-4].startswith("*"),
    )


def _monday_first(weekday: int) -> int:
    return (weekday + 6) % 7


def _split(expression: str) -> list[str]:
    if not isinstance(expression, str):  # pyright: ignore[reportUnnecessaryIsInstance]
        _refuse(expression, "it is no text", found=type(expression).__name__, expected=_ORDER)
    if len(expression) > _LONGEST:
        _refuse(expression, f"it is longer than {_LONGEST} characters", found=len(expression), expected=_ORDER)
    text = expression.strip().lower()
    if text.startswith("@"):
        if text not in ALIASES:
            why = "a service has no start of its machine" if text == "@reboot" else "there is no such alias"
            _refuse(expression, f"{why}; there are {', '.join(ALIASES)}", found=text, expected=", ".join(ALIASES))
        text = ALIASES[text]
    parts = text.upper().split()
    if len(parts) not in (5, 6):
        more = "; years cannot be given, use the start and end of the schedule" if len(parts) == 7 else ""
        reason = f"it has {len(parts)} field{'' if len(parts) == 1 else 's'}, expected five: {_ORDER}{more}"
        _refuse(expression, reason, found=len(parts), expected=_ORDER)
    return parts


def _explained(expression: str, parts: Sequence[str]) -> CronInvalidError | NeverFiresError:
    """Find out which field is wrong by trying each one alone."""
    for name, part in zip(_FIELDS[-len(parts) :], parts, strict=True):
        for item in part.split(","):
            if not _is_valid(name, item):
                expected = _EXPECTED[name]
                reason = f"the {name} is {item!r}, expected {expected}; {_ALWAYS}{_hint(name, item)}"
                return CronInvalidError(expression, reason, field=name, found=item, expected=expected)
    return NeverFiresError(expression)


def _is_valid(name: str, item: str) -> bool:
    # Lazy as above.
    from cronsim import CronSim, CronSimError

    try:
        CronSim(" ".join(item if field == name else "*" for field in _FIELDS), _SOME_DAY)
    except CronSimError:
        return False
    # The package would split at white space and read five fields of an empty item.
    return item != ""


def _hint(name: str, item: str) -> str:
    if item == "":
        return ". There is a comma too many"
    if item == "?":
        return ". Write * instead of ?"
    base, slash, _ = item.partition("/")
    if slash and _is_valid(name, base):
        return ". After the /, a step is a number from 1"
    low, dash, high = base.partition("-")
    if dash and low and high and _is_valid(name, low) and _is_valid(name, high):
        if not (_is_end(name, low) and _is_end(name, high)):
            return _hint_beside_range(name, low, high)
        if name == "day-of-week" and high in ("0", "SUN"):
            return ". A range goes upwards, and Sunday may be 7: Friday to Sunday is 5-7"
        return f". A range goes upwards: write {low}-{_highest(name)},{_lowest(name)}-{high}"
    return _hint_of_name(name, base)


def _hint_of_name(name: str, value: str) -> str:
    if not value.isalpha() or not _is_valid(name, value[:3]):
        return ""
    if name == "day-of-week" and value[3:] == "L":
        return ". Before L the weekday is a number: the last Friday is 5L"
    return f". Names have three letters: write {value[:3]}"


def _is_end(name: str, value: str) -> bool:
    return _is_valid(name, f"{value}-{value}")


def _hint_beside_range(name: str, low: str, high: str) -> str:
    if "*" in (low, high):
        return ". A * stands alone, or before a step; a range has a value at both ends"
    if name == "day-of-week":
        return ". L and # belong to one weekday, which may stand in a list: 4L,5L or 1#1,1#3"
    if high == "L" and _is_end(name, low):
        return f". Until the last day of the month: write {low}-31"
    return ". L and LW stand alone, for the last day of the month and its last weekday; no days are counted from them"


def _highest(name: str) -> str:
    return {"hour": "23", "day-of-month": "31", "month": "12", "day-of-week": "6"}.get(name, "59")


def _lowest(name: str) -> str:
    return "1" if name in ("day-of-month", "month") else "0"


def _refuse(expression: object, reason: str, *, found: object, expected: str) -> NoReturn:
    raise CronInvalidError(expression, reason, field="expression", found=found, expected=expected)
