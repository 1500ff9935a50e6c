"""What can go wrong with functions in child processes."""

import signal
from typing import Any

from chapkit.core.errors import ChapkitError, ConfigurationError
from chapkit.job.errors import ProcessDiedError
from chapkit.job.executors.limits import ProcessLimits


class FunctionNotImportableError(ConfigurationError):
    """A fresh process cannot find the function."""

    def __init__(self, name: str, place: str, reason: str, way_out: str) -> None:
        super().__init__(
            f"{name} ({place}) cannot run in a child process: {reason}; {way_out}, "
            'or leave out executor="process" to run it in a thread',
            code="function-not-importable",
            function=name,
            place=place,
        )


class ArgumentsNotPicklableError(ChapkitError):
    """What the function is called with cannot be sent to a child process."""

    def __init__(self, function: Any, reason: str) -> None:
        name = getattr(function, "__qualname__", repr(function))
        super().__init__(
            f"What {name} is called with cannot be sent to a child process ({reason}); "
            "hand over what can be pickled, or run it in a thread",
            code="job-arguments-not-picklable",
        )


class ResultNotPicklableError(ChapkitError):
    """What the function returned cannot be sent back from its child process."""

    def __init__(self, value: Any, reason: str) -> None:
        kind = value.__class__
        super().__init__(
            f"The function returned a {kind.__module__}.{kind.__qualname__}, which cannot be sent back from its child "
            f"process ({reason}); return what can be pickled, or run it in a thread",
            code="job-result-not-picklable",
        )


class ResultNotReadableError(ChapkitError):
    """What the function returned cannot be made again in the process of the service."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"What the function returned came out of its child process, but cannot be made again here ({reason}); "
            "return what can be unpickled where the service runs, or run it in a thread",
            code="job-result-not-picklable",
        )


_DEATHS_FOR_WANT_OF_MEMORY = tuple(
    -number for number in (signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT)
)


def died(exit_code: int | None, limits: ProcessLimits, *, is_started: bool) -> ProcessDiedError:
    """Return the error for a child that ended by itself, with what is known of the reason."""
    if not is_started:
        return ProcessDiedError(
            f"The child process ended {_how(exit_code)} before it could take a call; its output says why. "
            "It imports the script that was started, so a call in it that starts the service must be below "
            'if __name__ == "__main__":'
        )
    return ProcessDiedError(f"The child process of the function ended {_how(exit_code)}{_hint(exit_code, limits)}")


def _how(exit_code: int | None) -> str:
    if exit_code is None:
        return "without a word"
    if exit_code >= 0:
        return f"with exit code {exit_code}"
    try:
        return f"by signal {signal.Signals(-exit_code).name}"
    except ValueError:
        return f"by signal {-exit_code}"


def _hint(exit_code: int | None, limits: ProcessLimits) -> str:
    if exit_code == -signal.SIGXCPU:
        return (
            f": it has used the {limits.cpu_seconds:g} seconds of processor time that it may"
            if limits.cpu_seconds
            else ""
        )
    if limits.memory is not None and exit_code in _DEATHS_FOR_WANT_OF_MEMORY:
        return f"; perhaps it needed more than the {limits.memory} bytes of memory that it may use"
    if exit_code == -signal.SIGKILL:
        return "; perhaps the system had no memory left: look at its log, give it more memory or the function less data"
    return ""
