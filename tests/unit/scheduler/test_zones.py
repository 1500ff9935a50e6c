import sys
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from chapkit.core.errors import ChapkitError, ConfigurationError, UnprocessableError
from chapkit.scheduler.triggers import Cron
from chapkit.scheduler.zones import find_zone

# The usual disks of macOS do not tell upper from lower case.
_CASE_MATTERS = pytest.mark.skipif(sys.platform == "darwin", reason="the disk decides")


@pytest.fixture
def machine_without_zones(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine with neither the database of the system nor the package tzdata."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "tzdata"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tzdata", None)
    zoneinfo.reset_tzpath(to=[])
    zoneinfo.ZoneInfo.clear_cache()
    yield
    zoneinfo.reset_tzpath()


def test_zones_are_found_by_name() -> None:
    assert find_zone("UTC") is UTC
    assert str(find_zone("Africa/Kigali")) == "Africa/Kigali"
    assert str(find_zone("Etc/UTC")) == "Etc/UTC"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        pytest.param("africa/kigali", ["Africa/Kigali"], marks=_CASE_MATTERS),
        ("Afrika/Kigali", ["Africa/Kigali"]),
        ("Kigali", ["Africa/Kigali"]),
        ("New York", ["America/New_York"]),
        ("Europe/Nairobi", ["Africa/Nairobi"]),
        ("Africa/Kigalli", ["Africa/Kigali"]),
        ("Qwertz", []),
        ("Africa", []),
        ("../etc/passwd", []),
        ("/etc/localtime", []),
        ("localtime", []),
        ("posixrules", []),
        ("right/Europe/Berlin", []),
        ("\0", []),
        ("x" * 5000, []),
        (" ", []),
        (None, []),
    ],
)
def test_an_unknown_zone_is_refused_with_what_was_meant(name: str, meant: list[str]) -> None:
    with pytest.raises(UnprocessableError, match="IANA") as caught:
        Cron("0 6 * * *", name)
    assert caught.value.code == "timezone-unknown"
    assert caught.value.extensions["did_you_mean"][:1] == meant
    assert all(repr(zone) in str(caught.value) for zone in meant)
    assert len(str(caught.value)) < 400


@pytest.mark.usefixtures("machine_without_zones")
def test_a_machine_without_zones_says_what_to_install() -> None:
    with pytest.raises(ConfigurationError, match="pip install tzdata") as caught:
        Cron("0 6 * * *", "Africa/Kigali")
    assert caught.value.code == "timezone-data-missing"


@pytest.mark.usefixtures("machine_without_zones")
def test_utc_needs_no_zones() -> None:
    assert Cron("0 6 * * *").first(datetime(2027, 1, 1, tzinfo=UTC)) == datetime(2027, 1, 1, 6, tzinfo=UTC)


def test_every_zone_of_this_machine_has_a_next_tick() -> None:
    start = datetime(2027, 1, 1, tzinfo=UTC)
    failed: list[str] = []
    for name in zoneinfo.available_timezones() - {"Factory", "localtime"}:
        try:
            if Cron("0 6 * * *", name).first(start) is None:
                failed.append(name)
        except ChapkitError:
            failed.append(name)
    assert failed == []
