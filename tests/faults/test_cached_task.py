"""A hundred equal calls, several processes, one of which is killed in the middle of the function."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.cached_service import DIARY
from tests.service.processes import Process, free_port

pytestmark = pytest.mark.anyio
CALLS = 100
PATIENCE = 60.0
MODULE = "tests.faults.cached_service"


class Fleet:
    """Processes of the service, of which some may be gone."""

    def __init__(self, ports: list[int], client: httpx.AsyncClient) -> None:
        self._ports = ports
        self._client = client

    async def ask(self, method: str, path: str, first: int = 0, **options: Any) -> dict[str, Any]:
        """Ask one process, and the next one where that is gone."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for port in (*self._ports[first:], *self._ports[:first]):
                    try:
                        answer = await self._client.request(method, f"http://127.0.0.1:{port}{path}", **options)
                    except httpx.TransportError:
                        continue
                    assert answer.is_success, answer.text
                    body: dict[str, Any] = answer.json()
                    return body
                await asyncio.sleep(0.05)

    async def call(self, task_id: str, number: int) -> dict[str, Any]:
        """Execute the task and return the job when it has ended."""
        first = number % len(self._ports)
        key = {"Idempotency-Key": f"call-{number}"}
        accepted = await self.ask("POST", f"/api/v1/tasks/{task_id}/$execute", first, headers=key)
        while True:
            job = await self.ask("GET", f"/api/v1/jobs/{accepted['job_id']}", first, params={"wait": 5})
            if job["finished_at"] is not None:
                return job


@pytest.fixture
def diary(tmp_path: Path) -> Path:
    path = tmp_path / "diary"
    path.touch()
    return path


@pytest.fixture
async def fleet(database_url: str, diary: Path, tmp_path: Path) -> AsyncIterator[Fleet]:
    limits = httpx.Limits(max_connections=None)
    with ExitStack() as stack:
        ports = [free_port() for _ in range(3)]
        for port in ports:
            process = Process(database_url, tmp_path / f"{port}.log", MODULE, str(port), **{DIARY: str(diary)})
            stack.callback(process.close)
        async with httpx.AsyncClient(timeout=PATIENCE, limits=limits) as client:
            fleet = Fleet(ports, client)
            for number in range(len(ports)):
                await fleet.ask("GET", "/health", number)
            yield fleet


def read(diary: Path, word: str) -> list[int]:
    """Return the processes that have written this word."""
    return [int(line.partition(" ")[2]) for line in diary.read_text().splitlines() if line.startswith(word)]


async def test_the_others_get_the_result_of_the_one_run_that_came_through(fleet: Fleet, diary: Path) -> None:
    task = await fleet.ask(
        "POST", "/api/v1/tasks", json={"command": "slow", "task_type": "python", "parameters": {"place": "Bokeo"}}
    )
    calls = asyncio.gather(*(fleet.call(task["id"], number) for number in range(CALLS)))
    async with asyncio.timeout(PATIENCE):
        while not read(diary, "begun"):
            await asyncio.sleep(0.01)
    [struck] = read(diary, "begun")
    os.kill(struck, signal.SIGKILL)
    jobs = await calls
    assert {job["status"] for job in jobs} == {"completed"}
    assert len({job["id"] for job in jobs}) == CALLS
    assert len({job["artifact_id"] for job in jobs}) == 1
    begun = read(diary, "begun")
    assert (len(begun), begun[0] == struck, begun[1] == struck) == (2, True, False)
    assert read(diary, "ended") == begun[1:]
