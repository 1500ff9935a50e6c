"""Programs as part of a job: bounded in time and output, and stopped with all that they have started."""

import asyncio
import concurrent.futures
import os
import shutil
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from chapkit.core.errors import ChapkitError, ConfigurationError
from chapkit.job.claims import Usage
from chapkit.job.command_run import CommandRun, Ending
from chapkit.job.current import RunningJob
from chapkit.job.executors.containment import settle

MAX_OUTPUT = 64 * 1024
DEFAULT_ENVIRONMENT = (
    "HOME",
    "LANG",
    "LANGUAGE",
    "LC_ALL",
    "LC_CTYPE",
    "LD_LIBRARY_PATH",
    "LOGNAME",
    "PATH",
    "TMPDIR",
    "TZ",
    "USER",
    "VIRTUAL_ENV",
)
"""Variables of the service that a command gets, if they are set."""
_TOLD_BYTES = 2000


class CommandNotFoundError(ChapkitError):
    """The program is not there, or may not be run."""

    def __init__(self, program: str, reason: str) -> None:
        super().__init__(
            f"{program!r} cannot be run ({reason}); install it, give its full path, "
            "or let the command have a PATH on which it is",
            code="command-not-found",
            found=program,
        )


class CommandFailedError(ChapkitError):
    """The program ended with another exit code than 0."""

    def __init__(self, program: str, exit_code: int, stderr: str) -> None:
        how = f"with exit code {exit_code}" if exit_code >= 0 else f"by signal {-exit_code}"
        super().__init__(f"{program!r} ended {how}{_told(stderr)}", code="command-failed")
        self.exit_code = exit_code
        self.stderr = stderr


class CommandTimedOutError(ChapkitError, TimeoutError):
    """The program took longer than it may, and was killed."""

    def __init__(self, program: str, timeout: float, result: "CommandResult") -> None:
        super().__init__(
            f"{program!r} was killed: it took longer than {timeout:g} s; raise its timeout or give it less to do"
            f"{_told(result.stderr)}",
            code="command-timed-out",
        )
        self.result = result
        """What the program had written until then."""


@dataclass(frozen=True)
class CommandResult:
    """What came of a command."""

    program: str
    exit_code: int
    """Below zero: the number of the signal that ended it."""
    stdout: str
    stderr: str
    truncated: bool
    """Whether output was left out."""
    duration_seconds: float
    usage: Usage = field(default_factory=Usage)
    """Processor time, with what it started and waited for, and the peak of memory if that is known."""

    def check(self) -> Self:
        """Return the result, if the program ended with exit code 0.

        Raises:
            CommandFailedError: It did not (`command-failed`).
        """
        if self.exit_code != 0:
            raise CommandFailedError(self.program, self.exit_code, self.stderr)
        return self


@dataclass(frozen=True)
class Command:
    """A program to run, or a text for the shell.

    Raises:
        ConfigurationError: There is no program, a text has a null character, or a number is not above zero
            (`command-invalid`).
    """

    argv: Sequence[str] | str
    """Program and arguments; one text is given to `/bin/sh`."""
    cwd: Path | None = None
    """Working directory; a temporary one of its own if it is left out, removed at the end."""
    timeout: float | None = None
    """Seconds after which it is killed."""
    env_allow: Sequence[str] = DEFAULT_ENVIRONMENT
    """Variables of the service that the program gets; nothing else of its environment is seen."""
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables on top."""
    max_output: int = MAX_OUTPUT
    """Bytes that are kept of each of the two outputs: the first and the last ones."""
    stdin: bytes | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be run."""
        if not self.argv:
            raise ConfigurationError("A command needs a program", code="command-invalid", field="argv")
        for name, value in (("timeout", self.timeout), ("max_output", self.max_output)):
            # Not the other way round, as a NaN is no smaller than anything.
            if value is not None and not value > 0:
                raise ConfigurationError(f"{name} must be above 0, not {value}", code="command-invalid", field=name)
        variables = (text for pair in self.env.items() for text in pair)
        for field_name, texts in (("argv", self.arguments), ("env", variables), ("cwd", [str(self.cwd or "")])):
            if any("\0" in str(text) for text in texts):
                raise ConfigurationError(
                    f"{field_name} has a null character, which no program can be given; leave it out",
                    code="command-invalid",
                    field=field_name,
                )

    @property
    def arguments(self) -> list[str]:
        """Program and arguments."""
        return ["/bin/sh", "-c", self.argv] if isinstance(self.argv, str) else [str(item) for item in self.argv]

    def environment(self) -> dict[str, str]:
        """Return the variables that the program gets."""
        allowed = {name: os.environ[name] for name in self.env_allow if name in os.environ}
        return {**allowed, **self.env}


async def run_command(command: Command, job: RunningJob | None = None, *, stream: bool = False) -> CommandResult:
    """Run a command and return what came of it, whatever its exit code.

    It runs in a process group of its own, which is killed in the end, on a timeout, with a cancelled caller
    (who goes on when it is gone), and with this process.

    Args:
        command: What to run.
        job: Where `stream` goes; a job that was asked to stop begins no command.
        stream: Whether each line becomes a line in the log of the job.

    Raises:
        CommandNotFoundError: There is no such program (`command-not-found`).
        CommandTimedOutError: It took too long (`command-timed-out`).
    """
    if job is not None:
        job.check_canceled()
    run = CommandRun(command.arguments, command.timeout, command.max_output, command.stdin, job if stream else None)
    outcome: concurrent.futures.Future[CommandResult] = concurrent.futures.Future()
    outcome.set_running_or_notify_cancel()
    work = partial(_work, outcome, partial(_run, command, run))
    threading.Thread(target=work, name="chapkit-command", daemon=True).start()
    return await settle(asyncio.wrap_future(outcome), ask=run.cancel)


def _work(outcome: "concurrent.futures.Future[CommandResult]", call: "partial[CommandResult]") -> None:
    try:
        result = call()
    except Exception as error:
        outcome.set_exception(error)
    else:
        outcome.set_result(result)


def _run(command: Command, run: CommandRun) -> CommandResult:
    program = command.arguments[0] if not isinstance(command.argv, str) else command.argv
    cwd = command.cwd if command.cwd is not None else Path(tempfile.mkdtemp(prefix="chapkit-command-"))
    if not cwd.is_dir():
        raise ConfigurationError(f"The working directory {cwd} is not there", code="command-invalid", field="cwd")
    try:
        ending = run.run(cwd, command.environment())
    except OSError as error:
        raise CommandNotFoundError(program, error.strerror or str(error)) from error
    finally:
        if command.cwd is None:
            shutil.rmtree(cwd, ignore_errors=True)
    result = _result(program, ending)
    if ending.is_late and command.timeout is not None:
        raise CommandTimedOutError(program, command.timeout, result)
    return result


def _result(program: str, ending: Ending) -> CommandResult:
    return CommandResult(
        program=program,
        exit_code=ending.exit_code,
        stdout=ending.stdout.text(),
        stderr=ending.stderr.text(),
        truncated=ending.stdout.is_cut or ending.stderr.is_cut,
        duration_seconds=ending.duration_seconds,
        usage=ending.usage,
    )


def _told(stderr: str) -> str:
    text = stderr.strip()
    return f": {text[-_TOLD_BYTES:]}" if text else ""
