import importlib
import resource
import signal
import sys
from pathlib import Path

import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.job.claims import Usage
from chapkit.job.errors import ProcessDiedError
from chapkit.job.executors import limits, peak
from chapkit.job.executors.limits import Meter, ProcessLimits, time_of
from chapkit.job.executors.process import ProcessExecutor
from chapkit.job.executors.process_errors import died
from tests.unit.job.executors import work

pytestmark = pytest.mark.anyio

GIGABYTE = 1024**3
SLOW_TO_IMPORT = """
import os, time

def burn(seconds):
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass

def work(seconds, dies=False):
    burn(seconds)
    if dies:
        os._exit(7)

burn(0.7)
"""
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits and tells so much")


async def test_a_call_may_use_so_much_processor_time_and_no_more() -> None:
    executor = ProcessExecutor(1, ProcessLimits(cpu_seconds=1))
    try:
        assert await executor.run(work.burn, 0.1) < 30
        for _ in range(2):
            # Each call counts from its own beginning.
            await executor.run(work.burn, 0.6)
        with pytest.raises(ProcessDiedError, match="SIGXCPU: it has used the 1 seconds"):
            await executor.run(work.burn, 60)
        assert await executor.run(work.add, 1, 2) == 3
    finally:
        await executor.close()


@on_linux
async def test_a_call_that_needs_more_memory_than_it_may_fails_and_its_child_is_replaced() -> None:
    executor = ProcessExecutor(1, ProcessLimits(memory=GIGABYTE))
    try:
        before = await executor.run(work.pid)
        assert await executor.run(work.hold, 1_000_000) == 1_000_000
        with pytest.raises(MemoryError) as caught:
            await executor.run(work.hold, 2 * GIGABYTE)
        assert "hold" in str(caught.value.__cause__)
        assert await executor.run(work.pid) != before
        assert (await executor.run(work.limits))[0] == GIGABYTE
    finally:
        await executor.close()


@on_linux
async def test_the_peak_of_a_call_is_its_own() -> None:
    executor, usages = ProcessExecutor(1), list[Usage]()
    try:
        for size in (200_000_000, 1000):
            await executor.call(work.hold, (size,), {}, on_usage=usages.append)
        await executor.call(work.burn, (0.2,), {}, on_usage=usages.append)
        with pytest.raises(ValueError, match="no"):
            await executor.call(work.fail, (ValueError("no"),), {}, on_usage=usages.append)
    finally:
        await executor.close()
    large, small, busy, failed = usages
    assert large.peak_memory is not None
    assert small.peak_memory is not None
    assert large.peak_memory > 200_000_000 > small.peak_memory
    assert busy.cpu_seconds is not None
    assert busy.cpu_seconds >= 0.2
    assert failed.peak_memory is not None


@on_linux
async def test_what_a_child_had_used_before_it_died_is_known() -> None:
    executor, usages = ProcessExecutor(1, ProcessLimits(cpu_seconds=2)), list[Usage]()
    try:
        with pytest.raises(ProcessDiedError):
            await executor.call(work.burn, (60,), {}, on_usage=usages.append)
    finally:
        await executor.close()
    [usage] = usages
    assert usage.cpu_seconds is not None
    assert 0 < usage.cpu_seconds < 10


@on_linux
@pytest.mark.parametrize("is_warm", [False, True])
async def test_a_call_whose_child_dies_at_once_is_charged_with_what_it_did_alone(
    is_warm: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "slow_to_import.py").write_text(SLOW_TO_IMPORT)
    monkeypatch.syspath_prepend(str(tmp_path))
    function = importlib.import_module("slow_to_import").work
    executor, usages = ProcessExecutor(1), list[Usage]()
    try:
        if is_warm:
            await executor.run(function, 0)
        for seconds in (0, 0.3):
            with pytest.raises(ProcessDiedError):
                await executor.call(function, (seconds,), {"dies": True}, on_usage=usages.append)
    finally:
        await executor.close()
        monkeypatch.delitem(sys.modules, "slow_to_import")
    idle, busy = usages
    assert idle.cpu_seconds is not None
    assert busy.cpu_seconds is not None
    assert 0 <= idle.cpu_seconds < 0.2 < busy.cpu_seconds < 0.6
    assert (idle.peak_memory or 0) > 1_000_000
    assert (busy.peak_memory or 0) > 1_000_000


async def test_where_nobody_tells_of_other_processes_it_is_unknown_what_a_dead_child_has_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("chapkit.job.executors.keeper.time_of", lambda pid: None)
    executor, usages = ProcessExecutor(1), list[Usage]()
    try:
        await executor.call(work.add, (1, 2), {}, on_usage=usages.append)
        with pytest.raises(ProcessDiedError):
            await executor.call(work.kill_self, (), {}, on_usage=usages.append)
    finally:
        await executor.close()
    assert len(usages) == 1


@pytest.mark.parametrize("numbers", [{"memory": 0}, {"cpu_seconds": -1}])
def test_limits_that_leave_nothing_are_refused(numbers: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ProcessLimits(**numbers)
    assert caught.value.code == "process-limits-invalid"


def test_a_limit_holds_inside_of_its_block_only() -> None:
    before = work.limits()
    with ProcessLimits(cpu_seconds=1000).applied():
        assert work.limits()[1] >= 1000
        # Nobody gets more than the system allows.
        with ProcessLimits(cpu_seconds=10**6).applied():
            assert work.limits()[1] <= 10**6
    with ProcessLimits().applied():
        assert work.limits() == before
    assert work.limits() == before


def test_where_the_system_tells_less_what_it_tells_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(limits, "_IS_LINUX", False)
    monkeypatch.setattr(peak, "_IS_LINUX", False)
    assert Meter().read().peak_memory == resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with ProcessLimits(memory=1).applied():
        assert bytearray(1000)
    monkeypatch.setattr(limits, "_IS_LINUX", True)
    monkeypatch.setattr(peak, "_IS_LINUX", True)
    monkeypatch.setattr(peak, "peak_of", lambda pid: None)
    monkeypatch.setattr(peak, "_FORGET", b"nonsense")
    assert Meter().read().peak_memory >= resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_a_process_that_is_gone_has_used_nothing_that_is_known() -> None:
    assert time_of(2**22 + 1) is None
    assert peak.peak_of(2**22 + 1) is None


@pytest.mark.parametrize(
    ("code", "numbers", "text"),
    [
        (None, {}, "ended without a word"),
        (-200, {}, "by signal 200"),
        (-signal.SIGXCPU, {}, "SIGXCPU"),
        (-signal.SIGSEGV, {"memory": 5}, "perhaps it needed more than the 5 bytes"),
        (-signal.SIGABRT, {"memory": 5}, "perhaps it needed more than the 5 bytes"),
        (0, {"memory": 5}, "exit code 0"),
    ],
)
def test_the_end_of_a_child_is_told_with_what_is_known(code: int | None, numbers: dict[str, int], text: str) -> None:
    assert text in died(code, ProcessLimits(**numbers), is_started=True).detail


@pytest.mark.parametrize("code", [1, 3, -signal.SIGTERM])
def test_a_child_that_went_for_another_reason_is_not_said_to_need_memory(code: int) -> None:
    assert "perhaps" not in died(code, ProcessLimits(memory=5), is_started=True).detail
