"""Background work with an owner: started, watched, restarted, stopped."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from chapkit.core.logging import get_logger


class Worker(Protocol):
    """Something that runs beside the requests."""

    @property
    def name(self) -> str:
        """What it is called in the log and in `/health`."""
        ...

    async def run(self) -> None:
        """Work until cancelled; returning means that there is nothing left to do."""
        ...


@dataclass
class WorkerState:
    """How a worker is doing."""

    restarts: int = 0
    error: str | None = None
    running: bool = False


@dataclass(frozen=True)
class Backoff:
    """Seconds to wait before a worker is started again."""

    first: float = 0.1
    factor: float = 2.0
    longest: float = 30.0

    def delay(self, restarts: int) -> float:
        """Return the pause before the restart with this number, counted from 0."""
        return min(self.longest, self.first * self.factor ** min(restarts, 30))


class Supervisor:
    """Runs workers, starts one again after it raised, and stops all in order."""

    def __init__(self, workers: Iterable[Worker], backoff: Backoff | None = None) -> None:
        self._workers = list(workers)
        self._backoff = backoff or Backoff()
        self._tasks: list[asyncio.Task[None]] = []
        self.states: dict[str, WorkerState] = {worker.name: WorkerState() for worker in self._workers}

    async def start(self) -> None:
        """Start every worker."""
        for worker in self._workers:
            self._tasks.append(asyncio.create_task(self._keep_running(worker), name=f"chapkit:{worker.name}"))

    async def stop(self) -> None:
        """Cancel the workers, the last one first, and wait for each."""
        while self._tasks:
            task = self._tasks.pop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _keep_running(self, worker: Worker) -> None:
        state = self.states[worker.name]
        while True:
            state.running = True
            try:
                await worker.run()
                return
            except Exception as error:
                # A worker may fail in any way; the others and the requests must not suffer from it.
                state.error = f"{type(error).__name__}: {error}"
                get_logger("chapkit.workers").error("worker.failed", worker=worker.name, error=state.error)
            finally:
                state.running = False
            await asyncio.sleep(self._backoff.delay(state.restarts))
            state.restarts += 1
