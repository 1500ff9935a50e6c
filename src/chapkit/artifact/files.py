"""Blobs as files, for contents that are too large for the database."""

import errno
import hashlib
import os
import re
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import BinaryIO

from anyio import to_thread

from chapkit.artifact.stores import CHUNK, BlobRef, corrupt, missing, verified
from chapkit.core.durability import make_folder, sync_file, sync_folder
from chapkit.core.errors import ChapkitError, StorageFullError
from chapkit.core.faults import reach

_is_name = re.compile(r"[0-9a-f]{64}").fullmatch
_TEMPORARY = ".new-"
_CONDEMNED = ".old-"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class FileBlobStore:
    """Keeps each blob in a file of its own; all work on files is done in threads."""

    def __init__(self, root: Path | str) -> None:
        self.root = Path(root)

    async def put(self, content: bytes | AsyncIterable[bytes]) -> BlobRef:
        """Keep the bytes; those that are there already count as new for `list_older_than`."""
        if isinstance(content, bytes):
            return await to_thread.run_sync(self._put_bytes, content)
        writer = await to_thread.run_sync(_Writer, self.root, self.root)
        try:
            async for part in content:
                await to_thread.run_sync(writer.write, part)
            return await to_thread.run_sync(self._finish, writer)
        finally:
            writer.discard()

    async def read(self, sha256: str) -> bytes:
        """Return the bytes, verified."""
        return await to_thread.run_sync(self._read, sha256)

    async def open(self, sha256: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Return the bytes from `start` up to and without `end`, piece by piece."""
        file = await to_thread.run_sync(self._open, sha256, start)
        try:
            if start == 0 and end is None:
                async for part in _verified_parts(file, sha256):
                    yield part
                return
            left = end - start if end is not None else None
            while left is None or left > 0:
                part = await to_thread.run_sync(file.read, CHUNK if left is None else min(CHUNK, left))
                if not part and left is not None:
                    raise corrupt(sha256)
                if not part:
                    return
                left = left - len(part) if left is not None else None
                yield part
        finally:
            file.close()

    async def exists(self, sha256: str) -> bool:
        """Tell whether the bytes are here."""
        return await to_thread.run_sync(self._path(sha256).is_file)

    async def delete(self, sha256: str, older_than: datetime | None = None) -> bool:
        """Forget the bytes, unless they were put since `older_than`; tell whether they are gone now."""
        return await to_thread.run_sync(self._delete, self._path(sha256), older_than)

    async def list_older_than(self, moment: datetime) -> Sequence[str]:
        """Return the names of those that were last put before `moment`, and clear what interrupted writes left."""
        return await to_thread.run_sync(self._list_older_than, moment.timestamp())

    def _path(self, sha256: str) -> Path:
        if _is_name(sha256) is None:
            raise missing(sha256[:64])
        return self.root / sha256[:2] / sha256[2:4] / sha256

    def _put_bytes(self, content: bytes) -> BlobRef:
        ref = BlobRef.of(content)
        if self._touch(ref):
            return ref
        writer = _Writer(self.root, self._path(ref.sha256).parent)
        try:
            writer.write(content)
            return self._finish(writer)
        finally:
            writer.discard()

    def _finish(self, writer: "_Writer") -> BlobRef:
        ref = writer.ref()
        if not self._touch(ref):
            writer.move_to(self._path(ref.sha256), self.root)
        return ref

    def _touch(self, ref: BlobRef) -> bool:
        """A file of the wrong size is not the blob, whatever its name: it is written again."""
        path = self._path(ref.sha256)
        now = time.time_ns()
        try:
            # The file system's own clock lags behind by some milliseconds.
            os.utime(path, ns=(now, now))
            if path.stat().st_size != ref.size:
                return False
            # Whoever has just put it here may not have come to this yet.
            sync_folder(path.parent)
            return True
        except OSError:
            # Not there, or not ours: writing it (anew) tells what is wrong, if something is.
            return False

    def _read(self, sha256: str) -> bytes:
        try:
            return verified(self._path(sha256).read_bytes(), sha256)
        except FileNotFoundError as error:
            raise missing(sha256) from error

    def _open(self, sha256: str, start: int) -> BinaryIO:
        try:
            file = self._path(sha256).open("rb")
        except FileNotFoundError as error:
            raise missing(sha256) from error
        file.seek(start)
        return file

    def _delete(self, path: Path, older_than: datetime | None) -> bool:
        # Out of the way first, looked at second: a put that touches it in between either is seen or writes it anew.
        condemned = path.with_name(f"{_CONDEMNED}{path.name}-{secrets.token_hex(8)}")
        try:
            reach("blob.before-removal")
            path.rename(condemned)
            reach("blob.condemned")
            if older_than is not None and condemned.stat().st_mtime >= older_than.timestamp():
                condemned.rename(path)
                return False
            condemned.unlink()
        except FileNotFoundError:
            return False
        return True

    def _restore(self, condemned: str, sha256: str) -> None:
        # Whoever wanted to delete it may not have lived to decide, and a row may name it by now. As if it had just
        # been put: it must not take the place of one that was, and look old.
        now = time.time_ns()
        os.utime(condemned, ns=(now, now))
        os.rename(condemned, self._path(sha256))

    def _list_older_than(self, moment: float) -> list[str]:
        names: list[str] = []
        for entry in _files(self.root):
            with suppress(FileNotFoundError):
                if entry.name.startswith(_CONDEMNED):
                    self._restore(entry.path, entry.name.removeprefix(_CONDEMNED).partition("-")[0])
                elif entry.stat().st_mtime >= moment:
                    continue
                elif _is_name(entry.name) is not None:
                    names.append(entry.name)
                elif entry.name.startswith(_TEMPORARY):
                    os.unlink(entry.path)
        return sorted(names)


class _Writer:
    """A file that gets its name when all is in it."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._path = folder / f"{_TEMPORARY}{secrets.token_hex(8)}"
        self._hash = hashlib.sha256()
        self._size = 0
        try:
            make_folder(root)
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("xb", buffering=0)
        except OSError as error:
            raise _translate(error) from error

    def write(self, part: bytes) -> None:
        view = memoryview(part)
        self._hash.update(view)
        self._size += len(view)
        try:
            while view:
                view = view[self._file.write(view) or 0 :]
                reach("blob.written")
        except OSError as error:
            raise _translate(error) from error

    def ref(self) -> BlobRef:
        return BlobRef(self._hash.hexdigest(), self._size)

    def move_to(self, target: Path, root: Path) -> None:
        try:
            sync_file(self._file.fileno())
            self._file.close()
            target.parent.mkdir(parents=True, exist_ok=True)
            reach("blob.before-rename")
            os.replace(self._path, target)
            reach("blob.after-rename")
            # The row that names the file is committed next, so the name has to be safe as well.
            for folder in (target.parent, target.parent.parent, root):
                sync_folder(folder)
        except OSError as error:
            raise _translate(error) from error

    def discard(self) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)


async def _verified_parts(file: BinaryIO, sha256: str) -> AsyncGenerator[bytes]:
    seen = hashlib.sha256()
    part = b""
    while True:
        following = await to_thread.run_sync(_advance, file, seen, part)
        if not following and seen.hexdigest() != sha256:
            raise corrupt(sha256)
        if part:
            yield part
        if not following:
            return
        part = following


def _advance(file: BinaryIO, seen: "hashlib._Hash", part: bytes) -> bytes:
    seen.update(part)
    return file.read(CHUNK)


def _files(folder: Path) -> Iterable["os.DirEntry[str]"]:
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except FileNotFoundError:
        return
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            yield from _files(Path(entry.path))
        else:
            yield entry


def _translate(error: OSError) -> ChapkitError:
    if error.errno in _FULL:
        return StorageFullError("There is no room left where contents are kept", code="disk-full")
    return ChapkitError(
        f"The content could not be written: {error.strerror or type(error).__name__}", code="content-not-written"
    )
