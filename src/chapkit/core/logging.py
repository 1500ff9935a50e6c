"""Structured logs, cheap enough to be left on."""

import logging
import sys
import traceback
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any, TypeAlias, cast

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from chapkit.core.settings import Environment

_SERVER_LOGGERS = ("uvicorn", "uvicorn.error", "gunicorn.error")
_ACCESS_LOGGERS = ("uvicorn.access", "gunicorn.access")
_HANDLER_NAME = "chapkit"

LogSink: TypeAlias = Callable[[str, Mapping[str, Any]], None]
"""Takes the level of a line and its values; the text is `event`."""
LOG_SINK: ContextVar[LogSink | None] = ContextVar("chapkit_log_sink", default=None)
"""Who else takes the lines that are logged in this context, besides where they go anyway."""


def get_logger(name: str | None = None) -> FilteringBoundLogger:
    """Return a logger; `name` stands in its lines as `logger`."""
    # Not bound yet: a logger that a module keeps must follow a later `configure_logging`.
    logger = structlog.get_logger(logger_name=name) if name else structlog.get_logger()
    return cast("FilteringBoundLogger", logger)


def describe_error(error: BaseException) -> dict[str, Any]:
    """Return the values for a line that tells of an unforeseen error, with its traceback."""
    if structlog.is_configured():
        return {"exc_info": error}
    # What structlog does by default shows the values of local variables and takes seconds.
    return {"stack": _printable("".join(traceback.format_exception(error)))}


def add_request_context(**values: Any) -> None:
    """Add `values` to every line that is logged from here on in this task."""
    structlog.contextvars.bind_contextvars(**values)


def clear_request_context(*names: str) -> None:
    """Take values out of the lines of this task again."""
    structlog.contextvars.unbind_contextvars(*names)


def reset_request_context() -> None:
    """Take every value out of the lines of this task."""
    structlog.contextvars.clear_contextvars()


def offer_line(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Hand a line to the sink of its context: a processor of structlog, for chains that chapkit did not set up.

    It belongs behind what adds the level and before what renders exceptions and the line.
    """
    sink = LOG_SINK.get()
    if sink is not None:
        sink(str(event.get("level", method)), event)
    return event


def configure_logging(environment: Environment | None = None) -> None:
    """Set up structlog by `LOG_FORMAT` (`console` or `json`) and `LOG_LEVEL`.

    Lines go to standard output. What the standard library's loggers say, uvicorn's included, takes the
    same form; handlers that the host application put on the root logger stay.
    """
    env = environment or Environment()
    as_json = env.text("LOG_FORMAT", default="console") == "json"
    level = logging.getLevelNamesMapping().get((env.text("LOG_LEVEL") or "INFO").upper(), logging.INFO)
    structlog.configure(
        processors=[*_common_processors(), offer_line, _render_exception, _renderer(as_json)],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=False,
    )
    _route_standard_logging(level, as_json)


def _common_processors() -> list[Processor]:
    return [
        structlog.contextvars.merge_contextvars,
        _name_logger,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _renderer(as_json: bool) -> Processor:
    if as_json:
        return structlog.processors.JSONRenderer()
    plain = structlog.dev.plain_traceback
    render = structlog.dev.ConsoleRenderer(colors=sys.stdout.isatty(), exception_formatter=plain)
    return lambda logger, method, event: _printable(render(logger, method, event))


def _printable(text: str) -> str:
    """Return the text with what standard output cannot show escaped."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)


def _name_logger(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    # structlog keeps the word `logger` for itself where values are given in advance.
    if "logger_name" in event:
        event["logger"] = event.pop("logger_name")
    return event


def _render_exception(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    # Plain text, without the values of local variables: those hold headers and data.
    return structlog.processors.format_exc_info(logger, method, event)


def _route_standard_logging(level: int, as_json: bool) -> None:
    handler = logging.StreamHandler(sys.stdout)
    handler.name = _HANDLER_NAME
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _renderer(as_json)],
            foreign_pre_chain=[*_common_processors(), _render_exception, structlog.stdlib.add_logger_name],
        )
    )
    root = logging.getLogger()
    for present in [item for item in root.handlers if item.name == _HANDLER_NAME]:
        root.removeHandler(present)
    root.addHandler(handler)
    root.setLevel(level)
    for name in _SERVER_LOGGERS:
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = True
    for name in _ACCESS_LOGGERS:
        # One line a request is written by chapkit; the server's own would say the same again.
        logging.getLogger(name).handlers.clear()
        logging.getLogger(name).propagate = False
