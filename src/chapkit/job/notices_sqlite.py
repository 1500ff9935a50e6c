"""News between processes that share a SQLite file: a light look at whether anybody has committed."""

import asyncio
import os
import sqlite3
from urllib.parse import quote

from chapkit.core.logging import get_logger
from chapkit.core.sqlite import SqliteDatabase
from chapkit.job.notices import News, NewsHandler

LOOK_EVERY = 0.025
"""Seconds between two looks."""
IDLE_FACTOR = 4
"""So many times longer are the pauses when nothing was committed in the last looks.

Waking an idle process costs more than the look itself (about twenty microseconds); with these pauses both together
take less than 0.2 % of a processor.
"""
_LOOKS_UNTIL_IDLE = 40
_LOOKS_WHEN_BUSY = 10
_LOOKS_UNTIL_CHECK = 40


class SqliteNotices:
    """Asks SQLite, many times a second, whether the file has changed.

    SQLite tells that something was committed, not by whom. When this process has written nothing since the last look,
    it was another one, and that is told at once. When it has, it may have been this one alone; that is told ten looks
    later at the latest, so that a busy process does not wake everybody for each of its own commits.
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
        self._own = 0
        self._unsure = 0
        self._quiet = 0

    @property
    def pause(self) -> float:
        """Seconds to the next look."""
        return self._every * (IDLE_FACTOR if self._quiet > _LOOKS_UNTIL_IDLE else 1)

    async def open(self, on_news: NewsHandler) -> None:
        """Listen from now on; `on_news` is called on the event loop."""
        self._on_news = on_news
        try:
            self._connect()
        except sqlite3.Error as error:
            self._lose(error)
        self._own = self._database.transactions
        self._timer = asyncio.get_running_loop().call_later(self._every, self._tick)

    def publish(self, news: News) -> None:
        """Do nothing: the commit itself is what others see."""

    async def close(self) -> None:
        """Listen no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._disconnect()

    def _tick(self) -> None:
        self.looks += 1
        own, self._own = self._own, self._database.transactions
        try:
            changed = self._has_changed()
        except sqlite3.Error as error:
            changed = False
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                # What this process has written meanwhile is seen in the next look only.
                self._own = own
            else:
                self._lose(error)
        self._quiet = 0 if changed else self._quiet + 1
        self._timer = asyncio.get_running_loop().call_later(self.pause, self._tick)
        if self._is_due(changed, own == self._own) and self._on_news is not None:
            self._on_news(News(anything=True))

    def _is_due(self, changed: bool, foreign: bool) -> bool:
        if changed and foreign:
            self._unsure = 0
            return True
        if self._unsure > 0:
            self._unsure -= 1
            return self._unsure == 0
        if changed:
            self._unsure = _LOOKS_WHEN_BUSY
        return False

    def _has_changed(self) -> bool:
        if self._connection is None or self._is_replaced():
            self._disconnect()
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
