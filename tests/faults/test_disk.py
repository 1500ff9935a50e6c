import asyncio
import errno
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chapkit.core import durability
from chapkit.core.durability import LogSync
from chapkit.core.errors import StorageFullError, UnavailableError
from chapkit.core.sqlite import SqliteDatabase
from tests.faults.work_service import Caller, calling

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(100)]
ROOT = Path(__file__).parents[2]


class SmallDisk:
    """A disk of its own, as large as a few hundred jobs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "service.db"
        self.url = f"sqlite:///{self.path}"
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        with self._ballast.open("ab", buffering=0) as file:
            for size in (65536, 4096, 512, 1):
                with pytest.raises(OSError, match="No space left"):  # noqa: PT012  # written until it is full
                    while file.write(b"x" * size):
                        pass

    def clear(self) -> None:
        self._ballast.unlink()


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder that is a small disk in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if shutil.which("mount") is None or sys.platform != "linux":
        pytest.skip("small disks are made with Linux's mount")
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)], capture_output=True)
    if made.returncode:
        pytest.skip(f"mounting a small disk is not permitted: {made.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(mount: Path) -> SmallDisk:
    return SmallDisk(mount)


async def _submit_until_refused(caller: Caller) -> None:
    async with asyncio.timeout(60):
        while await caller.submit():
            pass


async def test_a_full_disk_refuses_jobs_with_507_and_loses_none(small_disk: SmallDisk) -> None:
    async with calling(small_disk.url) as caller:
        await caller.submit()
        small_disk.fill()
        await _submit_until_refused(caller)
        for _ in range(3):
            await caller.submit()
        assert caller.reasons == {(507, "disk-full")}
        assert (await caller.client.get("/api/v1/jobs?limit=5")).status_code == 200
        small_disk.clear()
        await caller.until_accepted()
        await caller.until_all_have_one_result()


async def test_a_disk_that_is_full_at_the_start_says_so(small_disk: SmallDisk) -> None:
    small_disk.fill()
    database = SqliteDatabase(small_disk.url)
    with pytest.raises(StorageFullError) as raised:
        await database.init()
    assert raised.value.code == "disk-full"
    await database.dispose()
    small_disk.clear()
    database = SqliteDatabase(small_disk.url)
    await database.init()
    await database.dispose()


class Disk:
    """Syncs files, or fails to."""

    def __init__(self) -> None:
        self.broken = False

    def sync(self, descriptor: int) -> None:
        if self.broken:
            raise OSError(errno.EIO, "Input/output error")
        os.fsync(descriptor)


async def test_a_disk_that_confirms_nothing_accepts_no_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk()
    carry_over = LogSync._carry_over

    def carry_over_if_possible(log: LogSync) -> None:
        disk.sync(0) if disk.broken else carry_over(log)

    monkeypatch.setattr(durability, "sync_file", disk.sync)
    monkeypatch.setattr(LogSync, "_carry_over", carry_over_if_possible)
    async with calling(f"sqlite:///{tmp_path / 'service.db'}", durability="power") as caller:
        assert (await caller.client.get("/api/v1/system")).json()["durability"] == "power"
        assert await caller.submit()
        disk.broken = True
        for _ in range(3):
            assert not await caller.submit()
        assert caller.reasons == {(503, "commit-not-synced")}
        disk.broken = False
        await caller.until_accepted()
        await caller.until_all_have_one_result()


async def test_a_database_that_became_read_only_refuses_jobs_and_goes_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    switch = ReadOnlySwitch(monkeypatch)
    async with calling(f"sqlite:///{tmp_path / 'service.db'}") as caller:
        assert await caller.submit()
        switch.is_on = True
        for _ in range(3):
            assert not await caller.submit()
        assert caller.reasons == {(503, "database-read-only")}
        assert {problem["retry-after"] for problem in caller.refusals} == {"1"}
        assert (await caller.client.get("/api/v1/jobs")).status_code == 200
        switch.is_on = False
        await caller.until_accepted()
        await caller.until_all_have_one_result()


class ReadOnlySwitch:
    """Lets SQLite refuse every write, as the system does once a disk has failed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_on = False
        begin = SqliteDatabase._begin

        def begin_as_told(database: SqliteDatabase, connection: Any) -> None:
            sqlite = connection.connection.driver_connection._conn
            sqlite.execute(f"PRAGMA query_only={'ON' if self.is_on else 'OFF'}")
            begin(database, connection)

        monkeypatch.setattr(SqliteDatabase, "_begin", begin_as_told)


async def test_a_disk_that_is_read_only_at_the_start_is_an_error_that_says_so(small_disk: SmallDisk) -> None:
    await _make(small_disk.path)
    remount = ["mount", "-o", "remount,ro", str(small_disk.folder)]
    subprocess.run(remount, check=True)
    database = SqliteDatabase(small_disk.url)
    with pytest.raises(UnavailableError) as raised:
        await database.init()
    assert raised.value.code == "database-unreachable"
    assert "rights" in str(raised.value)
    await database.dispose()


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root may become somebody else")
def test_a_file_that_belongs_to_somebody_else_is_an_error_that_says_so() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        path = folder / "service.db"
        asyncio.run(_make(path))
        path.chmod(0o444)
        outcome = subprocess.run(
            [sys.executable, "-c", OPEN_AS_NOBODY, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
        )
    assert outcome.stdout.strip() == "database-read-only", outcome.stderr


OPEN_AS_NOBODY = """
import asyncio, os, sys
from chapkit.core.errors import UnavailableError
from chapkit.core.sqlite import SqliteDatabase
from chapkit.core.services import Services
from tests.things import Thing, services_over

async def main():
    database = SqliteDatabase(f"sqlite:///{sys.argv[1]}")
    os.setgid(65534)
    os.setuid(65534)
    try:
        await database.init()
    except UnavailableError as error:
        print(error.code)
    await database.dispose()

asyncio.run(main())
"""


async def _make(path: Path) -> None:
    database = SqliteDatabase(f"sqlite:///{path}")
    await database.init()
    await database.dispose()
