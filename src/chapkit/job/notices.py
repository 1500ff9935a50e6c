"""News of jobs between the processes that share a database."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from chapkit.core.database import Database
from chapkit.core.ids import ULID
from chapkit.core.sqlite import SqliteDatabase


@dataclass(frozen=True)
class News:
    """What another process has done to jobs; a hint, for the rows hold the truth."""

    waiting: bool = False
    """A job may be there to be taken."""
    changed: frozenset[ULID] = frozenset()
    """These jobs have news for those who watch them."""
    canceled: frozenset[ULID] = frozenset()
    """These jobs were asked to stop."""
    topics: frozenset[str] = frozenset()
    """These other things have changed: names that speaker and listener share."""
    anything: bool = False
    """Something was written, nobody knows what: look for all of the above."""


NewsHandler: TypeAlias = Callable[[News], None]


class Notices(Protocol):
    """Carries news from one process to the others; the own process hears in another way."""

    async def open(self, on_news: NewsHandler) -> None:
        """Listen from now on; `on_news` is called on the event loop."""
        ...

    def publish(self, news: News) -> None:
        """Tell the others soon; called on the event loop, after the commit."""
        ...

    async def close(self) -> None:
        """Send what waits, then listen no more."""
        ...


class NoNotices:
    """For a database that no other process sees."""

    async def open(self, on_news: NewsHandler) -> None:
        """Do nothing."""

    def publish(self, news: News) -> None:
        """Do nothing."""

    async def close(self) -> None:
        """Do nothing."""


def notices_for(database: Database) -> Notices:
    """Return what carries news between the processes that share this database."""
    if database.is_in_memory():
        return NoNotices()
    # Lazy: a service needs one of them at most.
    if isinstance(database, SqliteDatabase):
        from chapkit.job.notices_sqlite import SqliteNotices

        return SqliteNotices(database)
    from chapkit.job.notices_postgres import PostgresNotices

    return PostgresNotices(database)
