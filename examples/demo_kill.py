"""Kill a service with -9 again and again while it has 200 jobs to do, and count what is left of them.

python -m examples.demo_kill [--database URL] [--seconds 30] [--jobs 200]
"""

import argparse
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from typing import Any

import httpx

KINDS = ("train", "thread", "async", "train", "thread", "async", "train", "process")
FRAME = {"columns": ["week", "cases"], "data": [["2026W01", 12], ["2026W02", 15]]}
PATIENCE = 120.0
WARM_UP = 0.5


class Service:
    """The service as a user starts it; `kill` is `kill -9`, and the next one is started at once."""

    def __init__(self, database: str, folder: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self._environment = {**os.environ, "DATABASE": database, "DATA_DIR": folder, "LOG_LEVEL": "ERROR"}
        self._client = httpx.Client(base_url=f"http://127.0.0.1:{self._port}", timeout=5)
        self.kills = 0
        self.serves_since: float | None = None
        self._start()

    def _start(self) -> None:
        command = [sys.executable, "-m", "uvicorn", "examples.killed_service:app", "--port", str(self._port)]
        self._process = subprocess.Popen([*command, "--log-level", "critical"], env=self._environment)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self.kills, self.serves_since = self.kills + 1, None
        self._start()

    def stop(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def send(self, method: str, path: str, **request: Any) -> Any:
        """Return the answer; `None` while the service is dead."""
        with contextlib.suppress(httpx.TransportError):
            response = self._client.request(method, path, **request)
            if response.status_code < 500:
                self.serves_since = self.serves_since or time.monotonic()
                return response.raise_for_status().json()
        return None

    def submit(self, path: str, key: str, **request: Any) -> Any:
        """Ask until there is an answer; the key makes all of the questions one job."""
        while (answer := self.send("POST", path, headers={"Idempotency-Key": key}, **request)) is None:
            time.sleep(0.05)
        return answer


def submit_all(service: Service, jobs: int, seconds: float, accepted: dict[str, str]) -> None:
    """Submit the jobs over the time in which the service is killed; keep job and artifact of each answer."""
    config = service.submit("/api/v1/configs", "config", json={"name": "demo", "data": {}})
    for number in range(jobs):
        kind, key = KINDS[number % len(KINDS)], f"demo-{number}"
        if kind == "train":
            body = {"config_id": config["id"], "data": FRAME}
            answer = service.submit("/api/v1/ml/$train", key, json=body)
        else:
            answer = service.submit(f"/chores/{kind}", key, params={"number": number})
        accepted[answer["job_id"]] = answer["artifact_id"]
        time.sleep(0.6 * seconds / jobs)


def watch(service: Service, jobs: int, seconds: float, accepted: dict[str, str]) -> None:
    """Kill the service every second, unless it has just come up; after some time let it finish the work."""
    begin = time.monotonic()
    while (now := time.monotonic()) - begin < seconds + PATIENCE:
        stats = service.send("GET", "/api/v1/jobs/$stats")
        is_over = now - begin >= seconds
        what = "the service starts ..."
        if stats is not None:
            what = ", ".join(f"{stats['by_status'][name]:3} {name}" for name in ("pending", "running", "completed"))
        since = service.serves_since
        mark = "   kill -9" if not is_over and since is not None and now - since > WARM_UP else ""
        print(f"{now - begin:4.0f} s   accepted {len(accepted):3}   {what}{mark}", flush=True)
        if mark:
            service.kill()
        if is_over and stats is not None and len(accepted) == jobs and stats["by_status"]["completed"] >= jobs:
            return
        time.sleep(max(0.0, now + 1.0 - time.monotonic()))


def print_ledger(service: Service, jobs: int, accepted: dict[str, str]) -> bool:
    """Print what became of the accepted jobs; tell whether the ledger balances."""
    found = {job["id"]: job for job in service.send("GET", "/api/v1/jobs") or []}
    results = Counter(artifact["id"] for artifact in service.send("GET", "/api/v1/artifacts") or [])
    completed = sum(found[job]["status"] == "completed" for job in accepted if job in found)
    right = sum(results[artifact] == 1 for artifact in accepted.values())
    attempts = sum(job["attempt"] for job in found.values())
    print(f"\n{service.kills} kills, {attempts} attempts at {len(found)} jobs")
    print(f"{len(accepted)} accepted, {completed} completed, {results.total()} results")
    return {len(accepted), completed, right, results.total(), len(found)} == {jobs}


def main() -> int:
    """Run the demonstration; 1 if a job was lost or done twice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", help="URL of an empty database; a SQLite file that goes afterwards, if not given")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--jobs", type=int, default=200)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="chapkit-demo-") as folder:
        service = Service(options.database or f"sqlite+aiosqlite:///{folder}/service.db", folder)
        accepted: dict[str, str] = {}
        arguments = (service, options.jobs, options.seconds, accepted)
        threading.Thread(target=submit_all, args=arguments, daemon=True).start()
        watch(*arguments)
        balances = print_ledger(service, options.jobs, accepted)
        service.stop()
    print("Nothing was lost, and nothing was done twice." if balances else "THE LEDGER DOES NOT BALANCE.")
    return 0 if balances else 1


if __name__ == "__main__":
    sys.exit(main())
