import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import ContextVar

import anyio
import pytest

from chapkit.core.errors import UnavailableError
from chapkit.job.executors.loop import JobLoop
from chapkit.task.loop_things import LoopThings

pytestmark = pytest.mark.anyio
PATIENCE = 10.0
_VARIABLE: ContextVar[str] = ContextVar("variable", default="none")


class Log:
    """What was opened and closed, and on which thread."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def opening(self, name: str) -> Callable[[], AbstractAsyncContextManager[str]]:
        @asynccontextmanager
        async def open() -> AsyncGenerator[str]:
            self.note(f"open {name}")
            # A scope of cancellation has to be left by the task that entered it.
            async with anyio.create_task_group():
                yield name
            self.note(f"close {name}")

        return open

    def note(self, what: str) -> None:
        self.lines.append((what, threading.current_thread().name))

    @property
    def texts(self) -> list[str]:
        return [text for text, _ in self.lines]


async def test_a_thing_is_made_once_for_a_loop_and_closed_with_the_service() -> None:
    log, things = Log(), LoopThings()
    assert await asyncio.gather(*(things.get("a", log.opening("a")) for _ in range(5))) == ["a"] * 5
    assert await things.get("b", log.opening("b")) == "b"
    assert log.texts == ["open a", "open b"]
    assert things.loops == 1
    await things.close()
    assert log.texts == ["open a", "open b", "close b", "close a"]
    assert things.loops == 0
    # It can begin anew.
    assert await things.get("a", log.opening("a")) == "a"
    await things.close()
    await things.close()


async def test_each_loop_has_its_own_and_closes_it_when_it_ends() -> None:
    log, things, job_loop = Log(), LoopThings(), JobLoop()

    async def use() -> str:
        return await things.get("a", log.opening("a"))

    await use()
    await job_loop.run(use)
    await job_loop.run(use)
    main = threading.current_thread().name
    assert log.lines == [("open a", main), ("open a", "chapkit-job-loop")]
    assert things.loops == 2
    await job_loop.close()
    assert log.lines[2:] == [("close a", "chapkit-job-loop")]
    assert things.loops == 1
    await job_loop.run(use)
    assert log.lines[3:] == [("open a", "chapkit-job-loop")]
    await things.close()
    await job_loop.close()
    assert sorted(log.lines[4:]) == sorted([("close a", main), ("close a", "chapkit-job-loop")])


async def test_a_thing_that_cannot_be_made_is_tried_again() -> None:
    things = LoopThings()
    attempts: list[int] = []

    @asynccontextmanager
    async def open() -> AsyncGenerator[str]:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError("not yet")
        yield "made"

    found = await asyncio.gather(*(things.get("a", open) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in found] == [OSError] * 3
    assert await things.get("a", open) == "made"
    await things.close()


async def test_whoever_stops_waiting_leaves_it_to_the_others() -> None:
    things, go = LoopThings(), asyncio.Event()

    @asynccontextmanager
    async def open() -> AsyncGenerator[str]:
        await go.wait()
        yield "made"

    waiting = [asyncio.create_task(things.get("a", open)) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    go.set()
    assert await waiting[1] == "made"
    await things.close()


async def test_what_is_in_use_is_not_closed_and_nothing_new_is_made_meanwhile() -> None:
    log, things = Log(), LoopThings()
    await things.get("a", log.opening("a"))
    with things.in_use():
        closing = asyncio.create_task(things.close())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not closing.done()
        assert log.texts == ["open a"]
    await closing
    assert log.texts == ["open a", "close a"]


async def test_nothing_new_is_made_on_a_loop_that_ends() -> None:
    log, things, job_loop = Log(), LoopThings(), JobLoop()
    inside, found = threading.Event(), list[str | Exception]()

    async def hold() -> None:
        with things.in_use():
            await things.get("a", log.opening("a"))
            inside.set()
            try:
                await asyncio.Event().wait()
            finally:
                found.append(await things.get("a", log.opening("a")))
                try:
                    await things.get("b", log.opening("b"))
                except UnavailableError as error:
                    found.append(error)

    running = asyncio.create_task(job_loop.run(hold))
    assert await asyncio.to_thread(inside.wait, PATIENCE)
    await job_loop.close()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert found[0] == "a"
    assert isinstance(found[1], UnavailableError)
    assert found[1].code == "service-stopping"
    assert log.texts == ["open a", "close a"]


async def test_a_thing_that_is_being_made_when_the_loop_ends_is_given_up() -> None:
    things, begun = LoopThings(), asyncio.Event()

    @asynccontextmanager
    async def open() -> AsyncGenerator[str]:
        begun.set()
        await asyncio.Event().wait()
        yield "never"

    waiting = [asyncio.create_task(things.get(key, open)) for key in ("a", "b")]
    await begun.wait()
    await things.close()
    assert [type(each) for each in await asyncio.gather(*waiting, return_exceptions=True)] == [UnavailableError] * 2


async def test_what_cannot_be_closed_is_logged_and_the_others_are_closed(capsys: pytest.CaptureFixture[str]) -> None:
    log, things = Log(), LoopThings()

    @asynccontextmanager
    async def open() -> AsyncGenerator[str]:
        yield "made"
        raise OSError("no way to close it")

    await things.get("a", log.opening("a"))
    await things.get("b", open)
    await things.close()
    assert log.texts == ["open a", "close a"]
    assert "no way to close it" in capsys.readouterr().out


async def test_what_outlives_a_run_knows_nothing_of_it() -> None:
    things = LoopThings()

    @asynccontextmanager
    async def open() -> AsyncGenerator[str]:
        yield _VARIABLE.get()

    token = _VARIABLE.set("of a job")
    assert await things.get("a", open) == "none"
    _VARIABLE.reset(token)
    await things.close()
