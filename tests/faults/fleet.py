"""The parent's view: start processes, hear what they say, send them signals."""

import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.faults.orders import Order

ROOT = Path(__file__).parents[2]
_START_SECONDS = 60
_PATIENCE = 120


@dataclass
class Child:
    """A process, and what is known of it."""

    order: Order
    line: socket.socket
    pid: int
    port: int = 0
    status: int | None = None
    born: float = field(default_factory=time.monotonic)
    _rest: bytes = b""

    def read(self) -> list[list[str]]:
        """Return the lines that it has said since; waits for nothing once it is readable."""
        data = self.line.recv(1 << 20)
        *whole, self._rest = (self._rest + data).split(b"\n")
        said = [line.decode(errors="replace").split(" ") for line in whole if line]
        for words in said:
            self._note(words)
        if not data and self.status is None:
            raise RuntimeError("the zygote is gone")
        return said

    def forget(self) -> None:
        """Drop what it has said and nobody has read."""
        self.line.setblocking(False)
        try:
            while self.line.recv(1 << 20):
                pass
        except BlockingIOError:
            pass
        self.line.settimeout(_PATIENCE)

    def _note(self, words: list[str]) -> None:
        match words:
            case ["ready", number]:
                self.port = int(number)
            case ["exit", number]:
                self.status = int(number)
                self.line.close()
            case _:
                pass

    @property
    def is_alive(self) -> bool:
        return self.status is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless the process has ended already."""
        if self.is_alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                pass


class Fleet:
    """Processes of one service on one database."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url
        self.folder = folder
        self._log = (folder / "stderr.log").open("ab")
        self._control, other = socket.socketpair()
        command = [sys.executable, "-m", "tests.faults.zygote", str(other.fileno()), url, str(folder / "data")]
        environment = {**os.environ, "LOG_LEVEL": "ERROR"}
        self._zygote = subprocess.Popen(
            command, cwd=ROOT, pass_fds=[other.fileno()], stdout=self._log, stderr=self._log, env=environment
        )
        other.close()
        self._control.settimeout(_START_SECONDS)
        words = self._control.recv(1000).decode().split()
        if words[:1] != ["warm"]:
            self.close()
            raise RuntimeError(f"the zygote did not start: {self.stderr()[-2000:]}")
        self.config_id = words[1]

    def start(self, order: Order) -> Child:
        """Start a process."""
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._control, [order.to_text().encode()], [theirs.fileno()])
        # Waits until the order was taken, so that two never come as one.
        return Child(order, ours, int(self._control.recv(100)))

    def stderr(self) -> str:
        """Return what the processes wrote beside."""
        return (self.folder / "stderr.log").read_text(errors="replace")

    def close(self) -> None:
        """End every process."""
        self._control.close()
        self._zygote.wait(_START_SECONDS)
        self._log.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
