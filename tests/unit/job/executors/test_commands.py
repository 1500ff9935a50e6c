import asyncio
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from chapkit.core.errors import ConfigurationError
from chapkit.job.commands import (
    Command,
    CommandFailedError,
    CommandNotFoundError,
    CommandResult,
    CommandTimedOutError,
    run_command,
)
from chapkit.job.excerpt import Excerpt
from chapkit.job.line_stream import MAX_LINE, MAX_LINES, LineStream
from tests.unit.job.executors.watching import SeenJob, comes_true, is_alive, processes_of

pytestmark = pytest.mark.anyio


async def test_a_program_ends_with_what_it_has_written() -> None:
    result = await run_command(Command(["sh", "-c", "echo out; echo err >&2; exit 3"]))
    assert (result.exit_code, result.stdout, result.stderr, result.truncated) == (3, "out\n", "err\n", False)
    assert result.duration_seconds > 0
    with pytest.raises(CommandFailedError, match=r"'sh' ended with exit code 3: err") as caught:
        result.check()
    assert caught.value.code == "command-failed"


async def test_a_text_is_for_the_shell() -> None:
    result = await run_command(Command("printf '%s' a | tr a b"))
    assert result.check() is result
    assert result.stdout == "b"


async def test_a_program_that_a_signal_ended_says_which() -> None:
    result = await run_command(Command("kill -9 $$"))
    assert result.exit_code == -signal.SIGKILL
    with pytest.raises(CommandFailedError, match=r"by signal 9$"):
        result.check()


async def test_a_program_reads_what_it_is_given() -> None:
    data = os.urandom(300_000).hex().encode()
    result = await run_command(Command(["cat"], stdin=data, max_output=10**7))
    assert result.stdout.encode() == data
    assert (await run_command(Command(["true"], stdin=data))).exit_code == 0
    assert (await run_command(Command("exec <&-; sleep 0.1", stdin=data))).exit_code == 0
    assert (await run_command(Command(["sleep", "0.1"], stdin=data))).exit_code == 0
    assert (await run_command(Command(["cat"], stdin=b""))).stdout == ""
    assert (await run_command(Command(["cat"]))).stdout == ""


async def test_a_chatty_program_is_read_to_its_end_and_its_middle_left_out() -> None:
    result = await run_command(Command("echo begin; yes | head -c 20000000; echo end; echo é >&2", max_output=1000))
    assert result.exit_code == 0
    assert result.truncated
    assert result.stdout.startswith("begin\n")
    assert result.stdout.endswith("end\n")
    assert "bytes left out" in result.stdout
    assert len(result.stdout) < 1100
    assert result.stderr == "é\n"


async def test_bytes_that_are_no_text_are_replaced() -> None:
    result = await run_command(Command("printf 'a\\377b'"))
    assert result.stdout == "a\ufffdb"


async def test_a_program_sees_of_the_environment_what_is_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "s")
    monkeypatch.setenv("GIVEN", "g")
    seen = (await run_command(Command(["env"]))).stdout.splitlines()
    assert "SECRET=s" not in seen
    assert f"PATH={os.environ['PATH']}" in seen
    only = Command([_which("env")], env_allow=("GIVEN", "UNSET"), env={"MORE": "m"})
    assert sorted((await run_command(only)).stdout.split()) == ["GIVEN=g", "MORE=m"]


async def test_a_program_works_in_a_folder_of_its_own_that_goes_with_it(tmp_path: Path) -> None:
    folder = Path((await run_command(Command("touch a; pwd"))).stdout.strip())
    assert not folder.exists()
    await run_command(Command("touch a", cwd=tmp_path))
    assert (tmp_path / "a").exists()


@pytest.mark.parametrize("program", ["no-such-program", "/etc/passwd", "/no/such/program"])
async def test_a_program_that_is_not_there_is_named(program: str) -> None:
    with pytest.raises(CommandNotFoundError, match=program) as caught:
        await run_command(Command([program]))
    assert caught.value.code == "command-not-found"


async def test_a_program_that_takes_too_long_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    text = "trap '' TERM; sleep 600 & echo hm >&2; echo $$ $! > part; mv part pids; while :; do sleep 600; done"
    with pytest.raises(CommandTimedOutError, match=r"longer than 0.5 s.*: hm$") as caught:
        await run_command(Command(text, cwd=tmp_path, timeout=0.5))
    assert caught.value.code == "command-timed-out"
    assert caught.value.result.stderr == "hm\n"
    assert not any(map(is_alive, await processes_of(tmp_path / "pids")))


async def test_a_program_that_listens_may_tidy_up(tmp_path: Path) -> None:
    text = "trap 'touch tidied; exit 4' TERM; sleep 600 & wait"
    with pytest.raises(CommandTimedOutError) as caught:
        await run_command(Command(text, cwd=tmp_path, timeout=0.5))
    assert caught.value.result.exit_code == 4
    assert (tmp_path / "tidied").exists()


@pytest.mark.parametrize("text", ["sleep 600 & wait", "trap '' TERM; sleep 600 & while :; do wait; sleep 600; done"])
async def test_a_canceled_caller_goes_on_when_the_program_and_its_family_are_dead(tmp_path: Path, text: str) -> None:
    command = Command(f"exec >/dev/null 2>&1; sleep 600 & echo $$ $! > part; mv part pids; {text}", cwd=tmp_path)
    task = asyncio.create_task(run_command(command))
    members = await processes_of(tmp_path / "pids")
    assert all(map(is_alive, members))
    begun = time.monotonic()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not any(map(is_alive, members))
    # Promised is one second; the rest is for machines that have a lot else to do.
    assert time.monotonic() - begun < 5


async def test_what_a_program_leaves_behind_ends_with_it(tmp_path: Path) -> None:
    result = await run_command(Command("sleep 600 & echo $! > pids; echo done", cwd=tmp_path))
    assert result.stdout == "done\n"
    [left] = await processes_of(tmp_path / "pids")
    await comes_true(lambda: not is_alive(left))


async def test_what_a_program_leaves_behind_need_not_read_its_input(tmp_path: Path) -> None:
    text = "exec 3<&0; sleep 600 & echo $! > pids; echo done"
    result = await run_command(Command(text, cwd=tmp_path, stdin=b"x" * 1_000_000))
    assert (result.exit_code, result.stdout) == (0, "done\n")
    assert not any(map(is_alive, await processes_of(tmp_path / "pids")))


async def test_what_has_left_the_group_is_not_waited_for(tmp_path: Path) -> None:
    script = """if True:
        import os, time
        if os.fork() == 0:
            os.setsid()
            open("pids", "w").write(str(os.getpid()))
            time.sleep(600)
        while not os.path.exists("pids") or not open("pids").read():
            time.sleep(0.01)
        print("done")
    """
    result = await run_command(Command([sys.executable, "-c", script], cwd=tmp_path))
    [escaped] = await processes_of(tmp_path / "pids")
    assert is_alive(escaped)
    os.kill(escaped, signal.SIGKILL)
    assert result.stdout == "done\n"


async def test_lines_are_told_to_the_job_when_they_are_written(tmp_path: Path) -> None:
    job = SeenJob()
    text = "echo one; while [ ! -e go ]; do sleep 0.01; done; printf 'two\\r\\nthree'; echo bad >&2"
    task = asyncio.create_task(run_command(Command(text, cwd=tmp_path), job, stream=True))
    await comes_true(lambda: job.told != [])
    assert job.told == [("info", "one", {"stream": "stdout"})]
    (tmp_path / "go").touch()
    assert (await task).stdout == "one\ntwo\r\nthree"
    assert sorted(told[1] for told in job.told) == ["bad", "one", "three", "two"]


async def test_nothing_is_told_unless_that_is_wanted() -> None:
    job = SeenJob()
    await run_command(Command(["echo", "a"]), job)
    assert job.told == []
    job.cancel_requested = True
    with pytest.raises(RuntimeError, match="asked to stop"):
        await run_command(Command(["echo", "a"]), job)


def test_lines_are_bounded_in_length_and_number() -> None:
    job = SeenJob()
    lines = LineStream(job, "stdout")
    lines.add(b"x" * 5000)
    lines.add(b"y" * 5000 + b"\n")
    assert job.told == [("info", "x" * MAX_LINE, {"stream": "stdout"})]
    lines.add(b"a\n" * 3 * MAX_LINES)
    lines.finish()
    assert len(job.told) == MAX_LINES + 1
    assert job.told[-1][0] == "warning"


def test_lines_that_are_left_out_are_not_even_told_apart() -> None:
    class Whole(bytes):
        def split(self, *arguments: Any, **options: Any) -> list[bytes]:
            raise AssertionError("it was split")

    job = SeenJob()
    lines = LineStream(job, "stdout")
    lines.add(b"a\n" * MAX_LINES + b"b")
    assert len(job.told) == MAX_LINES
    lines.add(b"c\nd\ne")
    lines.add(Whole(b"f\n" * 10))
    lines.finish()
    assert [level for level, *_ in job.told].count("warning") == 1
    assert len(job.told) == MAX_LINES + 1


@pytest.mark.parametrize(
    ("pieces", "limit", "text"),
    [
        ([b"abc"], 10, "abc"),
        ([b"abcde", b"fghij"], 10, "abcdefghij"),
        ([b"abcde", b"fghijk"], 4, "ab\n[... 7 bytes left out ...]\njk"),
        (["aé".encode(), b"-" * 10, "éa".encode()], 4, "a\n[... 12 bytes left out ...]\na"),
        ([b"\xff\xff\xff\xff\xff\xff", b"-" * 10, b"ab"], 12, "\ufffd" * 6 + "\n[... 6 bytes left out ...]\n----ab"),
        ([b"abc"], 1, "\n[... 2 bytes left out ...]\nc"),
    ],
)
def test_an_excerpt_has_the_beginning_and_the_end(pieces: list[bytes], limit: int, text: str) -> None:
    excerpt = Excerpt(limit)
    for piece in pieces:
        excerpt.add(piece)
    assert excerpt.text() == text


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("argv", []),
        ("argv", ""),
        ("argv", ["x\0y"]),
        ("argv", "echo a\0b"),
        ("env", {"A": "b\0"}),
        ("env", {"A\0": "b"}),
        ("cwd", Path("/tmp\0")),
        ("timeout", 0),
        ("timeout", float("nan")),
        ("max_output", 0),
    ],
)
def test_a_command_that_makes_no_sense_is_refused_by_name(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match="program" if value in ([], "") else name) as caught:
        Command(**{"argv": ["true"], name: value})
    assert (caught.value.code, caught.value.extensions["field"]) == ("command-invalid", name)


async def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="working directory"):
        await run_command(Command(["true"], cwd=tmp_path / "gone"))


def test_a_result_says_nothing_about_a_silent_program() -> None:
    result = CommandResult("a", 1, "", " ", False, 0.1)
    with pytest.raises(CommandFailedError, match=r"'a' ended with exit code 1$"):
        result.check()


def _which(program: str) -> str:
    return next(path for folder in os.environ["PATH"].split(":") if os.path.exists(path := f"{folder}/{program}"))
