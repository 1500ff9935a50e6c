"""What is told of a function that failed."""

import traceback
from collections.abc import Iterator
from pathlib import Path

from chapkit.core.errors import ChapkitError
from chapkit.job.claims import storable
from chapkit.job.executors import containment

_EXECUTORS = str(Path(containment.__file__).parent)
_MAX_FRAMES = 50


def describe_failure(error: BaseException) -> str:
    """Return the error and the lines of the user's code that led to it, without values of variables."""
    report = traceback.TracebackException.from_exception(error, limit=-_MAX_FRAMES)
    if isinstance(error, ChapkitError) and not _is_from_user(report.stack):
        return storable("".join(report.format_exception_only()))
    for part in _chain(report):
        part.stack = traceback.StackSummary.from_list(_own_frames(part.stack))
    return storable("".join(report.format()))


def _own_frames(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """Return the frames behind those of the machinery that called the function."""
    calls = [number for number, frame in enumerate(stack) if frame.filename.startswith(_EXECUTORS)]
    return list(stack[calls[-1] + 1 :]) if calls else list(stack)


def _is_from_user(stack: traceback.StackSummary) -> bool:
    return any(frame.filename.startswith(_EXECUTORS) for frame in stack)


def _chain(report: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    found: traceback.TracebackException | None = report
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__
