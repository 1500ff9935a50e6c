"""What a process does with its life."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Generator
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from chapkit.artifact.signing import KEY_FILE, load_key
from tests.faults.driver import drain, drive
from tests.faults.orders import DRAIN, SERVING, WRITE, Order
from tests.faults.points import Road
from tests.faults.strikes import Say, arm
from tests.faults.ticking import see_to_ticks
from tests.faults.writers import write_much
from tests.things import open_database

HOST = "127.0.0.1"


def live(app: FastAPI, order: Order, say: Say) -> None:
    """Follow the order until the end, which may come suddenly."""
    if order.strike is not None:
        arm(order.strike, say)
    if order.road in SERVING:
        asyncio.run(_serve(app, order, say))
    elif order.road == Road.TICK:
        asyncio.run(see_to_ticks(app, say))
    elif order.road in (Road.CREATE, Road.UPGRADE):
        asyncio.run(_migrate(order, say))
    elif order.road == Road.SIGN:
        say("key", load_key(Path(order.folder) / KEY_FILE).decode())
    elif order.road == WRITE:
        asyncio.run(write_much(order, say))


class _Server(uvicorn.Server):
    """Leaves signals to those who started it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None]:
        yield


async def _serve(app: FastAPI, order: Order, say: Say) -> None:
    listener = socket.create_server((HOST, 0))
    port = listener.getsockname()[1]
    server = _Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=1))

    def stop() -> None:
        server.should_exit = True

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started and not serving.done():
        await asyncio.sleep(0.002)
    say("ready", port)
    services = app.state.services
    work = drain(services, say) if order.road == DRAIN else drive(services, order, say)
    driving = asyncio.create_task(work)
    await serving
    driving.cancel()
    for failure in await asyncio.gather(driving, return_exceptions=True):
        if isinstance(failure, Exception):
            raise failure
    if not server.started or server.lifespan.should_exit:
        raise RuntimeError("the service did not start or stop in order")


async def _migrate(order: Order, say: Say) -> None:
    database = open_database(order.url)
    try:
        await database.init()
        say("migrated")
    finally:
        await database.dispose()
