import asyncio
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from chapkit.web.turns import TurnMiddleware

MANY = 20


class Site:
    """An application that notes who has begun."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.app = TurnMiddleware(self._note)

    async def ask(self, method: str, name: str) -> None:
        await self.app({"type": "http", "method": method, "name": name}, _nothing, _nothing)

    def send(self, method: str, name: str) -> asyncio.Task[None]:
        return asyncio.create_task(self.ask(method, name))

    async def _note(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.append(scope["name"])


async def _nothing(*_: Any) -> Any:
    raise AssertionError("nobody sends or receives here")


@pytest.mark.anyio
async def test_a_question_waits_for_one_of_many_that_change_something() -> None:
    site = Site()
    changes = [site.send("POST", str(number)) for number in range(MANY)]
    await asyncio.sleep(0)
    await site.send("GET", "question")
    assert site.begun.index("question") <= 2
    await asyncio.gather(*changes)
    site.begun.remove("question")
    assert site.begun == [str(number) for number in range(MANY)]


@pytest.mark.anyio
async def test_one_alone_begins_at_once() -> None:
    site = Site()
    for number in range(3):
        await site.ask("DELETE", str(number))
    assert len(site.begun) == 3


@pytest.mark.anyio
async def test_who_gives_up_takes_nobodys_turn() -> None:
    site = Site()
    changes = [site.send("PUT", str(number)) for number in range(MANY)]
    await asyncio.sleep(0)
    for change in changes[5:15]:
        change.cancel()
    await asyncio.gather(*changes, return_exceptions=True)
    assert site.begun == [str(number) for number in range(MANY) if not 5 <= number < 15]
    await site.ask("PUT", "last")
    assert site.begun[-1] == "last"


@pytest.mark.anyio
async def test_other_than_requests_do_not_wait() -> None:
    seen: list[str] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(scope["type"])

    await TurnMiddleware(app)({"type": "websocket"}, _nothing, _nothing)
    assert seen == ["websocket"]


def test_what_waited_on_a_loop_that_is_gone_holds_up_nobody() -> None:
    site = Site()

    async def leave() -> None:
        site.send("POST", "first")
        waiting = site.send("POST", "second")
        await asyncio.sleep(0)
        waiting.cancel()

    async def return_later() -> None:
        async with asyncio.timeout(5):
            await site.ask("POST", "third")
            await site.ask("POST", "fourth")

    asyncio.run(leave())
    asyncio.run(return_later())
    assert site.begun[-2:] == ["third", "fourth"]
