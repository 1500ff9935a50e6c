"""What a cron expression means, once it has been read."""

from dataclasses import dataclass

ALL_DAYS = frozenset(range(1, 32))
ALL_MONTHS = frozenset(range(1, 13))
ALL_WEEKDAYS = frozenset(range(7))
_SATURDAY = 5


@dataclass(frozen=True)
class DayRule:
    """Which days of a month count. Weekdays go from Monday, 0, to Sunday, 6."""

    days: frozenset[int]
    has_last_day: bool
    has_last_weekday: bool
    """Whether the last of Monday to Friday counts."""
    weekdays: frozenset[int]
    nth_weekdays: frozenset[tuple[int, int]]
    """Weekday and the how-manieth of the month, from 1 to 5."""
    last_weekdays: frozenset[int]
    """Weekdays whose last one in the month counts."""
    needs_both: bool
    """Whether day of month and day of week must both hold; one is enough otherwise."""

    def in_month(self, first: int, last: int) -> int:
        """Return the days that count as bits: bit 1 is the first of the month.

        Args:
            first: Weekday of the first of the month, from 0.
            last: How many days the month has.
        """
        by_date, by_week = self._by_date(first, last), self._by_week(first, last)
        return by_date & by_week if self.needs_both else by_date | by_week

    def _by_date(self, first: int, last: int) -> int:
        found = bits(self.days) & ((2 << last) - 1)
        if self.has_last_day:
            found |= 1 << last
        if self.has_last_weekday:
            found |= 1 << last - max(0, (first + last - 1) % 7 - _SATURDAY + 1)
        return found

    def _by_week(self, first: int, last: int) -> int:
        found = 0
        for weekday in self.weekdays:
            found |= _EVERY_WEEK << 1 + (weekday - first) % 7
        for weekday, count in self.nth_weekdays:
            found |= 1 << 1 + (weekday - first) % 7 + 7 * (count - 1)
        for weekday in self.last_weekdays:
            found |= 1 << last - (first + last - 1 - weekday) % 7
        return found & ((2 << last) - 1)


@dataclass(frozen=True)
class CronFields:
    """The values of each field, and how they belong together."""

    seconds: frozenset[int]
    minutes: frozenset[int]
    hours: frozenset[int]
    months: frozenset[int]
    days: DayRule
    is_fixed: bool
    """Whether it names times of the day, and so follows the wall clock: minute and hour do not begin with `*`."""


def bits(values: frozenset[int]) -> int:
    """Return the numbers as bits."""
    found = 0
    for value in values:
        found |= 1 << value
    return found


_EVERY_WEEK = bits(frozenset(range(0, 35, 7)))
