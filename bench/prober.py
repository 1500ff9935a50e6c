"""What others notice meanwhile: `python -m bench.prober PORT PID` asks /health every 5 ms and watches the memory."""

import sys
import threading
import time
from typing import Any

from bench.child import serve
from bench.connection import Connection, request_bytes
from bench.process import tree_mb

INTERVAL = 0.005
MEMORY_INTERVAL = 0.01


class Prober:
    """Samples of /health latency and of resident memory, stamped with the machine's monotonic clock."""

    def __init__(self, port: int, pid: int) -> None:
        self.port = port
        self.pid = pid
        self.latencies: list[tuple[float, float]] = []
        self.memory: list[tuple[float, float]] = []
        self.watching = threading.Event()
        for work in (self.ask_health, self.watch_memory):
            threading.Thread(target=work, daemon=True).start()

    def ask_health(self) -> None:
        """Ask again 5 ms after the last question, or at once when the answer took longer."""
        request = request_bytes("GET", "/health")
        with Connection(self.port) as connection:
            while self.watching.wait():
                sent = time.monotonic()
                connection.exchange(request)
                answered = time.monotonic()
                self.latencies.append((sent, answered))
                time.sleep(max(0.0, sent + INTERVAL - answered))

    def watch_memory(self) -> None:
        """Sample the memory of the server and its children."""
        while self.watching.wait():
            self.memory.append((time.monotonic(), tree_mb(self.pid)))
            time.sleep(MEMORY_INTERVAL)

    def answer(self, command: dict[str, Any]) -> dict[str, float]:
        """Start or stop watching, or return the worst of the window that the command names."""
        if "watch" in command:
            if command["watch"]:
                self.watching.set()
            else:
                self.watching.clear()
            return {}
        return self.worst(command["start"], command["end"])

    def worst(self, start: float, end: float) -> dict[str, float]:
        """Return the longest wait and the largest memory between two moments."""
        # A question that is still open when the window closes belongs to it.
        while not self.latencies or self.latencies[-1][0] < end:
            time.sleep(INTERVAL)
        # Where the window is shorter than the pause between two questions, the next one stands for it.
        end = max(end, min(sent for sent, answered in self.latencies if answered >= start))
        waits = sorted(answered - sent for sent, answered in self.latencies if answered >= start and sent <= end)
        memory = [size for moment, size in self.memory if start <= moment <= end]
        return {
            "health_p50_ms": waits[len(waits) // 2] * 1e3,
            "health_p99_ms": waits[int(len(waits) * 0.99)] * 1e3,
            "health_max_ms": waits[-1] * 1e3,
            "peak_mb": max(memory, default=tree_mb(self.pid)),
        }


if __name__ == "__main__":
    serve(Prober(int(sys.argv[1]), int(sys.argv[2])).answer)
