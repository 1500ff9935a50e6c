import asyncio

import pytest

from chapkit.core.workers import Backoff, Supervisor

pytestmark = pytest.mark.anyio
AT_ONCE = Backoff(first=0.0)


class Endless:
    def __init__(self, name: str, log: list[str]) -> None:
        self.name = name
        self.log = log
        self.started = asyncio.Event()

    async def run(self) -> None:
        self.log.append(f"{self.name} started")
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.log.append(f"{self.name} stopped")


class Failing:
    name = "failing"

    def __init__(self, failures: int) -> None:
        self.failures = failures
        self.runs = 0
        self.done = asyncio.Event()

    async def run(self) -> None:
        self.runs += 1
        if self.runs <= self.failures:
            raise ValueError(f"failure {self.runs}")
        self.done.set()


async def test_a_worker_is_started_again_after_an_error() -> None:
    worker = Failing(3)
    supervisor = Supervisor([worker], AT_ONCE)
    await supervisor.start()
    await asyncio.wait_for(worker.done.wait(), 5)
    await supervisor.stop()
    state = supervisor.states["failing"]
    assert worker.runs == 4
    assert (state.restarts, state.running) == (3, False)
    assert state.error == "ValueError: failure 3"


async def test_a_worker_that_returns_is_left_alone() -> None:
    worker = Failing(0)
    supervisor = Supervisor([worker], AT_ONCE)
    await supervisor.start()
    await asyncio.wait_for(worker.done.wait(), 5)
    for _ in range(5):
        await asyncio.sleep(0)
    assert worker.runs == 1
    assert not supervisor.states["failing"].running
    await supervisor.stop()


async def test_workers_stop_in_reverse_order() -> None:
    log: list[str] = []
    workers = [Endless(name, log) for name in ("first", "second", "third")]
    supervisor = Supervisor(workers)
    await supervisor.start()
    for worker in workers:
        await asyncio.wait_for(worker.started.wait(), 5)
    assert all(state.running for state in supervisor.states.values())
    await supervisor.stop()
    assert log[3:] == ["third stopped", "second stopped", "first stopped"]
    assert not any(state.running for state in supervisor.states.values())


async def test_a_failing_worker_does_not_disturb_the_others() -> None:
    log: list[str] = []
    steady, failing = Endless("steady", log), Failing(5)
    supervisor = Supervisor([failing, steady], AT_ONCE)
    await supervisor.start()
    await asyncio.wait_for(failing.done.wait(), 5)
    assert log == ["steady started"]
    assert supervisor.states["steady"].restarts == 0
    await supervisor.stop()


async def test_a_worker_that_waits_for_its_restart_can_be_stopped() -> None:
    worker = Failing(1)
    supervisor = Supervisor([worker], Backoff(first=3600))
    await supervisor.start()
    while worker.runs == 0 or supervisor.states["failing"].running:
        await asyncio.sleep(0)
    await asyncio.wait_for(supervisor.stop(), 5)
    assert worker.runs == 1


async def test_pauses_grow_up_to_a_limit() -> None:
    backoff = Backoff(first=0.1, factor=2, longest=1)
    assert [round(backoff.delay(n), 3) for n in range(6)] == [0.1, 0.2, 0.4, 0.8, 1, 1]
    assert backoff.delay(10_000) == 1
