import mmap
import sys

import pytest

from chapkit.job.executors import peak
from chapkit.job.executors.peak import PeakMemory, Watch

HELD = 100_000_000


def _hold(size: int) -> None:
    with mmap.mmap(-1, size) as memory:
        for place in range(0, size, mmap.PAGESIZE):
            memory[place] = 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux forgets a peak")
def test_a_peak_is_that_of_its_own_time() -> None:
    memory = PeakMemory()
    before = memory.begin()
    outer = memory.begin()
    _hold(HELD)
    inner = memory.begin()
    quiet = memory.end(inner)
    high = memory.end(outer)
    assert quiet is not None
    assert high is not None
    assert high - quiet > HELD * 0.9
    assert memory.end(before) == high
    assert memory.highest >= high
    after = memory.begin()
    assert (memory.end(after) or 0) < high - HELD * 0.9


def test_what_was_never_exceeded_is_unknown_where_no_peak_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    held = [100]
    monkeypatch.setattr(peak, "forget_peak", lambda: False)
    monkeypatch.setattr(peak, "peak_of_process", lambda: held[0])
    memory = PeakMemory()
    assert memory.end(memory.begin()) is None
    first = memory.begin()
    held[0] = 150
    assert memory.end(first) == 150
    assert memory.end(memory.begin()) is None


def test_a_watch_knows_the_highest_that_it_was_told() -> None:
    watch = Watch(5, is_exact=True)
    assert watch.peak == 5
    for held in (9, 7):
        watch.note(held)
    assert watch.peak == 9


@pytest.mark.parametrize("forgets", [True, False])
def test_one_reading_is_enough_to_begin_with_and_one_to_end_with(
    monkeypatch: pytest.MonkeyPatch, forgets: bool
) -> None:
    readings = iter([100, 150])
    monkeypatch.setattr(peak, "forget_peak", lambda: forgets)
    monkeypatch.setattr(peak, "peak_of_process", lambda: next(readings))
    memory = PeakMemory()
    assert memory.end(memory.begin()) == 150
    assert next(readings, None) is None
