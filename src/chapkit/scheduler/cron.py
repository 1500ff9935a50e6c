"""A trigger by cron expression."""

from dataclasses import dataclass, field
from datetime import datetime, tzinfo

from chapkit.scheduler.cron_fields import CronFields
from chapkit.scheduler.cron_reader import read_expression
from chapkit.scheduler.errors import NeverFiresError
from chapkit.scheduler.moments import EARLIEST, LATEST, clamped
from chapkit.scheduler.trigger import Trigger
from chapkit.scheduler.wall_clock import next_instant
from chapkit.scheduler.wall_times import WallTimes
from chapkit.scheduler.zones import find_zone


@dataclass(frozen=True)
class Cron(Trigger):
    """Fires when the clock of a time zone shows what the expression says.

    Five fields, `minute hour day-of-month month day-of-week`, or six with the second before them; names, `L`, `LW`,
    `#`, lists, ranges and steps; `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`. If
    neither day field begins with `*`, one that holds is enough.

    When the clocks change, it does as Debian's cron: with `*` at the begin of minute or hour it goes by real time, so
    that every 15 minutes are 15 minutes; otherwise it names times of the day, which run right after the jump if the
    clock skips them, several together once, and the first time only if the clock shows them twice.

    Args:
        expression: Kept with single spaces between its fields.
        timezone: Name of the IANA database.

    Raises:
        CronInvalidError: The expression cannot be read; the text says which field (`cron-invalid`).
        NeverFiresError: It means days that do not exist (`schedule-never-fires`).
        TimezoneUnknownError: There is no such zone (`timezone-unknown`).
        TimezoneDataMissingError: This machine has no database of zones (`timezone-data-missing`).
    """

    expression: str
    timezone: str = "UTC"
    fields: CronFields = field(init=False, repr=False, compare=False)
    """What the expression means."""
    _times: WallTimes = field(init=False, repr=False, compare=False)
    _zone: tzinfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        fields = read_expression(self.expression)
        times = WallTimes(fields)
        if times.at_or_after(EARLIEST.replace(tzinfo=None)) is None:
            raise NeverFiresError(self.expression)
        values = {
            "expression": " ".join(self.expression.split()),
            "fields": fields,
            "_times": times,
            "_zone": find_zone(self.timezone),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def next_after(self, moment: datetime) -> datetime | None:
        """Return the first tick later than `moment`."""
        tick = next_instant(self._times, self._zone, clamped(moment), is_fixed=self.fields.is_fixed)
        return tick if tick is not None and tick < LATEST else None
