import errno
import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chapkit.artifact.files import FileBlobStore, _translate
from chapkit.artifact.stores import CHUNK, BlobRef
from chapkit.core.errors import ChapkitError, IntegrityError, NotFoundError, StorageFullError

pytestmark = pytest.mark.anyio
NOW = datetime.now(UTC)


def path_of(root: Path, ref: BlobRef) -> Path:
    return root / ref.sha256[:2] / ref.sha256[2:4] / ref.sha256


def all_files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


async def test_a_blob_lies_in_folders_named_by_its_start(tmp_path: Path) -> None:
    ref = await FileBlobStore(tmp_path).put(b"content")
    assert path_of(tmp_path, ref).read_bytes() == b"content"
    assert all_files(tmp_path) == [path_of(tmp_path, ref)]


async def test_a_changed_file_is_corrupt(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    ref = await store.put(b"content")
    path_of(tmp_path, ref).write_bytes(b"CONTENT")
    with pytest.raises(IntegrityError) as caught:
        await store.read(ref.sha256)
    assert caught.value.code == "content-corrupt"
    with pytest.raises(IntegrityError):
        await anext(store.open(ref.sha256))


async def test_an_emptied_file_is_corrupt(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    ref = await store.put(b"content")
    path_of(tmp_path, ref).write_bytes(b"")
    with pytest.raises(IntegrityError):
        await anext(store.open(ref.sha256))
    with pytest.raises(IntegrityError):
        await anext(store.open(ref.sha256, 2, 5))


async def test_the_last_piece_of_a_changed_file_is_never_handed_out(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    content = os.urandom(2 * CHUNK + 10)
    ref = await store.put(content)
    path_of(tmp_path, ref).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    received = bytearray()

    async def receive() -> None:
        async for part in store.open(ref.sha256):
            received.extend(part)

    with pytest.raises(IntegrityError):
        await receive()
    assert len(received) < len(content)


async def test_a_file_that_was_cut_off_is_written_again(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    ref = await store.put(b"content")
    path_of(tmp_path, ref).write_bytes(b"con")
    await store.put(b"content")
    assert await store.read(ref.sha256) == b"content"


async def test_a_source_that_fails_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"some"
        raise RuntimeError("the line went dead")

    with pytest.raises(RuntimeError, match="line went dead"):
        await FileBlobStore(tmp_path).put(broken())
    assert all_files(tmp_path) == []


async def test_what_interrupted_writes_left_is_cleared_when_it_is_old(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    leftover = tmp_path / ".new-0123456789abcdef"
    leftover.write_bytes(b"half of some")
    assert await store.list_older_than(NOW - timedelta(hours=2)) == []
    assert leftover.exists()
    assert await store.list_older_than(NOW + timedelta(hours=2)) == []
    assert not leftover.exists()


async def test_a_blob_whose_deletion_was_interrupted_comes_back(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path)
    ref = await store.put(b"content")
    path = path_of(tmp_path, ref)
    path.rename(path.with_name(f".old-{ref.sha256}-0011"))
    await store.list_older_than(NOW + timedelta(hours=2))
    assert await store.read(ref.sha256) == b"content"


async def test_a_young_blob_whose_deletion_was_interrupted_comes_back_at_once_and_is_still_young(
    tmp_path: Path,
) -> None:
    store = FileBlobStore(tmp_path)
    ref = await store.put(b"content")
    path = path_of(tmp_path, ref)
    path.rename(path.with_name(f".old-{ref.sha256}-0011"))
    assert await store.list_older_than(NOW - timedelta(hours=2)) == []
    assert await store.read(ref.sha256) == b"content"
    assert await store.list_older_than(NOW - timedelta(minutes=1)) == []


async def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README").write_text("mine")
    assert await FileBlobStore(tmp_path).list_older_than(NOW + timedelta(hours=2)) == []
    assert (tmp_path / "README").exists()


async def test_a_store_that_was_never_written_to_is_empty(tmp_path: Path) -> None:
    store = FileBlobStore(tmp_path / "nowhere")
    assert await store.list_older_than(NOW) == []
    with pytest.raises(NotFoundError):
        await store.read("0" * 64)
    assert not (tmp_path / "nowhere").exists()


async def test_a_folder_that_cannot_be_made_is_an_error_of_chapkit(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("a file stands in the way")
    with pytest.raises(ChapkitError) as caught:
        await FileBlobStore(tmp_path / "blobs").put(b"content")
    assert caught.value.code == "content-not-written"


async def test_a_full_disk_is_told_apart(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with open("/dev/full", "wb", buffering=0) as full, pytest.raises(OSError, match="space") as caught:
        full.write(b"content")
    error = _translate(caught.value)
    assert isinstance(error, StorageFullError)
    assert error.code == "disk-full"
    assert not isinstance(_translate(OSError(errno.EACCES, "denied")), StorageFullError)
