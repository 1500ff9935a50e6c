import asyncio
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from chapkit.core.stop_signals import on_stop_signal

pytestmark = pytest.mark.anyio
Handler = signal.Handlers | int | None


class Server:
    """Handles signals as a server does."""

    def __init__(self) -> None:
        self.heard: list[int] = []

    def handle(self, number: int, frame: FrameType | None) -> None:
        self.heard.append(number)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    before = {number: signal.signal(number, server.handle) for number in (signal.SIGTERM, signal.SIGINT)}
    yield server
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_both_the_server_and_those_who_wait_hear_a_signal(server: Server, number: signal.Signals) -> None:
    stopping = asyncio.Event()
    with on_stop_signal(stopping.set):
        signal.raise_signal(number)
        await asyncio.wait_for(stopping.wait(), 5)
    assert server.heard == [number]


async def test_afterwards_the_server_hears_alone(server: Server) -> None:
    stopping = asyncio.Event()
    with on_stop_signal(stopping.set):
        pass
    assert signal.getsignal(signal.SIGTERM) == server.handle
    signal.raise_signal(signal.SIGTERM)
    await asyncio.sleep(0)
    assert (server.heard, stopping.is_set()) == ([signal.SIGTERM], False)


async def test_two_applications_of_a_process_hear_both(server: Server) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    with on_stop_signal(first.set), on_stop_signal(second.set):
        signal.raise_signal(signal.SIGTERM)
        await asyncio.wait_for(asyncio.gather(first.wait(), second.wait()), 5)
    assert server.heard == [signal.SIGTERM]


async def test_a_handler_that_came_later_is_kept(server: Server) -> None:
    later = Server()
    with on_stop_signal(lambda: None):
        signal.signal(signal.SIGTERM, later.handle)
    assert signal.getsignal(signal.SIGTERM) == later.handle
    assert signal.getsignal(signal.SIGINT) == server.handle


async def test_a_signal_that_nobody_handles_is_left_alone(server: Server) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with on_stop_signal(lambda: None):
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGINT) != server.handle
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


async def test_a_thread_that_hears_no_signals_changes_nothing(server: Server) -> None:
    async def look() -> object:
        with on_stop_signal(lambda: None):
            return signal.getsignal(signal.SIGTERM)

    assert await asyncio.to_thread(lambda: asyncio.run(look())) == server.handle
