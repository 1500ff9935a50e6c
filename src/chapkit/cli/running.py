"""Run an application's background work without a server."""

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from fastapi import FastAPI

from chapkit.core.logging import get_logger

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


def run_until_stopped(service: FastAPI, **facts: Any) -> None:
    """Start the application, and stop it on SIGTERM or SIGINT; a second signal ends the process at once.

    Args:
        facts: Stand in the line that is logged at the start.
    """
    # Lazy: other commands need no server.
    import uvicorn

    # The event loop that the server would choose.
    factory = uvicorn.Config(service, log_config=None).get_loop_factory()
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(_run(service, facts))


async def _run(service: FastAPI, facts: dict[str, Any]) -> None:
    log = get_logger("chapkit.worker")
    stop = asyncio.Event()
    with _stopping_by_signal(stop):
        async with service.router.lifespan_context(service):
            log.info("worker.started", **facts)
            await stop.wait()
            log.info("worker.stopping")
        log.info("worker.stopped")


@contextmanager
def _stopping_by_signal(stop: asyncio.Event) -> Generator[None]:
    loop = asyncio.get_running_loop()

    def handle(number: int, frame: FrameType | None) -> None:
        # Not on the event loop: the second signal must count even while something blocks that.
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop.set)

    before = [(number, signal.signal(number, handle)) for number in _SIGNALS]
    try:
        yield
    finally:
        for number, handler in before:
            signal.signal(number, handler)
