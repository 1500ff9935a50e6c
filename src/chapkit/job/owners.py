"""Who works on jobs, and who of them is dead: locks that the operating system frees with the process."""

import fcntl
import hashlib
import os
from pathlib import Path
from typing import Protocol

from anyio import to_thread
from sqlalchemy import Interval, bindparam, func, select, text

from chapkit.core.database import Database
from chapkit.core.database_errors import translating
from chapkit.core.dedicated import DedicatedConnection
from chapkit.core.errors import ChapkitError
from chapkit.core.ids import ULID
from chapkit.job.claiming import LEASE

_PATIENCE = "2s"
_IS_YOUNG = select(func.now() - func.pg_postmaster_start_time() < bindparam("age", type_=Interval()))


class OwnerLocks(Protocol):
    """Locks that end with the process that holds them."""

    may_be_lost: bool
    """True where a process that lives may lose its lock for a while."""

    async def acquire(self, owner: ULID) -> str:
        """Take the lock of this process and return its name."""
        ...

    async def is_free(self, lock: str) -> bool | None:
        """Tell whether nobody holds the lock any more; `None` when that cannot be known."""
        ...

    async def were_lost(self) -> bool:
        """Tell whether processes that live may have lost theirs just now."""
        ...

    async def keep(self) -> None:
        """Take the own lock again, if it was lost."""
        ...

    async def release(self) -> None:
        """Give the own lock back."""
        ...

    async def remove(self, lock: str) -> None:
        """Clear away what a dead process has left."""
        ...


class FileLocks:
    """A locked file for each process, in a folder that all who share the database can see."""

    may_be_lost = False

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path: Path | None = None
        self._descriptor: int | None = None

    async def acquire(self, owner: ULID) -> str:
        """Take the lock of this process and return its name."""
        self._path = (self._folder / f"{owner}.lock").absolute()
        self._descriptor = await to_thread.run_sync(_lock_file, self._path)
        return str(self._path)

    async def is_free(self, lock: str) -> bool | None:
        """Tell whether nobody holds the lock any more; `None` when its file cannot be seen from here."""
        return await to_thread.run_sync(_is_file_free, Path(lock))

    async def were_lost(self) -> bool:
        """Return false: only the operating system frees them."""
        return False

    async def keep(self) -> None:
        """Make the own file again, if somebody has removed it."""
        if self._path is not None and not self._path.exists():
            lost = self._descriptor
            self._descriptor = await to_thread.run_sync(_lock_file, self._path)
            _close(lost)

    async def release(self) -> None:
        """Give the own lock back."""
        path, self._path = self._path, None
        if path is not None:
            path.unlink(missing_ok=True)
        descriptor, self._descriptor = self._descriptor, None
        _close(descriptor)

    async def remove(self, lock: str) -> None:
        """Remove the file of a dead process."""
        Path(lock).unlink(missing_ok=True)


class AdvisoryLocks:
    """A session lock of PostgreSQL, on a connection that does nothing else; a server that restarts forgets it."""

    may_be_lost = True

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: DedicatedConnection | None = None
        self._lock: str | None = None

    async def acquire(self, owner: ULID) -> str:
        """Take the lock of this process and return its name."""
        digest = hashlib.blake2b(owner.encode(), digest_size=8).digest()
        self._lock = str(int.from_bytes(digest, signed=True))
        await self._connect(self._lock)
        return self._lock

    async def is_free(self, lock: str) -> bool | None:
        """Tell whether nobody holds the lock any more."""
        with translating():
            async with self._database.engine.begin() as connection:
                # Held to the end of this short transaction only.
                return bool(await connection.scalar(text("SELECT pg_try_advisory_xact_lock(:n)"), {"n": int(lock)}))

    async def were_lost(self) -> bool:
        """Tell whether the server has started so lately that those who live may not have found it again."""
        with translating():
            async with self._database.engine.connect() as connection:
                return bool(await connection.scalar(_IS_YOUNG, {"age": LEASE}))

    async def keep(self) -> None:
        """Connect again, if the connection was lost; also when the last attempt to do so has failed."""
        if self._lock is None:
            return
        if self._connection is not None:
            try:
                await self._connection.scalar("SELECT 1")
            except ChapkitError:
                await self._close()
        if self._connection is None:
            await self._connect(self._lock)

    async def release(self) -> None:
        """Give the own lock back."""
        self._lock = None
        await self._close()

    async def remove(self, lock: str) -> None:
        """Do nothing: the server has cleared it away."""

    async def _connect(self, lock: str) -> None:
        connection = await DedicatedConnection.open(self._database)
        try:
            # The server may take the lost connection for alive, and its lock for held, longer than anybody can wait.
            await connection.scalar(f"SELECT set_config('lock_timeout', '{_PATIENCE}', false)")
            await connection.scalar("SELECT pg_advisory_lock(:number)", number=int(lock))
        except BaseException:
            await connection.close()
            raise
        self._connection = connection

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()


def owner_locks(database: Database) -> OwnerLocks:
    """Return the locks that suit the database."""
    if database.dialect == "sqlite":
        return FileLocks(database.data_dir / "owners")
    return AdvisoryLocks(database)


def _lock_file(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    # Waits for those who only look whether it is free.
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    return descriptor


def _is_file_free(path: Path) -> bool | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _close(descriptor: int | None) -> None:
    if descriptor is not None:
        os.close(descriptor)
