"""Exceptions on their way out of a child process."""

import os
import pickle
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import dropwhile
from pathlib import Path
from typing import Any, Self

import chapkit
from chapkit.core.error_text import text_of
from chapkit.core.errors import ChapkitError

_HERE = str(Path(__file__).parent)
_PACKAGE = os.path.join(Path(chapkit.__file__).parent, "")
"""With its end, as a package of a user may be called `chapkit_model`."""
_MAX_FRAMES = 50


class ChildTraceback(Exception):
    """Where in the child process the error was raised; the cause of the error in this process."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text

    def __str__(self) -> str:
        return f'\n"""\n{self.text}"""'


class ChildError(ChapkitError):
    """An error of the function that cannot leave its child process; its type and text can."""

    def __init__(self, type_name: str, message: str) -> None:
        super().__init__(f"{type_name}: {message}" if message else type_name, code="job-failed", found=type_name)
        self.type_name = type_name


@dataclass(frozen=True)
class Raised:
    """An exception as it travels."""

    type_name: str
    message: str
    traceback: str
    pickled: bytes | None

    @classmethod
    def of(cls, error: BaseException) -> Self:
        """Return the exception in a form that always travels."""
        return cls(
            f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins."),
            text_of(error),
            user_traceback(error),
            _pickled(error),
        )

    def error(self) -> BaseException:
        """Return the exception itself, or a `ChildError` in its place, with the traceback as its cause."""
        error: BaseException = ChildError(self.type_name, self.message)
        if self.pickled is not None:
            try:
                error = pickle.loads(self.pickled)
            except Exception as problem:
                error.add_note(f"It cannot be made again in this process: {problem}")
        error.__cause__ = ChildTraceback(self.traceback)
        return error


def user_traceback(error: BaseException) -> str:
    """Return the error and the lines of the user's code that led to it, without values of variables."""
    report = traceback.TracebackException.from_exception(error, limit=-_MAX_FRAMES)
    for part in _chain(report):
        part.stack = traceback.StackSummary.from_list(_own_frames(part.stack))
    return "".join(report.format())


def _own_frames(stack: traceback.StackSummary) -> list[traceback.FrameSummary]:
    """Return the frames behind those of the machinery that called the function."""
    calls = [number for number, frame in enumerate(stack) if frame.filename.startswith(_HERE)]
    if not calls:
        return list(stack)
    behind = list(stack[calls[-1] + 1 :])
    # Whoever called the executor may have put a function of its own around that of the user.
    return list(dropwhile(lambda frame: frame.filename.startswith(_PACKAGE), behind)) or behind


def _chain(report: traceback.TracebackException) -> Iterator[traceback.TracebackException]:
    found: traceback.TracebackException | None = report
    while found is not None:
        yield found
        found = found.__cause__ or found.__context__


def _pickled(error: BaseException) -> bytes | None:
    """Return the pickled error, if it is the same one when it is made again."""
    for packed in (error, _Remade(error)):
        try:
            data = pickle.dumps(packed)
            again = pickle.loads(data)
            is_same = type(again) is type(error) and again.args == error.args and str(again) == str(error)
        except Exception:
            continue
        if is_same:
            return data
    return None


class _Remade:
    """Pickles an exception so that its constructor, which may want other arguments, is not called again."""

    def __init__(self, error: BaseException) -> None:
        self._error = error

    def __reduce__(self) -> tuple[Any, ...]:
        return _remake, (type(self._error), self._error.args, self._error.__dict__)


def _remake(kind: type[BaseException], args: tuple[Any, ...], state: dict[str, Any]) -> BaseException:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error
