import asyncio
import signal
import subprocess
import sys
from typing import Any

import pytest

from chapkit.job.claims import Usage
from chapkit.job.executors.metering import MeteredCoroutine, ProgramWait
from chapkit.job.executors.peak import PEAK_MEMORY
from tests.unit.job.executors.watching import comes_true
from tests.unit.job.parts import compute

pytestmark = pytest.mark.anyio


class Used:
    """What was noted."""

    def __init__(self) -> None:
        self.usages: list[Usage] = []

    @property
    def seconds(self) -> float:
        (usage,) = self.usages
        return usage.cpu_seconds or 0.0


async def _work(value: Any, steps: int = 3) -> Any:
    for _ in range(steps):
        compute(0.01)
        await asyncio.sleep(0)
    return value


async def test_a_coroutine_is_measured_without_what_runs_in_between() -> None:
    used, other = Used(), Used()
    results = await asyncio.gather(
        MeteredCoroutine(_work("a"), used.usages.append), MeteredCoroutine(_work("b", 30), other.usages.append)
    )
    assert results == ["a", "b"]
    assert 0.03 <= used.seconds < 0.3 <= other.seconds


async def test_an_error_and_what_was_used_until_then_come_through() -> None:
    async def fail() -> None:
        compute(0.01)
        raise LookupError("no such station")

    used = Used()
    with pytest.raises(LookupError, match="no such station"):
        await MeteredCoroutine(fail(), used.usages.append)
    assert used.seconds >= 0.01


async def test_a_cancelled_coroutine_may_do_its_last_things() -> None:
    steps: list[str] = []

    async def wait() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            steps.append("tidied")
            raise
        return "never"

    used = Used()
    task = asyncio.ensure_future(_await(MeteredCoroutine(wait(), used.usages.append)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert steps == ["tidied"]
    assert len(used.usages) == 1


async def test_what_is_thrown_away_is_closed() -> None:
    steps: list[str] = []

    async def wait() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            steps.append("closed")

    used = Used()
    iterator = MeteredCoroutine(wait(), used.usages.append).__await__()
    next(iterator)
    iterator.close()
    assert steps == ["closed"]
    assert len(used.usages) == 1


async def test_a_program_and_its_children_are_measured() -> None:
    script = "import time\nwhile time.process_time() < 0.1: pass"
    process = subprocess.Popen(["/bin/sh", "-c", f"{sys.executable} -c '{script}'; exit 3"])
    waiting = ProgramWait(process.pid)
    await comes_true(waiting.is_over)
    process.returncode = waiting.exit_code
    assert waiting.exit_code == 3
    assert (waiting.usage.cpu_seconds or 0) >= 0.1
    # It holds less than this process did, whose memory it began with.
    assert waiting.usage.peak_memory is None
    assert waiting.is_over()


async def test_a_program_that_somebody_else_has_waited_for_is_over() -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    waiting = ProgramWait(process.pid)
    assert waiting.is_over()
    assert (waiting.exit_code, waiting.usage) == (0, Usage())


async def test_the_peak_of_a_program_is_known_if_it_is_above_that_of_the_service() -> None:
    more = PEAK_MEMORY.highest + 50_000_000
    process = subprocess.Popen([sys.executable, "-c", f"held = b'x' * {more}; import os; os.kill(os.getpid(), 9)"])
    waiting = ProgramWait(process.pid)
    await comes_true(waiting.is_over)
    process.returncode = waiting.exit_code
    assert waiting.exit_code == -signal.SIGKILL
    assert (waiting.usage.peak_memory or 0) >= more


async def _await(awaitable: MeteredCoroutine) -> Any:
    return await awaitable
