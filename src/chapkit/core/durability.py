"""What a commit survives: the end of the process, or a power cut as well."""

import asyncio
import errno
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import Session, SessionTransaction
from sqlalchemy.util import await_only

from chapkit.core.errors import ChapkitError, ConfigurationError, StorageFullError, UnavailableError
from chapkit.core.faults import reach

Durability: TypeAlias = Literal["process", "power", "server"]
"""`process`: survives the end of the process. `power`: a power cut, too. `server`: as the database server is set."""

_CHOICES = ("process", "power")
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_PATIENCE = 5.0
_UNSURE = (
    "The change is stored, but the disk has not confirmed it, so that a power cut may undo it; "
    "look at the disk, then repeat the request"
)
# Only macOS has it: there fsync leaves the data in the cache of the drive.
_FULLFSYNC: Final[int | None] = getattr(fcntl, "F_FULLFSYNC", None)
_sync_data: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


def check_durability(wanted: str) -> Durability:
    """Return what a database can be asked for.

    Raises:
        ConfigurationError: It is none of `process` and `power` (`durability-unknown`).
    """
    if wanted in _CHOICES:
        return cast("Durability", wanted)
    raise ConfigurationError(
        f"durability={wanted!r} is unknown; 'process' survives the end of the process, 'power' a power cut as well",
        code="durability-unknown",
        found=wanted,
        expected=_CHOICES,
    )


def sync_file(descriptor: int) -> None:
    """Return when the bytes of an open file are on the disk; blocks."""
    if _FULLFSYNC is not None:
        try:
            fcntl.fcntl(descriptor, _FULLFSYNC)
            return
        except OSError as error:
            # Network drives do not have it.
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
    _sync_data(descriptor)


def sync_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk; blocks."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(folder: Path) -> None:
    """Make a folder, and those above it, so that a power cut leaves them there; blocks."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for made in missing:
        sync_folder(made.parent)


_SKIPS = "skips_sync"
_COMMITTED = "committed"


def skip_sync(session: AsyncSession) -> None:
    """Let the commits of this session not wait for the disk: nobody was told of what they write."""
    session.info[_SKIPS] = True


class LogSync:
    """Brings the write-ahead log of a SQLite file to the disk, once for all commits that wait for it.

    A round covers every commit that was done before it began. Commits that come later wait for the next one, which
    begins when this one has ended: a hundred writers at once need a round or two.
    """

    def __init__(self, path: Path) -> None:
        self.rounds = 0
        self._path = path
        self._log = path.with_name(f"{path.name}-wal")
        self._descriptor: int | None = None
        self._in_doubt = False
        self._next: asyncio.Future[Exception | None] | None = None
        self._running: asyncio.Future[Exception | None] | None = None
        # A thread of its own: the common ones may all be busy with something slow.
        self._thread: ThreadPoolExecutor | None = None

    async def wait(self) -> None:
        """Return when everything that is committed now is on the disk.

        Raises:
            StorageFullError: The disk had no room to do so (`disk-full`).
            UnavailableError: The disk has failed (`commit-not-synced`).
        """
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            if self._running is None:
                # Not at once: whoever commits in this turn of the loop comes along.
                self._running = self._next
                loop.call_soon(self._begin)
        # Whoever is cancelled leaves the others waiting.
        failure = await asyncio.shield(self._next)
        if failure is not None:
            raise _explain(failure) from failure

    def watch(self, sessions: type[Session]) -> None:
        """Let each commit of such a session wait for the disk, after its connection was given back."""
        event.listen(sessions, "after_commit", self._committed)
        event.listen(sessions, "after_transaction_end", self._ended)

    async def close(self) -> None:
        """Wait for those who wait, then let go of the file."""
        while self._running is not None:
            await asyncio.wait([self._running])
        if self._thread is not None:
            self._thread.shutdown()
            self._thread = None
        self._forget()

    def sync(self) -> Exception | None:
        """Bring the log to the disk; return what went wrong. Blocks."""
        try:
            reach("durability.before-sync")
            if self._in_doubt:
                self._carry_over()
            elif (descriptor := self._open()) is not None:
                sync_file(descriptor)
            reach("durability.after-sync")
        except Exception as error:
            # Whatever it is: those who wait have to hear of it.
            self._in_doubt = True
            return error
        self._in_doubt = False
        return None

    def _committed(self, session: Session) -> None:
        if not session.info.get(_SKIPS, False):
            session.info[_COMMITTED] = True

    def _ended(self, session: Session, transaction: SessionTransaction) -> None:
        # Only now may the next writer begin, so that he comes along in the same round.
        if transaction.parent is None and session.info.pop(_COMMITTED, False):
            await_only(self.wait())

    def _begin(self) -> None:
        waiting, self._next = self._next, None
        if waiting is None:
            self._running = None
            return
        self._running = waiting
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="chapkit-sync")
        self.rounds += 1
        work = asyncio.get_running_loop().run_in_executor(self._thread, self.sync)
        work.add_done_callback(lambda done: self._end(done, waiting))

    def _end(self, done: asyncio.Future[Exception | None], waiting: asyncio.Future[Exception | None]) -> None:
        waiting.set_result(done.result())
        self._begin()

    def _open(self) -> int | None:
        """Return the log as it is now, or nothing where there is none."""
        try:
            present = os.stat(self._log)
        except FileNotFoundError:
            # Whoever closed the last connection has carried it over into the database, and synced that.
            self._forget()
            return None
        if self._descriptor is not None and not os.path.samestat(present, os.fstat(self._descriptor)):
            self._forget()
        if self._descriptor is None:
            # SQLite has no locks on this file, so closing it some day takes none away.
            self._descriptor = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
            sync_folder(self._log.parent)
        return self._descriptor

    def _carry_over(self) -> None:
        # After a failed sync the system may take lost pages for written ones, and the next sync succeeds without them.
        # Copying all of the log into the database, which is synced then, needs no trust in it.
        with closing(sqlite3.connect(self._path, timeout=_PATIENCE)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            busy, pages, carried = connection.execute("PRAGMA wal_checkpoint(FULL)").fetchone()
        if busy or pages != carried:
            raise OSError(errno.EBUSY, "the write-ahead log could not be carried over")
        self._forget()

    def _forget(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)


def _explain(failure: Exception) -> ChapkitError:
    is_full = isinstance(failure, OSError) and failure.errno in _FULL
    if is_full or getattr(failure, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
        return StorageFullError(_UNSURE, code="disk-full")
    return UnavailableError(_UNSURE, code="commit-not-synced")
