"""Forks processes that have everything imported: `python -m tests.faults.zygote DESCRIPTOR URL FOLDER`.

Starting an interpreter takes longer than most lives here; a fork of one that has neither threads nor an event loop is
a process like any other.
"""

import asyncio
import gc
import os
import select
import signal
import socket
import sys
import threading
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import alembic.command
import alembic.config
from fastapi import FastAPI

from chapkit.config.manager import ConfigManager
from chapkit.config.schemas import ConfigIn
from chapkit.core.durability import Durability
from tests.faults.child import live
from tests.faults.clocks import SwiftClock
from tests.faults.jobs import Knob
from tests.faults.orders import Order
from tests.faults.service import SHARED, build_app
from tests.faults.strikes import speaker

SPACE = 65536
_CRASHED = 70
PRELOADED = (alembic.command, alembic.config)
"""What is imported when it is first needed, which would be in every child anew."""


def main(control: socket.socket, url: str, folder: Path) -> None:
    """Take orders until the parent is gone."""
    clock = SwiftClock()
    config_id = asyncio.run(_warm_up(build_app(url, folder, "process", clock)))
    choices: tuple[Durability, ...] = ("process", "power") if url.startswith("sqlite") else ("process",)
    apps = [build_app(url, folder, durability, clock) for durability in choices]
    gc.collect()
    gc.freeze()
    if threading.active_count() != 1:
        raise RuntimeError(f"a fork would lose threads: {threading.enumerate()}")
    control.send(f"warm {config_id}\n".encode())
    Nursery(control, apps).run()


async def _warm_up(app: FastAPI) -> str:
    """Make the tables and one configuration, and import what is imported when first used."""
    async with app.router.lifespan_context(app):
        async with app.state.services.scope.write() as scope:
            return str((await scope.get(ConfigManager).create(ConfigIn(name=SHARED, data=Knob()))).id)


class Nursery:
    """The living children, each with the socket on which its parent hears of it."""

    def __init__(self, control: socket.socket, apps: Sequence[FastAPI]) -> None:
        self._control = control
        self._apps = apps
        self._children: dict[int, socket.socket] = {}
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._woken, False)
        os.set_blocking(self._wake, False)

    def run(self) -> None:
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._woken)
        while True:
            watched: list[Any] = [self._control, self._wake]
            ready, _, _ = select.select(watched, [], [])
            if self._wake in ready:
                os.read(self._wake, SPACE)
            self._bury()
            if self._control in ready and not self._obey():
                break
        for pid in self._children:
            os.kill(pid, signal.SIGKILL)

    def _obey(self) -> bool:
        text, descriptors, _, _ = socket.recv_fds(self._control, SPACE, 1)
        if not text:
            return False
        line = socket.socket(fileno=descriptors[0])
        pid = os.fork()
        if pid == 0:
            self._begin(Order.from_text(text), line)
        self._children[pid] = line
        self._control.send(f"{pid}\n".encode())
        return True

    def _begin(self, order: Order, line: socket.socket) -> None:
        status = _CRASHED
        say = speaker(line.fileno())
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for other in (self._control, *self._children.values()):
                other.close()
            os.close(self._wake)
            os.close(self._woken)
            live(self._apps[order.power and len(self._apps) - 1], order, say)
            status = 0
        except BaseException:
            say("crashed", traceback.format_exc())
        finally:
            sys.stderr.flush()
            os._exit(status)

    def _bury(self) -> None:
        while self._children:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            line = self._children.pop(pid)
            # Begins with a new line, for the last words may have been cut off.
            line.send(f"\nexit {os.waitstatus_to_exitcode(status)}\n".encode())
            line.close()


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])), sys.argv[2], Path(sys.argv[3]))
