"""The load generator: `python -m bench.load PORT PID` in a process of its own."""

import asyncio
import gc
import json
import random
import sys
from collections.abc import Callable
from time import perf_counter
from typing import Any

import uvloop
from httptools import HttpResponseParser

from bench.child import serve
from bench.connection import HOST, UnexpectedAnswerError, request_bytes
from bench.process import cpu_seconds

CONFIGS = "/api/v1/configs"
PAGE = 100

NextRequest = Callable[[], bytes | None]
Answered = Callable[[bytes], None]


class Run:
    """One measured run: a closed loop of requests on several connections."""

    def __init__(self, following: NextRequest, status: int, answered: Answered | None, seconds: float) -> None:
        self.following = following
        self.status = status
        self.answered = answered
        self.seconds = seconds
        self.latencies: list[float] = []
        self.ended: list[float] = []
        self.exhausted = False
        self.failure: Exception | None = None
        self.open = 0
        self.started = self.deadline = 0.0

    async def drive(self, port: int, connections: int) -> None:
        """Open the connections, then send until the time is over or the requests are."""
        loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = loop.create_future()
        clients = [(await loop.create_connection(lambda: Client(self), HOST, port))[1] for _ in range(connections)]
        self.open = connections
        self.started = perf_counter()
        self.deadline = self.started + self.seconds
        for client in clients:
            client.send()
        await self.done
        if self.failure:
            raise self.failure

    def finish(self, failure: Exception | None = None) -> None:
        """Note that a connection has ended."""
        self.failure = self.failure or failure
        self.open -= 1
        if (self.open == 0 or failure) and not self.done.done():
            self.done.set_result(None)

    def figures(self, cpu: float) -> dict[str, Any]:
        """Return what was measured; the rate counts only answers within the time."""
        within = sum(end <= self.deadline for end in self.ended)
        window = max(self.ended) - self.started if self.exhausted else self.seconds
        ordered = sorted(self.latencies)
        return {
            "requests": len(ordered),
            "rps": (len(ordered) if self.exhausted else within) / window,
            "p50_ms": ordered[len(ordered) // 2] * 1e3,
            "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
            "cpu_ms": cpu / len(ordered) * 1e3,
        }


class Client(asyncio.Protocol):
    """One keep-alive connection that sends its next request when an answer is complete."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.parser = HttpResponseParser(self)
        self.parts: list[bytes] = []
        self.sent = 0.0
        self.finished = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport: Any = transport

    def send(self) -> None:
        """Send the next request, or end."""
        request = self.run.following() if perf_counter() < self.run.deadline else None
        if request is None:
            self.run.exhausted |= perf_counter() < self.run.deadline
            self._end()
            return
        self.sent = perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Feed the parser."""
        self.parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        """Keep the body where somebody reads it (called by the parser)."""
        if self.run.answered:
            self.parts.append(part)

    def on_message_complete(self) -> None:
        """Record an answer and go on (called by the parser)."""
        ended = perf_counter()
        if self.parser.get_status_code() != self.run.status:
            self._end(UnexpectedAnswerError(f"{self.parser.get_status_code()} instead of {self.run.status}"))
            return
        self.run.latencies.append(ended - self.sent)
        self.run.ended.append(ended)
        if self.run.answered:
            self.run.answered(b"".join(self.parts))
            self.parts.clear()
        self.send()

    def connection_lost(self, error: Exception | None) -> None:
        """Report a connection that the server closed."""
        self._end(error or ConnectionResetError("The server closed a connection"))

    def _end(self, failure: Exception | None = None) -> None:
        if not self.finished:
            self.finished = True
            self.run.finish(failure)
            self.transport.close()


class Load:
    """The operations on one server, and the identifiers that they need."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid
        self.seeded: list[str] = []
        self.created: list[str] = []
        self.count = 0
        self.random = random.Random(7)

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        """Carry out one command of the driver."""
        operation, connections, seconds = command["operation"], command["connections"], command["seconds"]
        if operation == "seed":
            return self.seed(command["rows"], connections)
        run = self.run_of(operation, seconds)
        gc.collect()
        gc.disable()
        before = cpu_seconds(self.pid)
        uvloop.run(run.drive(self.port, connections))
        figures = run.figures(cpu_seconds(self.pid) - before)
        gc.enable()
        if operation == "delete":
            # Both servers keep the same number of rows, whichever of them creates faster.
            uvloop.run(self.run_of("delete", 600).drive(self.port, connections))
        return figures

    def seed(self, rows: int, connections: int) -> dict[str, Any]:
        """Create the rows that the operations read and change."""
        left = iter(range(rows))
        run = Run(lambda: self.creation() if next(left, None) is not None else None, 201, self.note, 600)
        uvloop.run(run.drive(self.port, connections))
        self.seeded, self.created = self.created, []
        return {"rows": len(self.seeded)}

    def run_of(self, operation: str, seconds: float) -> Run:
        """Return the run of an operation by its name."""
        following, status, answered = {
            "health": (lambda: request_bytes("GET", "/health"), 200, None),
            "create": (self.creation, 201, self.note),
            "read": (lambda: request_bytes("GET", f"{CONFIGS}/{self.random.choice(self.seeded)}"), 200, None),
            "list100": (self.listing, 200, None),
            "update": (self.change, 200, None),
            "delete": (self.deletion, 204, None),
        }[operation]
        return Run(following, status, answered, seconds)

    def creation(self) -> bytes:
        """Return a request that creates a configuration."""
        return request_bytes("POST", CONFIGS, self.body())

    def listing(self) -> bytes:
        """Return a request for a page of 100, anywhere in the table."""
        page = self.random.randint(1, max(1, len(self.seeded) // PAGE))
        return request_bytes("GET", f"{CONFIGS}?page={page}&size={PAGE}")

    def change(self) -> bytes:
        """Return a request that really changes a row."""
        return request_bytes("PUT", f"{CONFIGS}/{self.random.choice(self.seeded)}", self.body())

    def deletion(self) -> bytes | None:
        """Return a request that deletes a row made by `create`, while there are any."""
        return request_bytes("DELETE", f"{CONFIGS}/{self.created.pop()}") if self.created else None

    def body(self) -> bytes:
        """Return a body that differs from all before."""
        self.count += 1
        data = f'{{"alpha": {self.count / 1000}, "beta": {self.count}, "label": "x{self.count}"}}'
        return f'{{"name": "config-{self.count}", "data": {data}}}'.encode("ascii")

    def note(self, answer: bytes) -> None:
        """Keep the identifier of a created row."""
        self.created.append(json.loads(answer)["id"])


if __name__ == "__main__":
    serve(Load(int(sys.argv[1]), int(sys.argv[2])).answer)
