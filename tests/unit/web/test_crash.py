import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest
from starlette.types import Message, Receive, Scope, Send

from chapkit.web.crash import CrashMiddleware

pytestmark = pytest.mark.anyio


async def cancelled(*, is_stopping: bool, after_start: bool = False) -> list[Message]:
    """Return what is sent when a request is cancelled."""
    sent: list[Message] = []
    begun = asyncio.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if after_start:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        begun.set()
        await asyncio.Event().wait()

    async def receive() -> Message:
        raise AssertionError("nobody reads here")

    async def send(message: Message) -> None:
        sent.append(message)

    state = SimpleNamespace(is_stopping=is_stopping)
    scope: dict[str, Any] = {"type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b""}
    scope |= {"app": SimpleNamespace(state=state), "server": ("here", 80), "scheme": "http"}
    task = asyncio.create_task(CrashMiddleware(app)(scope, receive, send))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    return sent


async def test_who_is_cut_off_by_the_end_of_the_service_is_told_to_come_again() -> None:
    start, body = await cancelled(is_stopping=True)
    assert start["status"] == 503
    assert json.loads(body["body"])["code"] == "service-stopping"


async def test_who_is_cut_off_for_another_reason_hears_nothing_from_here() -> None:
    assert await cancelled(is_stopping=False) == []


async def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    assert [message["type"] for message in await cancelled(is_stopping=True, after_start=True)] == [
        "http.response.start"
    ]
