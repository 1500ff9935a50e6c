"""News between processes that share a PostgreSQL database: `NOTIFY`, and a connection that listens."""

import asyncio
from contextlib import suppress
from typing import Any

from pydantic_core import from_json, to_json

from chapkit.core.database import Database
from chapkit.core.errors import InvalidULIDError, UnavailableError
from chapkit.core.ids import ULID
from chapkit.core.logging import get_logger
from chapkit.core.workers import Backoff
from chapkit.job.listeners import Listener, listener_on
from chapkit.job.notices import News, NewsHandler

HEARTBEAT = 30.0
"""Seconds of silence after which the connection is tried."""
GATHER = 0.005
"""Seconds between two messages; what happens meanwhile goes into one."""
_MOST_BYTES = 7900
_MOST_NAMES = 1000
_GOODBYE = 2.0
_NOTHING = News()
_ANYTHING = News(anything=True)


class PostgresNotices:
    """Tells the others through the server, and listens on a connection of its own.

    While that connection is lost nobody hears anything; when it is back, both sides are told to look for themselves.
    """

    def __init__(self, database: Database, backoff: Backoff | None = None, heartbeat: float = HEARTBEAT) -> None:
        self.losses = 0
        self._database = database
        self._backoff = backoff or Backoff(first=0.1, factor=2.0, longest=5.0)
        self._heartbeat = heartbeat
        self._sender = str(ULID())
        self._on_news: NewsHandler | None = None
        self._pending = _NOTHING
        self._stirred = asyncio.Event()
        self._closing = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def open(self, on_news: NewsHandler) -> None:
        """Listen from now on; `on_news` is called on the event loop. A server that is away is waited for later."""
        self._on_news = on_news
        self._closing.clear()
        self._tried.clear()
        self._task = asyncio.create_task(self._run(), name="chapkit:job-notices")
        await self._tried.wait()

    def publish(self, news: News) -> None:
        """Tell the others soon; called on the event loop, after the commit."""
        self._pending = _merge(self._pending, news)
        self._stirred.set()

    async def close(self) -> None:
        """Send what waits, then listen no more."""
        self._closing.set()
        self._stirred.set()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait([task], timeout=_GOODBYE)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _run(self) -> None:
        failures = 0
        while not self._closing.is_set():
            try:
                async with listener_on(self._database, self._hear, self._stirred.set) as listener:
                    failures = 0
                    if self._tried.is_set():
                        self._catch_up()
                    self._tried.set()
                    await self._serve(listener)
            except Exception as error:
                # Drivers have errors of their own; whatever it is, there is nothing else to do than to connect again.
                self.losses += 1
                self._tried.set()
                get_logger("chapkit.job").warning("job.notices_lost", error=f"{type(error).__name__}: {error}")
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._backoff.delay(failures)):
                        await self._closing.wait()
                failures += 1

    async def _serve(self, listener: Listener) -> None:
        while not (self._closing.is_set() and self._pending == _NOTHING):
            with suppress(TimeoutError):
                async with asyncio.timeout(self._heartbeat):
                    await self._stirred.wait()
            is_silent = not self._stirred.is_set()
            self._stirred.clear()
            if listener.is_lost:
                raise UnavailableError("The server has closed the connection", code="database-unreachable")
            news, self._pending = self._pending, _NOTHING
            if is_silent or news != _NOTHING:
                # A message without news tells whether the server still answers.
                await listener.send(_encode(self._sender, news))
                await asyncio.sleep(GATHER)

    def _catch_up(self) -> None:
        self.publish(_ANYTHING)
        self._tell(_ANYTHING)

    def _hear(self, payload: str) -> None:
        news = _decode(payload, self._sender)
        if news != _NOTHING:
            self._tell(news)

    def _tell(self, news: News) -> None:
        if self._on_news is not None:
            self._on_news(news)


def _merge(one: News, other: News) -> News:
    if one.anything or other.anything:
        return _ANYTHING
    merged = News(
        one.waiting or other.waiting,
        one.changed | other.changed,
        one.canceled | other.canceled,
        one.topics | other.topics,
    )
    return merged if len(merged.changed) + len(merged.canceled) <= _MOST_NAMES else _ANYTHING


def _encode(sender: str, news: News) -> str:
    message: dict[str, Any] = {"from": sender}
    if news.anything:
        message["anything"] = True
    if news.waiting:
        message["waiting"] = True
    if news.changed:
        message["changed"] = sorted(news.changed)
    if news.canceled:
        message["canceled"] = sorted(news.canceled)
    if news.topics:
        message["topics"] = sorted(news.topics)
    payload = to_json(message)
    return payload.decode() if len(payload) <= _MOST_BYTES else _encode(sender, _ANYTHING)


def _decode(payload: str, own: str) -> News:
    """Return the news; one's own are none, and what cannot be read may mean anything."""
    try:
        message = from_json(payload)
        if message["from"] == own:
            return _NOTHING
        return News(
            bool(message.get("waiting")),
            frozenset(map(ULID, message.get("changed", ()))),
            frozenset(map(ULID, message.get("canceled", ()))),
            frozenset(map(str, message.get("topics", ()))),
            bool(message.get("anything")),
        )
    except (ValueError, TypeError, LookupError, AttributeError, InvalidULIDError):
        return _ANYTHING
