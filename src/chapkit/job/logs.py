"""Keep what is logged inside of a job as events of the job, besides where it goes anyway."""

import logging
import os
import sys
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any, cast

from chapkit.core.error_text import name_and_text
from chapkit.core.logging import LOG_SINK
from chapkit.job.current import RunningJob

LEVEL = logging.INFO
"""Lines below it are not kept."""

_TOO_FINE = ("debug", "notset", "trace")
_OTHER_NAMES: Mapping[str, str] = {"warn": "warning", "exception": "error", "fatal": "critical"}
_MACHINERY = ("chapkit", "sqlalchemy", "aiosqlite", "asyncpg", "psycopg")
"""Loggers whose lines are about the work on a job, not of it; keeping them would make more of them."""
_DROPPED = frozenset({"event", "level", "timestamp", "logger_name", "job_id", "exc_info", "stack_info", "stack"})
"""Said elsewhere; tracebacks are for operators, who have them in the log."""
_PARAMETERS = frozenset({"self", "message"})
_RECORD_MEMBERS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_KEEPING: ContextVar[bool] = ContextVar("chapkit_keeping_a_line", default=False)


@contextmanager
def keeping_logs(job: RunningJob) -> Generator[None]:
    """Keep the lines that are logged inside of the block, and in the threads and tasks that are started there."""
    token = LOG_SINK.set(_Keeper(job))
    try:
        yield
    finally:
        LOG_SINK.reset(token)


@contextmanager
def listening_to_logging() -> Generator[None]:
    """Hear what the standard library's loggers say, as long as somebody in this process is in such a block."""
    root = logging.getLogger()
    handler = next((item for item in root.handlers if isinstance(item, JobLogHandler)), None)
    if handler is None:
        handler = JobLogHandler()
        root.addHandler(handler)
    handler.users += 1
    try:
        yield
    finally:
        handler.users -= 1
        if not handler.users:
            root.removeHandler(handler)


class JobLogHandler(logging.Handler):
    """Hands lines to the job in whose context they are logged."""

    def __init__(self) -> None:
        super().__init__(LEVEL)
        self.users = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Hand the line on, if it belongs to a job."""
        sink = LOG_SINK.get()
        if sink is not None:
            sink(record.levelname.lower(), _values_of(record))
        last_resort = logging.lastResort
        # Python writes warnings to standard error where nobody handles them; this handler must not change that.
        if last_resort is not None and record.levelno >= last_resort.level and self._is_alone(record.name):
            last_resort.handle(record)

    def _is_alone(self, name: str) -> bool:
        logger: logging.Logger | None = logging.getLogger(name)
        while logger is not None:
            if any(handler is not self for handler in logger.handlers):
                return False
            logger = logger.parent if logger.propagate else None
        return True


class _Keeper:
    def __init__(self, job: RunningJob) -> None:
        self._job = job
        self._process = os.getpid()

    def __call__(self, level: str, event: Mapping[str, Any]) -> None:
        level = _OTHER_NAMES.get(level, level)
        logger = str(event.get("logger") or event.get("logger_name") or "")
        # A forked child has a copy of the job that nobody reads.
        is_foreign = logger.partition(".")[0] in _MACHINERY or self._process != os.getpid()
        if is_foreign or _KEEPING.get() or level in _TOO_FINE:
            return
        token = _KEEPING.set(True)
        try:
            # A line that cannot be kept must not harm the work that it tells of.
            with suppress(Exception):
                self._job.log(str(event.get("event", "")), level=level, **_kept_values(event))
        finally:
            _KEEPING.reset(token)


def _kept_values(event: Mapping[str, Any]) -> dict[str, Any]:
    values = {
        f"{name}_" if name in _PARAMETERS else str(name): value
        for name, value in event.items()
        if name not in _DROPPED and not str(name).startswith("_")
    }
    if (error := _error_of(event.get("exc_info"))) is not None:
        values.setdefault("error", error)
    return values


def _error_of(exc_info: Any) -> str | None:
    """Return kind and message of the error that a line tells of, however it was handed over."""
    if isinstance(exc_info, tuple):
        _, error, _ = cast("tuple[Any, Any, Any]", exc_info)
    else:
        error = exc_info
    if error is True:
        error = sys.exception()
    return name_and_text(error) if isinstance(error, BaseException) else None


def _values_of(record: logging.LogRecord) -> dict[str, Any]:
    message: Any = record.msg
    if isinstance(message, dict):
        # Of a structlog that hands its lines over unrendered.
        return {"logger": record.name, "exc_info": record.exc_info, **cast("dict[str, Any]", message)}
    extra = {name: value for name, value in vars(record).items() if name not in _RECORD_MEMBERS}
    return {**extra, "event": _text_of(record), "logger": record.name, "exc_info": record.exc_info}


def _text_of(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:
        # Arguments that do not fit the text; those who print the line complain about it.
        return str(record.msg)
