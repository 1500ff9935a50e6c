"""Hear that the process is asked to stop, before its server stops the application."""

import asyncio
import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeAlias

_Handler: TypeAlias = Callable[[int, FrameType | None], Any]
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def on_stop_signal(callback: Callable[[], None]) -> Generator[None]:
    """Call `callback` on the running event loop at SIGTERM and SIGINT, beside whoever handles them already.

    A server shuts its application down only when the last request has ended, so requests that wait for something
    have to hear of the stop from elsewhere. Where nobody handles a signal, the process ends by it as ever.
    """
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread hears signals.
        yield
        return
    loop = asyncio.get_running_loop()
    chained = {number: _chain(number, lambda: loop.call_soon_threadsafe(callback)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, pair in chained.items():
            # Somebody who came later keeps his own.
            if pair is not None and signal.getsignal(number) is pair[0]:
                signal.signal(number, pair[1])


def _chain(number: int, call: Callable[[], Any]) -> tuple[_Handler, _Handler] | None:
    before = signal.getsignal(number)
    if not callable(before):
        return None

    def handle(number: int, frame: FrameType | None) -> None:
        call()
        before(number, frame)

    signal.signal(number, handle)
    return handle, before
