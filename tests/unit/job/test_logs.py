import asyncio
import logging
import os
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from chapkit.core.ids import ULID
from chapkit.core.logging import LOG_SINK, add_request_context, configure_logging, get_logger, offer_line
from chapkit.core.settings import Environment
from chapkit.job.log_budget import MAX_LINE, MAX_NAME, MAX_VALUE, MAX_VALUES, LogBudget
from chapkit.job.logs import JobLogHandler, keeping_logs, listening_to_logging

AS_JSON = Environment({"LOG_FORMAT": "json", "LOG_LEVEL": "DEBUG"})
HOST = logging.getLogger("host.model")


class Notebook:
    """A running job that keeps what it is told."""

    job_id = ULID()
    attempt = 1
    cancel_requested = False

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, dict[str, Any]]] = []

    def check_canceled(self) -> None:
        raise NotImplementedError

    def progress(self, fraction: float, message: str | None = None) -> None:
        raise NotImplementedError

    def log(self, message: str, level: str = "info", **values: Any) -> None:
        self.lines.append((level, message, values))

    @property
    def texts(self) -> list[str]:
        return [message for _, message, _ in self.lines]


@pytest.fixture
def job() -> Iterator[Notebook]:
    """Yield a job that everything in the test is logged for."""
    configure_logging(AS_JSON)
    notebook = Notebook()
    with listening_to_logging(), keeping_logs(notebook):
        yield notebook


def _handlers() -> list[logging.Handler]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, JobLogHandler)]


def test_lines_of_structlog_and_of_the_standard_library_are_kept(job: Notebook) -> None:
    get_logger("model").info("fold.done", fold=3, score=0.5)
    HOST.warning("converged after %d steps", 40, extra={"loss": 0.1})
    assert job.lines == [
        ("info", "fold.done", {"logger": "model", "fold": 3, "score": 0.5}),
        ("warning", "converged after 40 steps", {"logger": "host.model", "loss": 0.1}),
    ]


def test_kept_lines_still_go_where_they_always_go(job: Notebook, capsys: pytest.CaptureFixture[str]) -> None:
    # The output of before is not the one that is looked at.
    configure_logging(AS_JSON)
    get_logger().info("one")
    HOST.info("two")
    out = capsys.readouterr().out
    assert (out.count('"one"'), out.count('"two"')) == (1, 1)
    assert job.texts == ["one", "two"]


def test_lines_that_are_finer_than_information_are_not_kept(job: Notebook) -> None:
    get_logger().debug("fine")
    HOST.debug("fine")
    assert job.lines == []


def test_lines_outside_of_a_job_are_nobodys(job: Notebook) -> None:
    token = LOG_SINK.set(None)
    get_logger().info("alone")
    HOST.info("alone")
    LOG_SINK.reset(token)
    assert job.lines == []


@pytest.mark.parametrize("name", ["chapkit", "chapkit.job", "sqlalchemy.engine.Engine", "aiosqlite"])
def test_lines_about_the_work_on_the_job_are_not_kept(job: Notebook, name: str) -> None:
    get_logger(name).warning("job.recording_waits")
    logging.getLogger(name).warning("SELECT 1")
    assert job.lines == []


def test_a_logger_whose_name_only_begins_alike_is_the_users(job: Notebook) -> None:
    get_logger("chapkit_model").info("mine")
    assert job.texts == ["mine"]


@pytest.mark.parametrize("library", [get_logger("model"), HOST])
def test_an_error_is_told_without_its_traceback(job: Notebook, library: Any) -> None:
    try:
        raise ValueError("no rain")
    except ValueError as error:
        library.exception("one")
        library.error("two", exc_info=error)
        library.error("three", exc_info=True)
    library.error("four", exc_info=False)
    assert [(level, message) for level, message, _ in job.lines] == [
        ("error", text) for text in ("one", "two", "three", "four")
    ]
    assert [values.get("error") for _, _, values in job.lines] == ["ValueError: no rain"] * 3 + [None]
    assert not any("Traceback" in str(values) for _, _, values in job.lines)


def test_values_that_are_called_like_parameters_are_kept_under_another_name(job: Notebook) -> None:
    get_logger().info("said", message="m", job_id="known")
    HOST.info("said", extra={"level": 5, "self": "s"})
    assert job.lines == [
        ("info", "said", {"message_": "m"}),
        ("info", "said", {"logger": "host.model", "self_": "s"}),
    ]


def test_context_variables_of_structlog_are_kept_with_the_line(job: Notebook) -> None:
    add_request_context(fold=2, job_id="known anyway")
    get_logger().warning("said")
    assert job.lines == [("warning", "said", {"fold": 2})]


def test_what_threads_and_tasks_log_with_the_jobs_context_is_kept(job: Notebook) -> None:
    async def told() -> None:
        await asyncio.gather(asyncio.to_thread(HOST.info, "thread"), asyncio.create_task(say()))

    async def say() -> None:
        HOST.info("task")

    asyncio.run(told())
    thread = threading.Thread(target=HOST.info, args=("no context",))
    thread.start()
    thread.join()
    assert sorted(job.texts) == ["task", "thread"]


def test_arguments_that_do_not_fit_the_text_do_not_lose_the_line(
    job: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    HOST.info("%d steps", "many")
    assert job.texts == ["%d steps"]


def test_a_line_that_cannot_be_kept_harms_nobody(job: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(job, "log", fail)
    get_logger().info("one")
    HOST.info("two")
    monkeypatch.undo()
    HOST.info("three")
    assert job.texts == ["three"]


def test_what_keeping_a_line_logs_is_not_kept(job: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = job.log

    def log(message: str, level: str = "info", **values: Any) -> None:
        HOST.info("keeping %s", message)
        keep(message, level, **values)

    monkeypatch.setattr(job, "log", log)
    HOST.info("one")
    assert job.texts == ["one"]


def test_a_forked_child_does_not_speak_for_the_job(job: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getpid", lambda: -1)
    HOST.info("child")
    assert job.lines == []


def test_a_structlog_that_hands_its_lines_to_standard_logging_is_heard(job: Notebook) -> None:
    structlog.configure(
        processors=[structlog.stdlib.add_log_level, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
    )
    structlog.get_logger("host.model").info("fold.done", fold=3)
    [(level, message, values)] = job.lines
    assert (level, message, values["fold"]) == ("info", "fold.done", 3)


def test_a_chain_of_the_user_keeps_lines_by_the_processor(job: Notebook) -> None:
    structlog.configure(processors=[offer_line, structlog.processors.JSONRenderer()])
    structlog.get_logger().warn("said", fold=1)
    assert job.lines == [("warning", "said", {"fold": 1})]


def test_several_services_of_a_process_listen_once_and_the_last_one_ends_it() -> None:
    assert _handlers() == []
    with listening_to_logging():
        with listening_to_logging():
            assert len(_handlers()) == 1
        assert len(_handlers()) == 1
    assert _handlers() == []


def test_warnings_that_nobody_handles_still_go_to_standard_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    logging.getLogger().setLevel(logging.INFO)
    lonely, handled = logging.getLogger("lonely"), logging.getLogger("handled")
    with listening_to_logging():
        lonely.info("quiet")
        lonely.warning("loud")
        handled.addHandler(logging.NullHandler())
        handled.warning("handled")
        handled.handlers.clear()
        monkeypatch.setattr(logging, "lastResort", None)
        lonely.warning("nobody")
    assert capsys.readouterr().err == "loud\n"


def test_a_logger_that_does_not_propagate_is_not_heard(job: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HOST, "propagate", False)
    HOST.info("kept to itself")
    assert job.lines == []
    # Whoever hands a line to the root's handlers nevertheless is told apart from a lonely one.
    [handler] = _handlers()
    handler.handle(logging.LogRecord("host.model", logging.WARNING, "", 0, "handed", None, None))
    assert job.texts == ["handed"]


def test_so_many_lines_are_admitted_and_the_rest_is_counted() -> None:
    budget = LogBudget(lines=5, reserved=2)
    kept = [budget.admit(f"line {number}") for number in range(10)]
    assert [line.data["message"] for line in kept if line] == ["line 0", "line 1", "line 2"]
    left_out = budget.leftover()
    assert left_out is not None
    assert (left_out.kind, left_out.data["level"], left_out.data["left_out"]) == ("log", "warning", 7)
    assert left_out.data["message"] == "7 more lines were logged; no more than 5 of an attempt are kept"
    assert budget.leftover() is None


def test_room_is_kept_for_what_matters() -> None:
    budget = LogBudget(lines=5, reserved=2)
    for number in range(10):
        budget.admit(f"line {number}")
    kept = [budget.admit("bad", "error"), budget.admit("odd", "warning"), budget.admit("worse", "critical")]
    assert [line is not None for line in kept] == [True, True, False]


def test_values_stay_numbers_or_become_text() -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError

    values = {"a": 1, "b": True, "c": None, "d": 0.5, "e": [1], "f": float("nan"), "g": 2**70, "h": Mute(), "i": "\x00"}
    line = LogBudget().admit("said", values=values)
    assert line is not None
    expected = {"a": 1, "b": True, "c": None, "d": 0.5, "e": "[1]", "f": "nan", "g": str(2**70), "h": "<Mute>"}
    assert line.data == {**expected, "i": "\ufffd", "level": "info", "message": "said"}


def test_a_line_is_cut_to_size_with_all_of_its_values() -> None:
    budget = LogBudget()
    long = budget.admit("ä" * 100_000, "info", {"value": "dropped"})
    assert long is not None
    assert len(long.data["message"].encode()) <= MAX_LINE
    assert long.data["message"].endswith("ä…")
    assert "value" not in long.data
    wide = budget.admit("said", "info", {f"name {number}": "x" * 5000 for number in range(100)})
    assert wide is not None
    assert len(str(wide.data).encode()) < MAX_LINE + 1000
    assert max(len(str(value)) for value in wide.data.values()) <= MAX_VALUE
    many = budget.admit("said", "info", {"n" * 200 + str(number): number for number in range(100)})
    assert many is not None
    assert len(many.data) == 3
    few = budget.admit("said", "info", {str(number): number for number in range(100)})
    assert few is not None
    assert len(few.data) == MAX_VALUES + 2
    assert all(len(name) <= MAX_NAME for name in many.data)


def test_values_cannot_take_the_place_of_text_and_level() -> None:
    line = LogBudget().admit("said", "error", {"message": "m", "level": "l"})
    assert line is not None
    assert line.data == {"message": "said", "level": "error"}
