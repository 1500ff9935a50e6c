"""The days of a cron expression, in words."""

from collections.abc import Collection

from chapkit.scheduler.cron_fields import ALL_DAYS, ALL_MONTHS, ALL_WEEKDAYS, CronFields, DayRule
from chapkit.scheduler.lists_of_words import in_runs, listed, ordinal

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("", "January", "February", "March", "April", "May", "June", "July", "August", "September", "October"),
    *("November", "December"),
)


def days(fields: CronFields) -> str:
    """Return on which days it runs: `on Monday to Friday in May`; nothing, if on all of the year."""
    rule, months = fields.days, fields.months
    has_all_dates, has_all_weekdays = rule.days == ALL_DAYS, rule.weekdays == ALL_WEEKDAYS
    enough = (has_all_dates, has_all_weekdays)
    if all(enough) or (any(enough) and not rule.needs_both):
        return "" if len(months) == len(ALL_MONTHS) else f"in {_named_months(months)}"
    if has_all_dates:
        return f"on {_by_week(rule, months)}"
    if has_all_weekdays:
        return f"on {_by_date(rule, months)}"
    if rule.needs_both:
        return f"on {_by_date(rule, months)}, but only if that is {_weekdays_within(rule)}"
    return f"on {_by_date(rule, months)}, and on {_by_week(rule, months)}"


def _by_date(rule: DayRule, months: Collection[int]) -> str:
    only_days = not (rule.has_last_day or rule.has_last_weekday)
    if only_days and len(rule.days) == 1 and len(months) == 1:
        return f"{min(rule.days)} {_named_months(months)}"
    words = in_runs(rule.days, ordinal)
    words += ["last day"] if rule.has_last_day else []
    words += ["last weekday (Monday to Friday)"] if rule.has_last_weekday else []
    return f"the {listed(words)} of {_each_month(months)}"


def _by_week(rule: DayRule, months: Collection[int]) -> str:
    plain, counted = _weekdays(rule)
    season = "" if len(months) == len(ALL_MONTHS) else f" in {_named_months(months)}"
    words = [listed(plain) + season] if plain else []
    words += [f"the {listed(counted)} of {_each_month(months)}"] if counted else []
    return ", and on ".join(words)


def _weekdays_within(rule: DayRule) -> str:
    plain, counted = _weekdays(rule)
    words = [" or ".join(plain)] if plain else []
    words += [f"the {' or '.join(counted)} of the month"] if counted else []
    return " or ".join(words)


def _weekdays(rule: DayRule) -> tuple[list[str], list[str]]:
    """Return the weekdays that always count, and those that count by their number within the month."""
    by_number = {weekday: {count for day, count in rule.nth_weekdays if day == weekday} for weekday in ALL_WEEKDAYS}
    always = rule.weekdays | {weekday for weekday, counts in by_number.items() if len(counts) == 5}
    rest = [(count, weekday) for weekday, counts in by_number.items() for count in counts if weekday not in always]
    counted = [f"{ordinal(count)} {WEEKDAYS[weekday]}" for count, weekday in sorted(rest)]
    counted += [f"last {WEEKDAYS[weekday]}" for weekday in sorted(rule.last_weekdays - always)]
    return in_runs(always, WEEKDAYS.__getitem__), counted


def _each_month(months: Collection[int]) -> str:
    return "every month" if len(months) == len(ALL_MONTHS) else _named_months(months)


def _named_months(months: Collection[int]) -> str:
    return listed(in_runs(months, MONTHS.__getitem__))
