"""How long an interval is: numbers, short texts and ISO 8601."""

import re
from collections.abc import Mapping
from datetime import timedelta
from decimal import Decimal

from chapkit.scheduler.errors import IntervalInvalidError

SHORTEST = timedelta(seconds=1)
LONGEST = timedelta(days=366)
_NUMBER = r"(\d{1,9}(?:\.\d{1,6})?)"
_find_parts = re.compile(rf"{_NUMBER}\s*([a-z]+)\s*(?:,\s*|and\s+)?").findall
_is_parts = re.compile(rf"(?:{_NUMBER}\s*[a-z]+\s*(?:,\s*|and\s+)?)*{_NUMBER}\s*[a-z]+").fullmatch
_is_number = re.compile(_NUMBER).fullmatch
_iso = re.compile(
    rf"P(?:{_NUMBER}W)?(?:{_NUMBER}D)?(?:T(?=.)(?:{_NUMBER}H)?(?:{_NUMBER}M)?(?:{_NUMBER}S)?)?", re.ASCII
).fullmatch
_ISO_SECONDS = (604_800, 86_400, 3600, 60, 1)
_NAMES: Mapping[int, tuple[str, ...]] = {
    1: ("s", "sec", "secs", "second", "seconds"),
    60: ("m", "min", "mins", "minute", "minutes"),
    3600: ("h", "hr", "hrs", "hour", "hours"),
    86_400: ("d", "day", "days"),
    604_800: ("w", "week", "weeks"),
}
_SECONDS: Mapping[str, int] = {name: seconds for seconds, names in _NAMES.items() for name in names}
_UNEVEN = frozenset({"month", "months", "mo", "quarter", "quarters", "year", "years", "y", "yr"})
_CALENDAR_HINT = ". Months and years differ in length: use a cron expression, such as '0 0 1 * *'"
_UNITS = (("d", 86_400), ("h", 3600), ("m", 60))


def duration(value: timedelta | float | str) -> timedelta:
    """Return the length of an interval, given in one of the usual ways.

    Args:
        value: A timedelta, seconds, or a text: `"15m"`, `"1h30m"`, `"2d"`, `"90 seconds"`, `"PT15M"`, `"900"`.

    Raises:
        IntervalInvalidError: It cannot be read, is shorter than a second or longer than 366 days (`interval-invalid`).
    """
    found = _from_text(value) if isinstance(value, str) else _from_number(value)
    if not SHORTEST <= found <= LONGEST:
        raise IntervalInvalidError(value)
    return found


def duration_text(length: timedelta) -> str:
    """Return the length as a short text that `duration` reads: `"1d"`, `"1h30m"`, `"1.5s"`."""
    rest = length // timedelta(microseconds=1)
    parts: list[str] = []
    for unit, seconds in _UNITS:
        count, rest = divmod(rest, seconds * 1_000_000)
        if count:
            parts.append(f"{count}{unit}")
    if rest or not parts:
        whole, micros = divmod(rest, 1_000_000)
        parts.append(f"{whole}.{micros:06d}".rstrip("0").rstrip(".") + "s")
    return "".join(parts)


def _from_number(value: timedelta | float) -> timedelta:
    if isinstance(value, timedelta):
        return value
    # A truth value is a number for Python, but for nobody else.
    if isinstance(value, bool) or not isinstance(value, int | float):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise IntervalInvalidError(value)
    try:
        return timedelta(seconds=value)
    except (OverflowError, ValueError):
        raise IntervalInvalidError(value) from None


def _from_text(value: str) -> timedelta:
    text = value.strip()
    if len(text) > 100 or not text.isascii():
        raise IntervalInvalidError(value)
    if _is_number(text):
        return _sum([(text, 1)])
    if match := _iso(text.upper()):
        parts = [(number, unit) for number, unit in zip(match.groups(), _ISO_SECONDS, strict=True) if number]
        return _sum(parts)
    if text[:1] in ("P", "p"):
        raise IntervalInvalidError(value, _CALENDAR_HINT if re.search("[YM]", text.upper().partition("T")[0]) else "")
    if _is_parts(text) is None:
        raise IntervalInvalidError(value)
    found: list[tuple[str, str]] = _find_parts(text)
    if any(unit in _UNEVEN for _, unit in found):
        raise IntervalInvalidError(value, _CALENDAR_HINT)
    if any(unit not in _SECONDS for _, unit in found):
        raise IntervalInvalidError(value)
    return _sum([(number, _SECONDS[unit]) for number, unit in found])


def _sum(parts: list[tuple[str, int]]) -> timedelta:
    # Decimal, as a tenth of a second is no binary fraction and an interval must not drift.
    micros = sum(Decimal(number) * seconds * 1_000_000 for number, seconds in parts)
    # Longer is refused anyway, and the number would not fit.
    return timedelta(microseconds=int(min(micros, Decimal(10**17))))
