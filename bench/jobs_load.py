"""Submits over HTTP: `python -m bench.jobs_load PORT PID` in a process of its own."""

import gc
import sys
from typing import Any

import uvloop

from bench.child import serve
from bench.connection import request_bytes
from bench.load import Run
from bench.process import cpu_seconds

PATIENCE = 600.0


class JobLoad:
    """Sends one request again and again over several connections."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Send for `seconds`, or `count` times."""
        request = request_bytes("POST", command["path"], command.get("body", "").encode())
        left = iter(range(command["count"])) if "count" in command else None

        def following() -> bytes | None:
            return request if left is None or next(left, None) is not None else None

        run = Run(following, 202, None, command.get("seconds", PATIENCE))
        gc.collect()
        gc.disable()
        before = cpu_seconds(self.pid)
        uvloop.run(run.drive(self.port, command["connections"]))
        gc.enable()
        return run.figures(cpu_seconds(self.pid) - before)


if __name__ == "__main__":
    serve(JobLoad(int(sys.argv[1]), int(sys.argv[2])).answer)
