"""Where the times of a cron expression lie in real time: what daylight saving does to them.

The rules are those of Debian's cron. Expressions whose minute or hour begins with `*` go by real time: what the clock
skips does not run, what it shows twice runs twice. All others name times of the day and follow the wall clock: what was
skipped runs at the moment of the jump, once, and what the clock shows twice runs the first time only. Jumps of three
hours and more are corrections of the clock, to which nothing of this applies.
"""

from datetime import UTC, datetime, timedelta, tzinfo

from chapkit.scheduler.moments import SECOND
from chapkit.scheduler.wall_times import WallTimes

# Debian's cron compares its own clock with the real one a minute later, so exactly 3 hours back are still caught up.
_SHORTEST_CORRECTION = timedelta(hours=3)


def next_instant(times: WallTimes, zone: tzinfo, moment: datetime, *, is_fixed: bool) -> datetime | None:
    """Return the first moment later than `moment`, both in UTC, at which the clock of the zone shows such a time."""
    start = moment.replace(microsecond=0) + SECOND
    if zone is UTC:
        wall = times.at_or_after(start.replace(tzinfo=None))
        return wall and wall.replace(tzinfo=UTC)
    local = start.astimezone(zone)
    wall = local.replace(tzinfo=None, fold=0)
    unchanged = (start - SECOND).astimezone(zone).replace(tzinfo=None, fold=0) + SECOND
    if unchanged < wall:
        # The clock jumps ahead at this very moment, at which runs what it skips.
        return _first_showing(times, zone, unchanged, is_fixed=is_fixed)
    before, after = _offsets(wall, zone)
    if before == after:
        return _first_showing(times, zone, wall, is_fixed=is_fixed)
    # The clock shows this time twice.
    lag = before - after
    change = _change(zone, start, start + lag) if local.fold == 0 else _change(zone, start - lag, start)
    begin, end = _wall(change, after), _wall(change, before)
    found = _first_showing(times, zone, end if local.fold else wall, is_fixed=is_fixed)
    if is_fixed and lag <= _SHORTEST_CORRECTION:
        return found
    again = times.at_or_after(wall if local.fold else begin)
    if again is None or again >= end:
        return found
    second_time = (again - after).replace(tzinfo=UTC)
    return second_time if found is None else min(found, second_time)


def _first_showing(times: WallTimes, zone: tzinfo, wall: datetime, *, is_fixed: bool) -> datetime | None:
    """Return when the clock shows a time from `wall` on for the first time, second showings left out."""
    found = times.at_or_after(wall)
    while found is not None:
        instant = found.replace(tzinfo=zone).astimezone(UTC)
        if instant.astimezone(zone).replace(tzinfo=None) == found:
            return instant
        # The clock skips this time.
        before, after = _offsets(found, zone)
        change = _change(zone, (found - after).replace(tzinfo=UTC), instant)
        if is_fixed and after - before < _SHORTEST_CORRECTION:
            return change
        found = times.at_or_after(_wall(change, after))
    return None


def _offsets(wall: datetime, zone: tzinfo) -> tuple[timedelta, timedelta]:
    """Return the offsets before and after a change that makes `wall` ambiguous or impossible; equal if none does."""
    local = wall.replace(tzinfo=zone)
    before, after = local.utcoffset(), local.replace(fold=1).utcoffset()
    # Zones of the IANA database always know their offset.
    return before or timedelta(), after or timedelta()


def _change(zone: tzinfo, low: datetime, high: datetime) -> datetime:
    """Return the first second at which the offset is that of `high`; at `low` it is another one."""
    new = high.astimezone(zone).utcoffset()
    width = (high - low) // SECOND
    while width > 1:
        half = width // 2
        if (low + half * SECOND).astimezone(zone).utcoffset() == new:
            width = half
        else:
            low += half * SECOND
            width -= half
    return low + SECOND * width


def _wall(instant: datetime, offset: timedelta) -> datetime:
    return instant.replace(tzinfo=None) + offset
