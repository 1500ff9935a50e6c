"""A service whose functions compute in plain Python: `python -m tests.service.busy_service DATABASE_URL PORT`."""

import sys
import time
from typing import Any

from chapkit.api import run_app
from tests.service.ml_calls import service

SECONDS = 1.5


def compute() -> float:
    total, end = 0.0, time.monotonic() + SECONDS
    while time.monotonic() < end:
        total += sum(number * 0.5 for number in range(1000))
    return total


async def train(config: Any, data: Any) -> float:
    return compute()


def predict(config: Any, model: Any, historic: Any, future: Any) -> Any:
    return future.assign(sample_0=compute())


if __name__ == "__main__":
    run_app(service(train, predict, url=sys.argv[1]), port=int(sys.argv[2]), access_log=False)
