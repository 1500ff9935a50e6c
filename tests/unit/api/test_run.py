import logging
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from chapkit.api import run_app
from chapkit.core.errors import ConfigurationError


class Server:
    """Takes the place of the server and keeps what it was started with."""

    def __init__(self) -> None:
        self.app: Any = None
        self.options: dict[str, Any] = {}

    def run(self, app: Any, **options: Any) -> None:
        self.app, self.options = app, options


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(uvicorn, "run", server.run)
    for name in ("HOST", "PORT", "WORKERS", "LOG_LEVEL", "LOG_FORMAT", "GRACEFUL_TIMEOUT"):
        monkeypatch.delenv(name, raising=False)
    return server


def test_a_service_listens_to_its_own_machine(server: Server) -> None:
    app = FastAPI()
    run_app(app)
    assert server.app is app
    assert server.options == {
        "host": "127.0.0.1",
        "port": 8000,
        "workers": 1,
        "reload": False,
        "log_level": "info",
        "log_config": None,
        "timeout_graceful_shutdown": 10,
    }


def test_the_environment_says_where(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "0.0.0.0", "PORT": "9000", "WORKERS": "3", "LOG_LEVEL": "DEBUG"}.items():
        monkeypatch.setenv(name, value)
    run_app("main:app")
    found = {name: server.options[name] for name in ("host", "port", "workers", "log_level")}
    assert found == {"host": "0.0.0.0", "port": 9000, "workers": 3, "log_level": "debug"}


def test_what_is_given_goes_before_the_environment(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "0.0.0.0", "PORT": "9000", "WORKERS": "3", "LOG_LEVEL": "DEBUG"}.items():
        monkeypatch.setenv(name, value)
    run_app("main:app", host="::1", port=1, workers=2, log_level="warning", proxy_headers=True)
    assert server.options["proxy_headers"] is True
    found = {name: server.options[name] for name in ("host", "port", "workers", "log_level")}
    assert found == {"host": "::1", "port": 1, "workers": 2, "log_level": "warning"}
    assert logging.getLogger().level == logging.WARNING


@pytest.mark.parametrize(
    ("app", "workers", "reload", "expected"),
    [
        ("main:app", 1, True, (1, True)),
        ("main:app", 1, None, (1, False)),
        ("main:app", 2, True, (2, False)),
        (FastAPI(), 4, True, (1, False)),
    ],
)
def test_only_a_name_can_be_loaded_again_or_in_several_processes(
    server: Server, app: Any, workers: int, reload: bool | None, expected: tuple[int, bool]
) -> None:
    run_app(app, workers=workers, reload=reload)
    assert (server.options["workers"], server.options["reload"]) == expected


def test_a_port_that_is_no_number_is_named(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORT", "http")
    with pytest.raises(ConfigurationError, match="PORT"):
        run_app("main:app")
    assert server.app is None


def test_open_requests_have_limited_time_to_end(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRACEFUL_TIMEOUT", "3")
    run_app("main:app")
    assert server.options["timeout_graceful_shutdown"] == 3
    run_app("main:app", graceful_timeout=4)
    assert server.options["timeout_graceful_shutdown"] == 4
    run_app("main:app", timeout_graceful_shutdown=None)
    assert server.options["timeout_graceful_shutdown"] is None
