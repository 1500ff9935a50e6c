"""What is told of a function that failed."""

import traceback
from pathlib import Path

from chapkit.core.errors import ChapkitError
from chapkit.job.claims import storable
from chapkit.job.executors import containment
from chapkit.job.executors.raised import ChildTraceback, user_traceback

_EXECUTORS = str(Path(containment.__file__).parent)


def describe_failure(error: BaseException) -> str:
    """Return the error and the lines of the user's code that led to it, without values of variables."""
    if isinstance(error.__cause__, ChildTraceback):
        return storable(error.__cause__.text)
    if isinstance(error, ChapkitError) and not _is_from_user(error):
        return storable("".join(traceback.format_exception_only(error)))
    return storable(user_traceback(error))


def _is_from_user(error: BaseException) -> bool:
    frames = traceback.walk_tb(error.__traceback__)
    return any(frame.f_code.co_filename.startswith(_EXECUTORS) for frame, _ in frames)
