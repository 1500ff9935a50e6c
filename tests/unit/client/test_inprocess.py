import asyncio
import gzip
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from chapkit.client.client import AsyncClient, Client
from chapkit.client.errors import ClientError, TimedOut

pytestmark = pytest.mark.anyio


class App:
    """A small ASGI application that notes what happens to it."""

    def __init__(
        self,
        *,
        start_error: Exception | None = None,
        stop_error: Exception | None = None,
        failed: bool = False,
        knows_lifespan: bool = True,
    ) -> None:
        self.events: list[str] = []
        self.threads: set[int] = set()
        self.start_error = start_error
        self.stop_error = stop_error
        self.failed = failed
        self.knows_lifespan = knows_lifespan

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.threads.add(threading.get_ident())
        if scope["type"] == "lifespan":
            if self.knows_lifespan:
                await self._live(scope, receive, send)
        else:
            await self._answer(scope, send)

    async def _live(self, scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "lifespan.startup"
        if self.failed:
            await send({"type": "lifespan.startup.failed", "message": "no disk"})
        if self.start_error is not None:
            raise self.start_error
        if self.failed:
            return
        self.events.append("started")
        scope["state"]["answer"] = "42"
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        self.events.append("stopped")
        if self.stop_error is not None:
            raise self.stop_error
        await send({"type": "lifespan.shutdown.complete"})

    async def _answer(self, scope: Any, send: Any) -> None:
        if scope["path"] == "/crash":
            raise ValueError("inside")
        if scope["path"] == "/hang":
            await asyncio.Event().wait()
        self.events.append(scope["path"])
        body = gzip.compress(str(scope["state"].get("answer", "none")).encode())
        headers = [(b"content-type", b"text/plain"), (b"content-encoding", b"gzip")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


def test_the_application_lives_between_enter_and_exit() -> None:
    app = App()
    with Client(app=app) as client:
        assert app.events == ["started"]
        assert client.request("GET", "/a").text == "42"
        assert client.request("GET", "/b").text == "42"
    assert app.events == ["started", "/a", "/b", "stopped"]


def test_the_application_runs_in_one_other_thread() -> None:
    app = App()
    with Client(app=app) as client:
        client.request("GET", "/a")
    assert len(app.threads) == 1
    assert threading.get_ident() not in app.threads
    assert not any(thread.name == "chapkit.client" for thread in threading.enumerate())


def test_without_with_the_first_request_starts_the_application() -> None:
    app = App()
    client = Client(app=app)
    assert app.events == []
    client.request("GET", "/a")
    client.close()
    client.close()
    assert app.events == ["started", "/a", "stopped"]


def test_many_threads_share_one_application() -> None:
    app = App()
    with Client(app=app) as client:
        threads = [threading.Thread(target=client.request, args=("GET", "/a")) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert app.events.count("/a") == 8
    assert app.events.count("started") == 1


def test_a_failed_start_raises_its_error_and_leaves_no_thread() -> None:
    with pytest.raises(LookupError, match="no table"):
        with Client(app=App(start_error=LookupError("no table"), failed=True)):
            pass
    assert not any(thread.name == "chapkit.client" for thread in threading.enumerate())


def test_a_start_that_failed_can_be_tried_again() -> None:
    app = App(start_error=LookupError("no table"))
    client = Client(app=app)
    with pytest.raises(LookupError):
        client.request("GET", "/a")
    app.start_error = None
    assert client.request("GET", "/a").status_code == 200
    client.close()


def test_a_start_that_only_reports_its_failure_is_an_error_too() -> None:
    with pytest.raises(ClientError, match="did not start: no disk"):
        with Client(app=App(failed=True)):
            pass


def test_an_error_at_the_end_is_raised_and_leaves_no_thread() -> None:
    with pytest.raises(LookupError, match="late"):
        with Client(app=App(stop_error=LookupError("late"))):
            pass
    assert not any(thread.name == "chapkit.client" for thread in threading.enumerate())


def test_an_application_without_a_lifespan_is_served() -> None:
    with Client(app=App(knows_lifespan=False)) as client:
        assert client.request("GET", "/a").text == "none"


def test_a_crash_is_an_answer() -> None:
    with Client(app=App()) as client:
        assert client.request("GET", "/crash").status_code == 500


def test_the_time_limit_holds_in_process_too() -> None:
    with Client(app=App(), timeout=0.01) as client, pytest.raises(TimedOut, match=r"within 0\.01 s"):
        client.request("GET", "/hang")


def test_a_client_that_nobody_closed_stops_its_application_with_the_process(tmp_path: Path) -> None:
    program = f"""
from pathlib import Path
from chapkit.client import Client

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        await send({{"type": "lifespan.startup.complete"}})
        await receive()
        Path({str(tmp_path / "stopped")!r}).touch()
        await send({{"type": "lifespan.shutdown.complete"}})
    else:
        await send({{"type": "http.response.start", "status": 204, "headers": []}})
        await send({{"type": "http.response.body"}})

Client(app=app).request("GET", "/")
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert (tmp_path / "stopped").exists()


async def test_the_async_client_uses_the_running_loop() -> None:
    app = App()
    async with AsyncClient(app=app) as client:
        assert (await client.request("GET", "/a")).text == "42"
    assert app.events == ["started", "/a", "stopped"]
    assert app.threads == {threading.get_ident()}


async def test_the_async_client_can_be_closed_in_another_task() -> None:
    app = App()
    client = await asyncio.create_task(AsyncClient(app=app).__aenter__())
    await asyncio.create_task(client.close())
    assert app.events == ["started", "stopped"]


async def test_the_async_client_asks_for_async_with() -> None:
    with pytest.raises(ClientError, match="async with AsyncClient"):
        await AsyncClient(app=App()).request("GET", "/a")


async def test_a_failed_start_of_the_async_client_raises_its_error() -> None:
    with pytest.raises(LookupError, match="no table"):
        async with AsyncClient(app=App(start_error=LookupError("no table"))):
            pass


async def test_a_blocking_client_works_while_a_loop_runs() -> None:
    with Client(app=App()) as client:
        assert client.request("GET", "/a").text == "42"
