import asyncio
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

from chapkit.core.errors import ConflictError
from chapkit.job.claims import Usage
from chapkit.job.errors import ProcessDiedError, ProcessExitError
from chapkit.job.executors.groups import ProcessGroup
from chapkit.job.executors.process import ProcessExecutor
from chapkit.job.executors.raised import ChildError, ChildTraceback
from tests.unit.job.executors import work
from tests.unit.job.executors.watching import SeenJob, is_alive, processes_of, wait_until

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[4]


@pytest.fixture
async def processes() -> AsyncGenerator[ProcessExecutor]:
    executor = ProcessExecutor(1)
    yield executor
    await executor.close()


@pytest.mark.parametrize(
    "function",
    [
        work.begin_and_hang,
        work.begin_and_hang_deaf,
        work.begin_and_hang_with_family,
        work.begin_and_hold_the_interpreter,
    ],
)
async def test_a_canceled_caller_goes_on_when_the_child_and_its_family_are_dead(
    processes: ProcessExecutor, tmp_path: Path, function: Callable[[str], None]
) -> None:
    task = asyncio.create_task(processes.run(function, str(tmp_path / "begun")))
    members = await processes_of(tmp_path / "begun")
    assert all(map(is_alive, members))
    begun = time.monotonic()
    task.cancel()
    await asyncio.wait({task}, timeout=0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(map(is_alive, members))
    # Promised is one second; the rest is for machines that have a lot else to do.
    assert time.monotonic() - begun < 5
    assert await processes.run(work.add, 1, 2) == 3


async def test_a_child_that_listens_may_tidy_up(processes: ProcessExecutor, tmp_path: Path) -> None:
    path = tmp_path / "begun"
    usages: list[Usage] = []
    task = asyncio.create_task(processes.call(work.tidy_up, (str(path),), {}, job=SeenJob(), on_usage=usages.append))
    await processes_of(path)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert path.with_name("begun.tidied").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of other processes")
async def test_what_a_killed_child_has_used_is_known(processes: ProcessExecutor, tmp_path: Path) -> None:
    usages: list[Usage] = []
    path = tmp_path / "begun"
    task = asyncio.create_task(processes.call(work.begin_and_hang, (str(path),), {}, on_usage=usages.append))
    await processes_of(path)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    [usage] = usages
    assert usage.peak_memory is not None
    assert usage.peak_memory > 1_000_000


async def test_a_caller_that_is_canceled_while_the_child_starts_leaves_nothing(processes: ProcessExecutor) -> None:
    for pause in (0.0, 0.01, 0.05, 0.1):
        task = asyncio.create_task(processes.run(work.add, 1, 2))
        await asyncio.wait({task}, timeout=pause)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not processes._idle
    assert await processes.run(work.add, 1, 2) == 3


async def test_a_caller_that_is_canceled_while_it_waits_for_its_turn_disturbs_nobody(
    processes: ProcessExecutor, tmp_path: Path
) -> None:
    first = asyncio.create_task(processes.run(work.wait_for, str(tmp_path / "go")))
    await asyncio.wait({first}, timeout=0.01)
    second = asyncio.create_task(processes.run(work.add, 1, 2))
    await asyncio.wait({second}, timeout=0.01)
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    (tmp_path / "go").touch()
    assert await first == "done"


@pytest.mark.parametrize(
    ("function", "arguments", "text"),
    [
        (work.kill_self, (), "by signal SIGKILL; perhaps the system had no memory left"),
        (work.kill_self, (signal.SIGSEGV,), "by signal SIGSEGV$"),
        (os._exit, (3,), "with exit code 3$"),
        (os.abort, (), "by signal SIGABRT"),
    ],
)
async def test_a_child_that_dies_is_a_crash_that_says_how(
    processes: ProcessExecutor, function: Callable[..., None], arguments: tuple[int, ...], text: str
) -> None:
    with pytest.raises(ProcessDiedError, match=text) as caught:
        await processes.run(function, *arguments)
    assert caught.value.code == "job-process-died"
    assert await processes.run(work.add, 1, 2) == 3


async def test_a_death_is_noticed_although_a_forked_process_lives_on(
    processes: ProcessExecutor, tmp_path: Path
) -> None:
    with pytest.raises(ProcessDiedError, match="exit code 7"):
        await processes.run(work.leave_a_fork_and_die, str(tmp_path / "begun"))
    assert not any(map(is_alive, await processes_of(tmp_path / "begun")))


async def test_a_child_that_cannot_be_heard_any_more_is_ended(processes: ProcessExecutor, tmp_path: Path) -> None:
    with pytest.raises(ProcessDiedError):
        await processes.run(work.close_everything, str(tmp_path / "begun"))
    assert not any(map(is_alive, await processes_of(tmp_path / "begun")))


@pytest.mark.parametrize(
    "make",
    [lambda: KeyError("a"), lambda: OSError(28, "full", "a.txt"), lambda: work.Own(3, "b"), work.conflict],
)
async def test_an_exception_comes_back_as_itself(processes: ProcessExecutor, make: Callable[[], BaseException]) -> None:
    error = make()
    with pytest.raises(type(error)) as caught:
        await processes.run(work.fail, error) if not isinstance(error, work.Own) else await processes.run(
            work.fail_with, _own
        )
    assert (caught.value.args, str(caught.value)) == (error.args, str(error))
    cause = caught.value.__cause__
    assert isinstance(cause, ChildTraceback)
    assert "work.py" in str(cause)
    assert "raise" in cause.text
    assert "containment.py" not in cause.text
    assert "value of a variable" not in cause.text.replace('"value of a variable"', "")
    if isinstance(caught.value, ConflictError):
        assert (caught.value.code, caught.value.extensions) == ("test-taken", {"found": 3})
    if isinstance(caught.value, work.Own):
        assert caught.value.row == 3


async def test_an_exception_that_cannot_be_pickled_keeps_its_name_and_text(processes: ProcessExecutor) -> None:
    with pytest.raises(ChildError, match=r"work\.Locked: locked$") as caught:
        await processes.run(work.fail_with, work.Locked)
    assert caught.value.code == "job-failed"
    assert "Locked" in str(caught.value.__cause__)
    with pytest.raises(ChildError, match=r"Mute: \(its text cannot be made: ValueError\)"):
        await processes.run(work.fail_with, work.unspeakable)


async def test_an_exit_of_the_interpreter_is_an_error_of_the_function(processes: ProcessExecutor) -> None:
    with pytest.raises(ProcessExitError, match="SystemExit: 3"):
        await processes.run(work.leave, 3)
    with pytest.raises(ProcessExitError, match="KeyboardInterrupt"):
        await processes.run(work.fail, KeyboardInterrupt())
    assert await processes.run(work.add, 1, 2) == 3


def test_children_and_commands_end_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.unit.job.executors.orphanage", str(tmp_path)]
    names = [tmp_path / name for name in ("family", "deaf", "holding", "idle", "command")]
    with subprocess.Popen(command, cwd=ROOT) as parent:
        try:
            wait_until(lambda: all(name.exists() and name.read_text().strip() for name in names))
            members = [int(pid) for name in names for pid in name.read_text().split()]
            assert len(members) == 9
            assert all(map(is_alive, members))
        finally:
            parent.kill()
    wait_until(lambda: not any(map(is_alive, members)), patience=5)


def test_children_do_not_hold_up_the_end_of_a_parent_that_forgot_them(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.unit.job.executors.orphanage", str(tmp_path), "leave"]
    assert subprocess.run(command, cwd=ROOT, timeout=60, check=False).returncode == 0
    assert not is_alive(int((tmp_path / "idle").read_text()))


@pytest.mark.parametrize("shell", ["/bin/sh", "/does/not/exist"])
def test_a_group_ends_with_its_guard(shell: str) -> None:
    group = ProcessGroup(shell)
    with subprocess.Popen(["sleep", "600"], process_group=group.id) as member:
        group.signal(0)
        assert is_alive(member.pid)
        # What happens when the process that holds the other end is gone.
        assert group._guard.stdin is not None
        group._guard.stdin.close()
        assert member.wait(20) == -signal.SIGKILL
    group.end()
    group.end()
    group.signal(signal.SIGTERM)


def test_a_group_does_not_wait_for_ever_for_what_nobody_waits_for() -> None:
    group = ProcessGroup()
    with subprocess.Popen(["sleep", "600"], process_group=group.id) as member:
        group.end()
        assert member.wait(20) == -signal.SIGKILL


def test_an_error_travels_although_it_cannot_be_made_again() -> None:
    from chapkit.job.executors.raised import Raised

    raised = Raised("tests.Gone", "gone", "text", pickle.dumps(work.add).replace(b"add", b"had"))
    error = raised.error()
    assert isinstance(error, ChildError)
    assert error.__notes__[0].startswith("It cannot be made again in this process")


def _own() -> BaseException:
    return work.Own(3, "b")
