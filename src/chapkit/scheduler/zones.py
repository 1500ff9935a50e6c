"""Time zones by name."""

from datetime import UTC, tzinfo

from chapkit.scheduler.errors import TimezoneDataMissingError, TimezoneUnknownError

# They exist on many machines, but mean something else on each, or count leap seconds.
_UNSTEADY = ("localtime", "posixrules", "posix/", "right/", "Factory")


def find_zone(name: str) -> tzinfo:
    """Return the zone of the IANA database.

    Raises:
        TimezoneUnknownError: There is none of this name (`timezone-unknown`).
        TimezoneDataMissingError: This machine has no database of zones (`timezone-data-missing`).
    """
    if name == "UTC":
        return UTC
    if not isinstance(name, str) or name.startswith(_UNSTEADY):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise TimezoneUnknownError(name, [])
    # Lazy: reading the list of zones costs time, and most schedules are in UTC.
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        # LookupError is the usual one; the others are for names that are no paths, or folders such as "Africa".
        raise _unknown(name) from None


def _unknown(name: str) -> TimezoneUnknownError | TimezoneDataMissingError:
    # Lazy: only who made a mistake needs it.
    from difflib import get_close_matches
    from zoneinfo import available_timezones

    names = sorted(known for known in available_timezones() if not known.startswith(_UNSTEADY))
    if not names:
        return TimezoneDataMissingError(name)
    wanted = name[:100].casefold().replace(" ", "_")
    by_fold = {known.casefold(): known for known in names}
    # People write the town alone, or the right town on the wrong continent.
    by_town = {known.rpartition("/")[2]: known for known in by_fold}
    town = wanted.rpartition("/")[2]
    near = [wanted] if wanted in by_fold else [by_town[town]] if town in by_town else []
    if not near:
        near = get_close_matches(wanted, by_fold, n=2, cutoff=0.75)
        near += [by_town[match] for match in get_close_matches(town, by_town, n=1, cutoff=0.75)]
    return TimezoneUnknownError(name, [by_fold[match] for match in dict.fromkeys(near)][:2])
