import json
import logging
from typing import Any

import pytest
import structlog

from chapkit.core.logging import (
    add_request_context,
    clear_request_context,
    configure_logging,
    describe_error,
    get_logger,
    reset_request_context,
)
from chapkit.core.settings import Environment

AS_JSON = Environment({"LOG_FORMAT": "json"})


def _lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def _fail() -> None:
    password = "hunter" + "2"
    raise ValueError(f"failed with a password of {len(password)} characters")


def test_json_lines_hold_event_level_time_and_values(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(AS_JSON)
    get_logger("chapkit.test").info("thing.done", count=3, text="ä")
    [line] = _lines(capsys)
    assert (line["event"], line["level"], line["logger"], line["count"], line["text"]) == (
        "thing.done",
        "info",
        "chapkit.test",
        3,
        "ä",
    )
    assert line["timestamp"].endswith("Z")


def test_lines_for_a_console_are_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Environment({}))
    get_logger().info("thing.done", count=3)
    text = capsys.readouterr().out
    assert "thing.done" in text
    assert "count=3" in text
    assert "\x1b" not in text


def test_the_level_is_that_of_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Environment({"LOG_FORMAT": "json", "LOG_LEVEL": "warning"}))
    get_logger().info("quiet")
    get_logger().warning("loud")
    logging.getLogger("host").info("quiet")
    logging.getLogger("host").warning("loud")
    assert [line["event"] for line in _lines(capsys)] == ["loud", "loud"]


def test_an_unknown_level_is_info(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(Environment({"LOG_FORMAT": "json", "LOG_LEVEL": "noisy"}))
    get_logger().debug("quiet")
    get_logger().info("said")
    assert [line["event"] for line in _lines(capsys)] == ["said"]


def test_lines_of_the_standard_library_take_the_same_form(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(AS_JSON)
    add_request_context(request_id="r1")
    logging.getLogger("uvicorn.error").info("started on %s", "port")
    [line] = _lines(capsys)
    assert (line["event"], line["logger"], line["level"]) == ("started on port", "uvicorn.error", "info")
    assert line["request_id"] == "r1"


def test_the_servers_own_access_lines_are_silent(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(AS_JSON)
    logging.getLogger("uvicorn.access").info("GET /")
    assert _lines(capsys) == []


@pytest.mark.parametrize("environment", [AS_JSON, Environment({})])
def test_a_traceback_shows_no_values_of_variables(capsys: pytest.CaptureFixture[str], environment: Environment) -> None:
    configure_logging(environment)
    for say in (get_logger().exception, logging.getLogger("host").exception):
        try:
            _fail()
        except ValueError:
            say("failed")
    text = capsys.readouterr().out
    assert text.count("ValueError: failed with a password of 7 characters") == 2
    assert text.count("Traceback (most recent call last)") == 2
    assert "hunter2" not in text


def test_configuring_twice_writes_every_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(AS_JSON)
    configure_logging(AS_JSON)
    logging.getLogger("host").info("once")
    assert len(_lines(capsys)) == 1


def test_handlers_of_the_host_stay() -> None:
    class Keeping(logging.Handler):
        def __init__(self) -> None:
            super().__init__()
            self.kept: list[str] = []

        def emit(self, record: logging.LogRecord) -> None:
            self.kept.append(record.getMessage())

    handler = Keeping()
    logging.getLogger().addHandler(handler)
    try:
        configure_logging(AS_JSON)
        logging.getLogger("host").info("heard")
    finally:
        logging.getLogger().removeHandler(handler)
    assert handler.kept == ["heard"]


def test_request_context_stands_in_every_line_until_it_is_taken_out(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(AS_JSON)
    add_request_context(user="u", tenant="t")
    get_logger().info("first")
    clear_request_context("user")
    get_logger().info("second")
    reset_request_context()
    get_logger().info("third")
    first, second, third = _lines(capsys)
    assert (first["user"], first["tenant"]) == ("u", "t")
    assert "user" not in second
    assert second["tenant"] == "t"
    assert "tenant" not in third


def test_a_value_that_json_cannot_carry_does_not_lose_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(AS_JSON)
    get_logger().info("odd", value=object(), other={1, 2})
    [line] = _lines(capsys)
    assert line["event"] == "odd"


def test_a_logger_that_a_module_keeps_follows_the_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    kept = get_logger("kept")
    configure_logging(Environment({"LOG_FORMAT": "json", "LOG_LEVEL": "warning"}))
    kept.info("quiet")
    kept.warning("loud")
    assert [(line["event"], line["logger"]) for line in _lines(capsys)] == [("loud", "kept")]


@pytest.mark.parametrize("configured", [True, False])
def test_an_unforeseen_error_is_told_with_its_traceback(
    capsys: pytest.CaptureFixture[str], *, configured: bool
) -> None:
    if configured:
        configure_logging(AS_JSON)
    try:
        _fail()
    except ValueError as error:
        get_logger().error("crashed", **describe_error(error))
    text = capsys.readouterr().out
    assert "ValueError: failed with a password of 7 characters" in text
    assert "hunter2" not in text


def test_logging_works_without_being_configured(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.reset_defaults()
    get_logger("x").info("said")
    assert "said" in capsys.readouterr().out
