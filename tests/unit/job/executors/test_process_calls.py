import asyncio
import functools
import os
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from chapkit.core.errors import ConfigurationError
from chapkit.core.logging import configure_logging
from chapkit.job.claims import Usage
from chapkit.job.errors import ProcessDiedError
from chapkit.job.executors.keeper import Call, Child, NotTakenError
from chapkit.job.executors.limits import ProcessLimits
from chapkit.job.executors.process import ProcessExecutor
from chapkit.job.executors.process_errors import (
    ArgumentsNotPicklableError,
    ResultNotPicklableError,
    ResultNotReadableError,
)
from chapkit.job.executors.user_code import UserCode
from tests.unit.job.executors import work
from tests.unit.job.executors.watching import SeenJob, comes_true, is_alive, processes_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def processes() -> AsyncGenerator[ProcessExecutor]:
    executor = ProcessExecutor(2)
    yield executor
    await executor.close()


async def test_functions_of_all_kinds_run_in_another_process(processes: ProcessExecutor) -> None:
    assert await processes.run(work.pid) != os.getpid()
    assert await processes.run(work.add, 1, right=2) == 3
    assert await processes.run(functools.partial(work.add, 1), 2) == 3
    assert await processes.run(work.add_later, 1, 2) == 3
    assert await processes.run(work.add_by_coroutine, 1, 2) == 3
    assert await processes.run(work.Twice(3).times, 2) == 6
    assert await processes.run(work.Twice(3), 2) == 6


async def test_a_child_answers_one_call_after_the_other(processes: ProcessExecutor) -> None:
    assert len({await processes.run(work.pid) for _ in range(5)}) == 1


async def test_calls_run_side_by_side_up_to_the_limit(processes: ProcessExecutor, tmp_path: Path) -> None:
    calls = [processes.run(work.pid_when, str(tmp_path), 2) for _ in range(2)]
    assert len(set(await asyncio.gather(*calls))) == 2
    many = await asyncio.gather(*(processes.run(work.pid) for _ in range(12)))
    assert len(set(many)) <= 2


async def test_a_call_says_how_long_it_waits_for_a_child(tmp_path: Path) -> None:
    steps: list[str] = []

    @contextmanager
    def waiting() -> Generator[None]:
        steps.append("waits")
        yield
        steps.append("has its turn")

    executor = ProcessExecutor(1)
    try:
        first = asyncio.create_task(executor.run(work.pid_when, str(tmp_path), 2))
        await comes_true(lambda: any(tmp_path.iterdir()))
        second = asyncio.create_task(executor.call(work.pid, (), {}, waiting=waiting))
        await comes_true(lambda: bool(steps))
        assert steps == ["waits"]
        (tmp_path / "another").touch()
        assert await first == await second
        assert steps == ["waits", "has its turn"]
    finally:
        await executor.close()


async def test_a_child_is_replaced_after_so_many_calls() -> None:
    executor = ProcessExecutor(1, calls_per_child=2)
    try:
        seen = [await executor.run(work.pid) for _ in range(4)]
    finally:
        await executor.close()
    assert seen[0] == seen[1] != seen[2] == seen[3]
    assert not is_alive(seen[0])


async def test_children_beyond_those_kept_waiting_are_ended() -> None:
    executor = ProcessExecutor(1, idle=0)
    try:
        first, second = await executor.run(work.pid), await executor.run(work.pid)
        assert first != second
        await comes_true(lambda: not is_alive(first))
    finally:
        await executor.close()


async def test_large_data_travel_while_the_loop_goes_on(processes: ProcessExecutor) -> None:
    frame = {"rows": [[float(number), str(number)] for number in range(200_000)], "bytes": b"x" * 30_000_000}
    await processes.run(work.pid)
    call = asyncio.create_task(processes.run(work.same, frame))
    turns = 0
    while not call.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert await call == frame
    # To pickle, send, receive and make all of it would be four turns if each was one step.
    assert turns > 20


async def test_what_a_job_is_told_in_a_child_reaches_it(processes: ProcessExecutor) -> None:
    job = SeenJob()
    usages: list[Usage] = []
    found = await processes.call(work.tell_job, (), {}, job=job, on_usage=usages.append)
    assert found == (str(job.job_id), 2, False)
    assert job.told[:2] == [("progress", 0.25, "fold 1 of 4"), ("warning", "warned", {"rows": 3, "of": "a"})]
    assert ("warning", "from logging", {"logger": "model"}) in job.told
    assert [usage.cpu_seconds is not None and usage.cpu_seconds >= 0 for usage in usages] == [True]
    assert await processes.run(work.has_job) is False


async def test_a_child_logs_as_its_service_does() -> None:
    configure_logging()
    executor, job = ProcessExecutor(1), SeenJob()
    try:
        await executor.call(work.tell_job, (), {}, job=job)
    finally:
        await executor.close()
        structlog.reset_defaults()
    assert [told[2]["step"] for told in job.told if told[:2] == ("info", "from structlog")] == [2]


async def test_progress_is_seen_while_the_function_runs(processes: ProcessExecutor, tmp_path: Path) -> None:
    job, go = SeenJob(), tmp_path / "go"
    task = asyncio.create_task(processes.call(work.tell_and_wait, (str(go),), {}, job=job))
    await comes_true(lambda: job.told != [])
    assert not task.done()
    go.touch()
    assert await task == "done"


async def test_a_job_that_refuses_a_report_does_not_disturb_the_call(processes: ProcessExecutor) -> None:
    class Full(SeenJob):
        def progress(self, fraction: float, message: str | None = None) -> None:
            raise OSError("full")

    assert (await processes.call(work.tell_job, (), {}, job=Full()))[1] == 2


async def test_a_thread_that_is_left_behind_does_not_speak_for_the_next_job(
    processes: ProcessExecutor, tmp_path: Path
) -> None:
    first, second, go = SeenJob(), SeenJob(), tmp_path / "go"
    await processes.call(work.leave_a_thread, (str(go),), {}, job=first)
    go.touch()
    for _ in range(20):
        await processes.call(work.tell_job, (), {}, job=second)
    assert not any("too late" in told for told in [*first.told, *second.told])


async def test_a_child_is_out_of_reach_of_the_keyboard(processes: ProcessExecutor) -> None:
    assert await processes.run(work.signals) == (True, True, True)


async def test_what_cannot_be_sent_is_refused_by_name_and_harms_nothing(processes: ProcessExecutor) -> None:
    with pytest.raises(ArgumentsNotPicklableError, match=r"What same is called with cannot be sent.*lock"):
        await processes.run(work.same, [b"x" * 5_000_000, work.lock()])
    with pytest.raises(ArgumentsNotPicklableError):
        await processes.run(lambda: 1)
    with pytest.raises(ResultNotPicklableError, match=r"returned a _thread.lock, which cannot be sent back"):
        await processes.run(work.lock)
    with pytest.raises(ValueError, match="sprung"):
        await processes.run(work.same, work.Trap())
    with pytest.raises(ValueError, match="not in this process") as caught:
        await processes.run(work.same, work.ParentTrap())
    assert "_only_in" in str(caught.value.__cause__)
    with pytest.raises(ResultNotReadableError, match="not in this process"):
        await processes.run(work.make_trap)
    assert await processes.run(work.add, 1, 2) == 3


async def test_a_first_child_may_be_started_ahead(processes: ProcessExecutor) -> None:
    processes.warm(work.add)
    processes.warm(work.add)
    assert len({await processes.run(work.pid) for _ in range(2)}) == 1


async def test_a_child_may_be_started_ahead_for_nothing_in_particular(processes: ProcessExecutor) -> None:
    processes.warm()
    assert await processes.run(work.add, 1, 2) == 3


async def test_a_child_that_was_killed_while_it_waited_is_replaced(processes: ProcessExecutor) -> None:
    first = await processes.run(work.pid)
    os.kill(first, 9)
    await comes_true(lambda: not is_alive(first))
    second = await processes.run(work.pid)
    assert second != first
    processes._idle[0].kill()
    assert await processes.run(work.pid) != second


async def test_a_child_that_somebody_else_has_waited_for_is_replaced(processes: ProcessExecutor) -> None:
    first = await processes.run(work.pid)
    os.kill(first, 9)
    os.waitpid(first, 0)
    assert await processes.run(work.pid) != first


async def test_a_copy_of_the_process_leaves_the_children_alone(processes: ProcessExecutor) -> None:
    first = await processes.run(work.pid)
    # What a process that was forked off sees.
    processes._process_id += 1
    processes._kill_all()
    assert await processes.run(work.pid) == first
    processes._process_id -= 1


async def test_a_call_is_answered_whatever_goes_wrong_at_the_end(
    processes: ProcessExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = Child._end

    def fail(child: Child, patience: float) -> None:
        end(child, patience)
        raise OSError("no")

    monkeypatch.setattr(Child, "_end", fail)
    with pytest.raises(OSError, match="no"):
        await processes.run(os._exit, 3)


async def test_closing_ends_all_children_and_a_later_call_starts_anew(tmp_path: Path) -> None:
    executor = ProcessExecutor(2)
    idle = await executor.run(work.pid)
    begun = tmp_path / "begun"
    busy = asyncio.create_task(executor.run(work.wait_for, str(tmp_path / "never")))
    hanging = asyncio.create_task(executor.run(work.begin_and_hang, str(begun)))
    [other] = await processes_of(begun)
    await executor.close()
    assert not is_alive(idle)
    assert not is_alive(other)
    for task in (busy, hanging):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert await executor.run(work.add, 1, 2) == 3
    await executor.close()


async def test_user_code_starts_children_only_on_request() -> None:
    code = UserCode()
    await code.close()
    assert code.processes is code.processes
    assert await code.processes.run(work.add, 1, 2) == 3
    await code.close()
    given = ProcessExecutor(1)
    assert UserCode(processes=given).processes is given


async def test_a_child_that_cannot_be_started_is_an_error_of_the_call(monkeypatch: pytest.MonkeyPatch) -> None:
    executor = ProcessExecutor(1)
    monkeypatch.setattr("multiprocessing.spawn.get_executable", lambda: b"/does/not/exist")
    with pytest.raises(ProcessDiedError, match="before it could take a call"):
        await executor.run(work.add, 1)
    monkeypatch.setattr("chapkit.job.executors.keeper.ProcessGroup", _no_more)
    with pytest.raises(BlockingIOError, match="no more"):
        await executor.run(work.add, 1)
    await executor.close()


async def test_a_call_that_comes_as_the_child_ends_is_answered() -> None:
    child = Child(ProcessLimits())
    child.kill()
    late = [Call(work.pid), Call(work.pid)]
    child.submit(late[0])
    await asyncio.wrap_future(child.ended)
    child.submit(late[1])
    assert [type(call.outcome.exception()) for call in late] == [NotTakenError] * 2


async def test_a_child_that_had_no_memory_gets_no_other_call() -> None:
    child = Child(ProcessLimits())
    calls = [Call(work.fail, (MemoryError(),)), Call(work.pid)]
    for call in calls:
        child.submit(call)
    await asyncio.wrap_future(child.ended)
    assert [type(call.outcome.exception()) for call in calls] == [MemoryError, NotTakenError]


@pytest.mark.parametrize("numbers", [{"limit": 0}, {"calls_per_child": 0}])
def test_numbers_that_leave_nothing_are_refused(numbers: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ProcessExecutor(**numbers)
    assert caught.value.code == "process-limits-invalid"


def test_there_are_as_many_children_as_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ProcessExecutor().limit >= 1
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert ProcessExecutor().limit == 7
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert ProcessExecutor().limit == 1


def _no_more() -> None:
    raise BlockingIOError("no more processes")
