"""Processes of the service in `worker_service`."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from tests.service.worker_service import URL

ROOT = Path(__file__).parents[2]
PATIENCE = 40.0
MODULE = "tests.service.worker_service"


class Process:
    """A process of the service, whose words are kept in a file."""

    def __init__(self, url: str, words: Path, *command: str, **environment: str) -> None:
        self._words = words
        with words.open("w") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, URL: url, "LOG_FORMAT": "json", **environment},
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def words(self) -> str:
        return self._words.read_text()

    def says(self, word: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while word not in self.words:
            assert self._process.poll() is None, self.words
            assert time.monotonic() < deadline, self.words
            time.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def ends(self) -> int:
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(PATIENCE)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
