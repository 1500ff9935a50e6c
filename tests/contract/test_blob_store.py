import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chapkit.artifact.files import FileBlobStore
from chapkit.artifact.models import Blob
from chapkit.artifact.stores import BlobRef, BlobStore, CompositeBlobStore, DatabaseBlobStore
from chapkit.core.database import Database
from chapkit.core.errors import IntegrityError, NotFoundError
from chapkit.core.sqlite import SqliteDatabase

pytestmark = pytest.mark.anyio

Opened = Callable[[], AbstractAsyncContextManager[BlobStore]]
KINDS = ("files", "sqlite", "postgres", "composite-sqlite", "composite-postgres")
LATER = timedelta(hours=2)
UNKNOWN = hashlib.sha256(b"nobody put this").hexdigest()


@pytest.fixture(params=KINDS)
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    """Yields what opens the store; for one in a database, every opening is a transaction."""
    if request.param == "files":

        @asynccontextmanager
        async def open_files() -> AsyncIterator[BlobStore]:
            yield FileBlobStore(tmp_path / "blobs")

        yield open_files
        return
    if request.param.endswith("postgres"):
        database: Database = Database(await asyncio.to_thread(request.getfixturevalue, "migrated_postgres_url"))
    else:
        database = SqliteDatabase(f"sqlite+aiosqlite:///{tmp_path / 'blobs.db'}")
    await database.init()

    @asynccontextmanager
    async def open_session() -> AsyncIterator[BlobStore]:
        session = database.open_session(write=True)
        try:
            small = DatabaseBlobStore(session)
            composite = request.param.startswith("composite")
            yield CompositeBlobStore(small, FileBlobStore(tmp_path / "blobs"), limit=100) if composite else small
            await session.commit()
        finally:
            await database.close_session(session)

    try:
        yield open_session
    finally:
        await database.dispose()


CONTENTS = [b"", b"a", b"\x00\xff" * 60, "Tromsø".encode(), os.urandom(3 * 1024 * 1024 + 7)]
SIZES = [len(content) for content in CONTENTS]


async def parts_of(content: bytes, size: int = 70_000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def read_open(store: BlobStore, ref: BlobRef, start: int = 0, end: int | None = None) -> bytes:
    return b"".join([part async for part in store.open(ref.sha256, start, end)])


@pytest.mark.parametrize("content", CONTENTS, ids=SIZES)
async def test_what_was_put_is_read(opened: Opened, content: bytes) -> None:
    async with opened() as store:
        ref = await store.put(content)
    assert ref == BlobRef(hashlib.sha256(content).hexdigest(), len(content))
    async with opened() as store:
        assert await store.exists(ref.sha256)
        assert await store.read(ref.sha256) == content
        assert await read_open(store, ref) == content


@pytest.mark.parametrize("content", CONTENTS, ids=SIZES)
async def test_pieces_are_put_as_one(opened: Opened, content: bytes) -> None:
    async with opened() as store:
        ref = await store.put(parts_of(content))
    async with opened() as store:
        assert ref == BlobRef.of(content)
        assert await store.read(ref.sha256) == content


@pytest.mark.parametrize("content", CONTENTS[2:], ids=SIZES[2:])
async def test_a_part_is_read(opened: Opened, content: bytes) -> None:
    size = len(content)
    async with opened() as store:
        ref = await store.put(content)
        for start, end in ((0, 1), (1, 3), (size - 1, size), (2, None), (0, size), (3, 3)):
            assert await read_open(store, ref, start, end) == content[start:end]


async def test_putting_twice_is_putting_once(opened: Opened) -> None:
    async with opened() as store:
        first = await store.put(b"the same")
    async with opened() as store:
        assert await store.put(b"the same") == first
        assert await store.put(parts_of(b"the same")) == first
        assert list(await store.list_older_than(datetime.now(UTC) + LATER)) == [first.sha256]


async def test_the_same_content_may_be_put_by_many_at_once(opened: Opened) -> None:
    content = os.urandom(200_000)

    async def put() -> BlobRef:
        async with opened() as store:
            return await store.put(content)

    refs = await asyncio.gather(*(put() for _ in range(8)))
    assert set(refs) == {BlobRef.of(content)}
    async with opened() as store:
        assert await store.read(refs[0].sha256) == content


@pytest.mark.parametrize("sha256", [UNKNOWN, "../../etc/passwd", ""])
async def test_what_is_not_there_is_missing(opened: Opened, sha256: str) -> None:
    async with opened() as store:
        with pytest.raises(NotFoundError) as caught:
            await store.read(sha256)
        assert caught.value.code == "content-missing"
        with pytest.raises(NotFoundError):
            await anext(store.open(sha256))


async def test_an_unknown_name_neither_exists_nor_is_deleted(opened: Opened) -> None:
    async with opened() as store:
        assert not await store.exists(UNKNOWN)
        assert not await store.delete(UNKNOWN)


@pytest.mark.parametrize("content", [b"short", os.urandom(2000)], ids=["short", "long"])
async def test_what_was_deleted_is_missing(opened: Opened, content: bytes) -> None:
    async with opened() as store:
        ref = await store.put(content)
    async with opened() as store:
        assert await store.delete(ref.sha256)
        assert not await store.exists(ref.sha256)


async def test_what_is_young_is_neither_listed_nor_deleted(opened: Opened) -> None:
    past = datetime.now(UTC) - LATER
    async with opened() as store:
        ref = await store.put(b"young")
    async with opened() as store:
        assert list(await store.list_older_than(past)) == []
        assert not await store.delete(ref.sha256, older_than=past)
        assert await store.exists(ref.sha256)


async def test_what_is_old_is_listed_and_deleted(opened: Opened) -> None:
    future = datetime.now(UTC) + LATER
    async with opened() as store:
        refs = [await store.put(content) for content in (b"one", os.urandom(2000))]
    async with opened() as store:
        assert sorted(await store.list_older_than(future)) == sorted(ref.sha256 for ref in refs)
        for ref in refs:
            assert await store.delete(ref.sha256, older_than=future)
        assert list(await store.list_older_than(future)) == []


async def test_putting_again_makes_young(opened: Opened) -> None:
    async with opened() as store:
        await store.put(b"old, then needed again")
    between = datetime.now(UTC)
    async with opened() as store:
        ref = await store.put(b"old, then needed again")
        assert ref.sha256 not in await store.list_older_than(between)
        assert not await store.delete(ref.sha256, older_than=between)


async def test_a_changed_row_is_corrupt(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite+aiosqlite:///{tmp_path / 'blobs.db'}")
    await database.init()
    async with database.session() as session:
        ref = await DatabaseBlobStore(session).put(b"right")
        await session.commit()
        blob = await session.get_one(Blob, ref.sha256, populate_existing=True)
        blob.content = b"wrong"
        await session.commit()
        with pytest.raises(IntegrityError) as caught:
            await DatabaseBlobStore(session).read(ref.sha256)
    await database.dispose()
    assert caught.value.code == "content-corrupt"


async def test_a_rolled_back_row_is_not_there(tmp_path: Path) -> None:
    database = SqliteDatabase(f"sqlite+aiosqlite:///{tmp_path / 'blobs.db'}")
    await database.init()
    async with database.session() as session:
        ref = await DatabaseBlobStore(session).put(b"regretted")
        await session.rollback()
        assert not await DatabaseBlobStore(session).exists(ref.sha256)
    await database.dispose()
