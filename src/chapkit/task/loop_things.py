"""Things that belong to one event loop: made there once, closed there before it ends.

Connections are bound to the loop that opened them, and a service has at least two: the one that serves requests and the
one that runs functions of users. A thing may be asked for on each of them and is then there once for each.
"""

import asyncio
import contextvars
import threading
from collections.abc import Callable, Generator, Hashable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager
from typing import Any, NamedTuple, TypeVar, cast

from chapkit.core.errors import UnavailableError
from chapkit.core.logging import describe_error, get_logger

T = TypeVar("T")
Opening = Callable[[], AbstractAsyncContextManager[T]]


class LoopThings:
    """The things of one service, by event loop."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._keepers: dict[asyncio.AbstractEventLoop, _Keeper] = {}

    @property
    def loops(self) -> int:
        """Number of event loops on which there is something."""
        with self._lock:
            self._forget_closed()
            return len(self._keepers)

    async def get(self, key: Hashable, make: Opening[T]) -> T:
        """Return the thing of the running loop; whoever asks first makes it, the others wait for that."""
        return cast("T", await self._keeper().get(key, make))

    @contextmanager
    def in_use(self) -> Generator[None]:
        """Let nothing on the running loop be closed inside of the block, even if the loop is about to end."""
        keeper = self._keeper()
        keeper.enter()
        try:
            yield
        finally:
            keeper.leave()

    async def close(self) -> None:
        """Close what is there on the running loop; that of other loops goes when they end."""
        with self._lock:
            keeper = self._keepers.pop(asyncio.get_running_loop(), None)
        if keeper is not None:
            await keeper.close()

    def _keeper(self) -> "_Keeper":
        loop = asyncio.get_running_loop()
        with self._lock:
            keeper = self._keepers.get(loop)
            if keeper is None or keeper.is_over:
                self._forget_closed()
                keeper = self._keepers[loop] = _Keeper()
        return keeper

    def _forget_closed(self) -> None:
        for loop in [loop for loop in self._keepers if loop.is_closed()]:
            del self._keepers[loop]


class _Wish(NamedTuple):
    make: Opening[Any]
    outcome: asyncio.Future[Any]


class _Keeper:
    """Opens and closes all things of a loop in one task, as scopes of cancellation demand.

    An ending loop cancels its tasks and waits for them, so the task closes everything while there still is a loop.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._known: dict[Hashable, asyncio.Future[Any]] = {}
        self._wishes: asyncio.Queue[_Wish] = asyncio.Queue()
        self._users = 0
        self._is_ending = False
        self._unused = asyncio.Event()
        self._unused.set()
        # In no job's context: what a job logs must not come from what outlives it.
        self._task = self._loop.create_task(self._keep(), name="chapkit:loop-things", context=contextvars.Context())

    @property
    def is_over(self) -> bool:
        return self._task.done()

    def enter(self) -> None:
        self._users += 1
        self._unused.clear()

    def leave(self) -> None:
        self._users -= 1
        if self._users == 0:
            self._unused.set()

    async def get(self, key: Hashable, make: Opening[Any]) -> Any:
        outcome = self._known.get(key)
        if outcome is None:
            if self._is_ending:
                raise _ending()
            outcome = self._known[key] = self._loop.create_future()
            outcome.add_done_callback(lambda done: self._note(key, done))
            self._wishes.put_nowait(_Wish(make, outcome))
        # Whoever is cancelled leaves the others waiting.
        return await asyncio.shield(outcome)

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    def _note(self, key: Hashable, done: asyncio.Future[Any]) -> None:
        if done.exception() is not None:
            # The next one tries again.
            self._known.pop(key, None)

    async def _keep(self) -> None:
        async with AsyncExitStack() as stack:
            await self._grant_wishes(stack)
            await self._unused.wait()

    async def _grant_wishes(self, stack: AsyncExitStack) -> None:
        try:
            while True:
                wish = await self._wishes.get()
                try:
                    opened = wish.make()
                    thing = await opened.__aenter__()
                    stack.push_async_callback(_close, opened)
                except Exception as error:
                    wish.outcome.set_exception(error)
                except BaseException:
                    wish.outcome.set_exception(_ending())
                    raise
                else:
                    wish.outcome.set_result(thing)
        except asyncio.CancelledError:
            # The loop ends, or the service does.
            self._is_ending = True
            while not self._wishes.empty():
                self._wishes.get_nowait().outcome.set_exception(_ending())


async def _close(opened: AbstractAsyncContextManager[Any]) -> None:
    try:
        await opened.__aexit__(None, None, None)
    except Exception as error:
        # The others must be closed all the same.
        get_logger("chapkit.task").error("task.not_closed", error=str(error), **describe_error(error))


def _ending() -> UnavailableError:
    return UnavailableError("The service is about to stop; try again", code="service-stopping")
