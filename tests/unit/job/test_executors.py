import asyncio
import contextvars
import sys
import threading
from collections.abc import AsyncGenerator
from functools import partial

import pytest

from chapkit.job.errors import ProcessExitError
from chapkit.job.executors.inline import InlineExecutor
from chapkit.job.executors.user_code import UserCode, is_coroutine_function
from tests.unit.job.parts import PATIENCE, happens

pytestmark = pytest.mark.anyio

_place: contextvars.ContextVar[str] = contextvars.ContextVar("_place")


@pytest.fixture
async def user_code() -> AsyncGenerator[UserCode]:
    code = UserCode()
    yield code
    await code.close()


class Callable:
    async def __call__(self, value: int) -> int:
        return value + 1


async def _thread_name(_: int = 0) -> str:
    return threading.current_thread().name


async def test_a_plain_function_runs_in_a_thread(user_code: UserCode) -> None:
    assert await user_code.run(lambda: threading.current_thread().name) == "chapkit-job"


async def test_a_coroutine_function_runs_on_the_job_loop(user_code: UserCode) -> None:
    for function in (_thread_name, partial(_thread_name, 1), lambda: _thread_name()):
        assert await user_code.run(function) == "chapkit-job-loop"


async def test_an_object_with_an_async_call_is_awaited(user_code: UserCode) -> None:
    assert is_coroutine_function(Callable())
    assert await user_code.run(Callable(), 1) == 2
    assert await user_code.run(partial(Callable(), value=2)) == 3


async def test_the_context_variables_of_the_caller_are_seen(user_code: UserCode) -> None:
    async def read() -> str:
        return _place.get()

    _place.set("here")
    assert await user_code.run(_place.get) == "here"
    assert await user_code.run(read) == "here"


async def test_a_blocking_coroutine_does_not_hold_up_the_caller(user_code: UserCode) -> None:
    begun, go = threading.Event(), threading.Event()

    async def block() -> str:
        begun.set()
        go.wait(PATIENCE)
        return "done"

    task = asyncio.create_task(user_code.run(block))
    await happens(begun)
    assert not task.done()
    go.set()
    assert await task == "done"


async def test_a_blocked_loop_is_left_once_a_coroutine_does_not_answer_and_ends_with_what_it_had(
    user_code: UserCode,
) -> None:
    begun, go = threading.Event(), threading.Event()
    threads: list[threading.Thread] = []
    starts: list[str] = []

    async def wait() -> str:
        threads.append(threading.current_thread())
        started.set()
        while not go.is_set():
            await asyncio.sleep(0.001)
        return "waited"

    async def block() -> None:
        begun.set()
        go.wait(PATIENCE)

    async def read() -> tuple[str, str]:
        starts.append(_place.get())
        return _place.get(), "read"

    started = threading.Event()
    waiting = asyncio.create_task(user_code.run(wait))
    await happens(started)
    blocking = asyncio.create_task(user_code.run(block))
    await happens(begun)
    _place.set("here")
    moved = asyncio.create_task(user_code.run(read))
    await asyncio.sleep(0)
    user_code.loop.leave_if_blocked()
    assert not starts, "Nobody was asked to stop, so it may go on at any time."
    blocking.cancel()
    await asyncio.sleep(0)
    user_code.loop.leave_if_blocked()
    assert await moved == ("here", "read")
    assert await user_code.run(read) == ("here", "read")
    assert not waiting.done()
    go.set()
    assert await waiting == "waited"
    with pytest.raises(asyncio.CancelledError):
        await blocking
    assert len(starts) == 2
    await asyncio.to_thread(threads[0].join, PATIENCE)
    assert not threads[0].is_alive()


async def test_a_loop_that_is_not_blocked_is_not_left(user_code: UserCode) -> None:
    begun, asked, go = threading.Event(), threading.Event(), threading.Event()

    async def shrug() -> threading.Thread:
        begun.set()
        while not go.is_set():
            try:
                await asyncio.sleep(0.001)
            except asyncio.CancelledError:
                asked.set()
        return threading.current_thread()

    async def tell() -> threading.Thread:
        return threading.current_thread()

    before = await user_code.run(tell)
    task = asyncio.create_task(user_code.run(shrug))
    await happens(begun)
    task.cancel()
    await happens(asked)
    user_code.loop.leave_if_blocked()
    assert await user_code.run(tell) is before
    go.set()
    await asyncio.wait({task})


async def test_a_canceled_caller_goes_on_only_when_the_thread_has_ended(user_code: UserCode) -> None:
    begun, go, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(PATIENCE)
        ended.set()

    task = asyncio.create_task(user_code.run(work))
    await happens(begun)
    task.cancel()
    await asyncio.wait({task}, timeout=0.01)
    assert not task.done()
    go.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_a_canceled_coroutine_may_clean_up(user_code: UserCode) -> None:
    begun, cleaned = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            cleaned.set()

    task = asyncio.create_task(user_code.run(work))
    await happens(begun)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned.is_set()


async def test_an_exit_of_the_process_is_an_error_of_the_function(user_code: UserCode) -> None:
    async def leave() -> None:
        sys.exit(3)

    for function in (lambda: sys.exit(3), leave):
        with pytest.raises(ProcessExitError, match="SystemExit: 3"):
            await user_code.run(function)
    with pytest.raises(ProcessExitError):
        await InlineExecutor().run(sys.exit)


async def test_a_stop_iteration_reaches_the_caller_as_an_error(user_code: UserCode) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await user_code.run(lambda: next(iter(())))


async def test_closing_gives_up_on_a_thread_that_does_not_end(user_code: UserCode) -> None:
    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(PATIENCE)

    task = asyncio.create_task(user_code.run(work))
    await happens(begun)
    await user_code.close()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()


async def test_the_inline_executor_awaits_what_it_is_given() -> None:
    executor = InlineExecutor()
    assert await executor.run(lambda: 1) == 1
    assert await executor.run(_thread_name) == threading.current_thread().name
    await executor.close()
