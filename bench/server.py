"""A server process: start, wait until it is healthy, stop."""

import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.connection import HOST, Connection

ROOT = Path(__file__).parents[1]
UVICORN = (
    "--loop",
    "uvloop",
    "--http",
    "httptools",
    "--no-access-log",
    "--log-level",
    "warning",
    "--timeout-keep-alive",
    "600",
)
START_SECONDS = 30.0


class StartError(Exception):
    """A server that did not become healthy."""


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a child: this repository is importable and compiled once, logs are JSON."""
    path = os.pathsep.join((str(ROOT / "src"), str(ROOT)))
    # As installed packages are compiled in any case, a repository that is not would be measured too slow.
    own = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**own, "PYTHONPATH": path, "LOG_FORMAT": "json", **variables}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Server:
    """One application under uvicorn, with a file database in a directory of its own."""

    def __init__(self, target: str, directory: Path, **variables: str) -> None:
        self.target = target
        self.port = free_port()
        self.seconds_to_healthy = 0.0
        url = f"sqlite+aiosqlite:///{directory / 'bench.db'}"
        self._environment = environment(**{"BENCH_DATABASE_URL": url, **variables})
        self._command = [sys.executable, "-m", "uvicorn", target, "--port", str(self.port), *UVICORN]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        if self._process is None:
            raise StartError(f"{self.target} is not running")
        return self._process.pid

    def connect(self) -> Connection:
        """Open a connection to the server."""
        return Connection(self.port)

    def kill(self) -> None:
        """End the server without giving it a chance to say goodbye."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def __enter__(self) -> Self:
        started = time.perf_counter()
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            self._wait(started + START_SECONDS)
        except BaseException:
            self._stop()
            raise
        self.seconds_to_healthy = time.perf_counter() - started
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stop()

    def _wait(self, deadline: float) -> None:
        while time.perf_counter() < deadline:
            if self._process is None or self._process.poll() is not None:
                raise StartError(f"{self.target} ended at once:\n{self._explain()}")
            try:
                with self.connect() as connection:
                    if connection.call("GET", "/health")["status"] == "healthy":
                        return
            except OSError:
                time.sleep(0.005)
        raise StartError(f"{self.target} is not healthy after {START_SECONDS:.0f} s")

    def _explain(self) -> str:
        # Logs go to /dev/null, so a start that failed is tried again to see what it says.
        again = subprocess.Popen(
            self._command, env=self._environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        try:
            output = again.communicate(timeout=10)[0]
        except subprocess.TimeoutExpired:
            again.terminate()
            output = again.communicate()[0]
        return output.decode(errors="replace")[-1500:]

    def _stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
