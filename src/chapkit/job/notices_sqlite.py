"""News between processes that share a SQLite file: a light look at whether anybody has committed."""

import asyncio
import os
import sqlite3
from urllib.parse import quote

from chapkit.core.logging import get_logger
from chapkit.core.sqlite import SqliteDatabase
from chapkit.job.notices import News, NewsHandler

LOOK_EVERY = 0.01
"""Seconds between two looks while something happens."""
IDLE_FACTOR = 10
"""So many times longer are the pauses when nothing was committed lately.

Waking an idle process and looking costs a quarter of a millisecond, so both together take 0.3 % of a processor.
"""
_QUICK_AFTER_NEWS = 30
_QUICK_AFTER_OWN = 10
_LOOKS_UNTIL_SURE = 25
_LOOKS_UNTIL_CHECK = 40


class SqliteNotices:
    """Asks SQLite, many times a second, whether the file has changed.

    SQLite tells that something was committed, not by whom. So this process asks at the begin and at the end of each of
    its own writing transactions, too: what has changed in between is its own, everything else was written by others.
    Only what another process commits right between a commit of ours and the question after it goes unseen; therefore
    a process that has written looks for news once more a little later.
    """

    def __init__(self, database: SqliteDatabase, every: float = LOOK_EVERY) -> None:
        self.looks = 0
        self._database = database
        self._every = every
        self._on_news: NewsHandler | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None
        self._version = 0
        self._is_writing = False
        self._has_written = False
        self._is_news = False
        self._quick = 0
        self._sure_at: float | None = None

    @property
    def pause(self) -> float:
        """Seconds to the next look."""
        return self._every * (1 if self._quick > 0 else IDLE_FACTOR)

    async def open(self, on_news: NewsHandler) -> None:
        """Listen from now on; `on_news` is called on the event loop."""
        self._on_news = on_news
        try:
            self._connect()
        except sqlite3.Error as error:
            self._lose(error)
        self._database.bystander = self
        self._timer = asyncio.get_running_loop().call_later(self._every, self._tick)

    def publish(self, news: News) -> None:
        """Do nothing: the commit itself is what others see."""

    def begun(self) -> None:
        """Take what was committed until now for news of others, and what comes for our own."""
        self._look()
        self._is_writing = True

    def ended(self) -> None:
        """Take what was committed meanwhile for our own."""
        self._is_writing = False
        self._has_written = True
        is_news, self._is_news = self._is_news, False
        self._look()
        self._is_news = is_news

    async def close(self) -> None:
        """Listen no more."""
        if self._database.bystander is self:
            self._database.bystander = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._disconnect()

    def _tick(self) -> None:
        self.looks += 1
        if self._is_replaced():
            self._disconnect()
        if not self._is_writing:
            self._look()
        clock = asyncio.get_running_loop()
        is_due = self._take_news(clock.time())
        self._timer = clock.call_later(self.pause, self._tick)
        if is_due and self._on_news is not None:
            self._on_news(News(anything=True))

    def _take_news(self, now: float) -> bool:
        is_due = self._is_news or (self._sure_at is not None and self._sure_at <= now)
        if self._is_news:
            self._quick = _QUICK_AFTER_NEWS
        else:
            self._quick = max(self._quick - 1, _QUICK_AFTER_OWN if self._has_written else 0)
        if is_due:
            self._sure_at = None
        elif self._has_written and self._sure_at is None:
            self._sure_at = now + self._every * _LOOKS_UNTIL_SURE
        self._is_news = self._has_written = False
        return is_due

    def _look(self) -> None:
        try:
            self._is_news |= self._has_changed()
        except sqlite3.Error as error:
            # A file that is locked is looked at again soon.
            if getattr(error, "sqlite_errorcode", 0) & 0xFF not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                self._lose(error)

    def _has_changed(self) -> bool:
        if self._connection is None:
            self._connect()
            return self._connection is not None
        before, self._version = self._version, self._read(self._connection)
        return self._version != before

    def _is_replaced(self) -> bool:
        if self.looks % _LOOKS_UNTIL_CHECK:
            return False
        return self._identify() != self._identity

    def _connect(self) -> None:
        """Open the file if it is there; one that is not there is not made."""
        self._identity = self._identify()
        if self._identity is None:
            return
        address = f"file:{quote(str(self._database.path))}?mode=rw"
        connection = sqlite3.connect(address, uri=True, timeout=0, isolation_level=None)
        try:
            self._version = self._read(connection)
        except sqlite3.Error:
            connection.close()
            raise
        self._connection = connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _lose(self, error: sqlite3.Error) -> None:
        # The next look connects again, and takes that for news.
        if self._connection is not None:
            get_logger("chapkit.job").warning("job.notices_lost", error=str(error))
        self._disconnect()

    def _identify(self) -> tuple[int, int] | None:
        try:
            there = os.stat(self._database.path)
        except OSError:
            return None
        return there.st_dev, there.st_ino

    def _read(self, connection: sqlite3.Connection) -> int:
        version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        return version
