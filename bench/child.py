"""A measuring process of its own: one JSON command per line in, one JSON answer per line out."""

import json
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Self

from bench.server import ROOT, environment


class ChildError(Exception):
    """A measuring process that ended before it answered."""


class Child:
    """The driver's end of a measuring process."""

    def __init__(self, module: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *map(str, arguments)],
            env=environment(),
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **command: Any) -> Any:
        """Send a command and return its answer."""
        if self._process.stdin is None or self._process.stdout is None:
            raise ChildError("The measuring process has no pipes")
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise ChildError(f"The measuring process ended with code {self._process.wait()} during {command}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def serve(answer: Callable[[dict[str, Any]], Any]) -> None:
    """Answer commands until standard input ends."""
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)
