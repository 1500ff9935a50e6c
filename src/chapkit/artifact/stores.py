"""Where the bytes of contents are kept, named by their SHA-256."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Protocol

from sqlalchemy import Executable, delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.artifact.models import Blob
from chapkit.core.clock import utc_now
from chapkit.core.errors import IntegrityError, NotFoundError
from chapkit.core.faults import reach
from chapkit.core.transactions import begin_write

SMALL = 64 * 1024
"""Contents up to this size are kept in the database."""
CHUNK = 1024 * 1024


@dataclass(frozen=True)
class BlobRef:
    """Name and size of a blob."""

    sha256: str
    size: int

    @classmethod
    def of(cls, content: bytes) -> "BlobRef":
        """Return the reference that these bytes have."""
        return cls(hashlib.sha256(content).hexdigest(), len(content))


class BlobStore(Protocol):
    """Keeps bytes under the name of their SHA-256; putting the same bytes twice is putting them once."""

    async def put(self, content: bytes | AsyncIterable[bytes]) -> BlobRef:
        """Keep the bytes; those that are there already count as new for `list_older_than`."""
        ...

    async def read(self, sha256: str) -> bytes:
        """Return the bytes, verified.

        Raises:
            NotFoundError: They are not here (`content-missing`).
            IntegrityError: They are not those that were written (`content-corrupt`).
        """
        ...

    def open(self, sha256: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Return the bytes from `start` up to and without `end`, piece by piece.

        All of them are verified before the last piece is handed out; a part cannot be.
        """
        ...

    async def exists(self, sha256: str) -> bool:
        """Tell whether the bytes are here."""
        ...

    async def delete(self, sha256: str, older_than: datetime | None = None) -> bool:
        """Forget the bytes, unless they were put since `older_than`; tell whether they are gone now."""
        ...

    async def list_older_than(self, moment: datetime) -> Sequence[str]:
        """Return the names of those that were last put before `moment`."""
        ...


class DatabaseBlobStore:
    """Keeps small contents in the transaction of a session."""

    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def put(self, content: bytes | AsyncIterable[bytes]) -> BlobRef:
        """Keep the bytes; those that are there already count as new for `list_older_than`."""
        data = content if isinstance(content, bytes) else b"".join([part async for part in content])
        ref = BlobRef.of(data)
        await begin_write(self._session)
        values = {"sha256": ref.sha256, "size": ref.size, "content": data, "created_at": utc_now()}
        await self._session.execute(_upsert(self._session.get_bind().dialect.name), values)
        reach("blob.row-written")
        return ref

    async def read(self, sha256: str) -> bytes:
        """Return the bytes, verified."""
        content = await self.find(sha256)
        if content is None:
            raise missing(sha256)
        return content

    async def find(self, sha256: str) -> bytes | None:
        """Return the bytes, verified, or `None`."""
        content = await self._session.scalar(select(Blob.content).where(Blob.sha256 == sha256))
        return None if content is None else verified(content, sha256)

    async def open(self, sha256: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Return the bytes from `start` up to and without `end`, in one piece."""
        part = (await self.read(sha256))[start:end]
        if part:
            yield part

    async def exists(self, sha256: str) -> bool:
        """Tell whether the bytes are here."""
        return await self._session.scalar(select(Blob.size).where(Blob.sha256 == sha256)) is not None

    async def delete(self, sha256: str, older_than: datetime | None = None) -> bool:
        """Forget the bytes, unless they were put since `older_than`; tell whether they are gone now."""
        await begin_write(self._session)
        statement = delete(Blob).where(Blob.sha256 == sha256)
        if older_than is not None:
            statement = statement.where(Blob.created_at < older_than)
        return await self._session.scalar(statement.returning(Blob.sha256)) is not None

    async def list_older_than(self, moment: datetime) -> Sequence[str]:
        """Return the names of those that were last put before `moment`."""
        return (await self._session.scalars(select(Blob.sha256).where(Blob.created_at < moment))).all()


class CompositeBlobStore:
    """Small contents in one store, large ones in another; without a second one all are small."""

    def __init__(self, small: DatabaseBlobStore, large: BlobStore | None, limit: int = SMALL) -> None:
        self.small = small
        self.large = large
        self.limit = limit

    async def put(self, content: bytes | AsyncIterable[bytes]) -> BlobRef:
        """Keep the bytes where they belong by their size."""
        if self.large is None:
            return await self.small.put(content)
        if isinstance(content, bytes):
            return await (self.small if len(content) <= self.limit else self.large).put(content)
        head = bytearray()
        source = aiter(content)
        async for part in source:
            head += part
            if len(head) > self.limit:
                return await self.large.put(_joined(bytes(head), source))
        return await self.small.put(bytes(head))

    async def read(self, sha256: str) -> bytes:
        """Return the bytes, verified."""
        content = await self.small.find(sha256)
        if content is not None:
            return content
        if self.large is None:
            raise missing(sha256)
        return await self.large.read(sha256)

    async def open(self, sha256: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Return the bytes from `start` up to and without `end`, piece by piece."""
        content = await self.small.find(sha256)
        if content is None and self.large is None:
            raise missing(sha256)
        if content is not None or self.large is None:
            if part := (content or b"")[start:end]:
                yield part
            return
        async for part in self.large.open(sha256, start, end):
            yield part

    async def exists(self, sha256: str) -> bool:
        """Tell whether the bytes are here."""
        return await self.small.exists(sha256) or (self.large is not None and await self.large.exists(sha256))

    async def delete(self, sha256: str, older_than: datetime | None = None) -> bool:
        """Forget the bytes, unless they were put since `older_than`; tell whether they are gone now."""
        gone = await self.small.delete(sha256, older_than)
        return (self.large is not None and await self.large.delete(sha256, older_than)) or gone

    async def list_older_than(self, moment: datetime) -> Sequence[str]:
        """Return the names of those that were last put before `moment`."""
        names = set(await self.small.list_older_than(moment))
        if self.large is not None:
            names.update(await self.large.list_older_than(moment))
        return sorted(names)


def missing(sha256: str) -> NotFoundError:
    """Return the error for a content that is not where it should be."""
    return NotFoundError(
        "The content of this artifact is not in the store; was the data folder moved or cleaned?",
        code="content-missing",
        sha256=sha256,
    )


def corrupt(sha256: str) -> IntegrityError:
    """Return the error for bytes that are not those that were written."""
    return IntegrityError(
        "The stored content is not the one that was written: its SHA-256 differs",
        code="content-corrupt",
        sha256=sha256,
    )


def verified(content: bytes, sha256: str) -> bytes:
    """Return the bytes, if they have this name."""
    if hashlib.sha256(content).hexdigest() != sha256:
        raise corrupt(sha256)
    return content


@cache
def _upsert(dialect: str) -> Executable:
    insert: Any = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = insert(Blob.__table__)
    # Touching the row locks it, so that no sweep can take it away before the transaction ends.
    touched = {"created_at": statement.excluded.created_at}
    upsert: Executable = statement.on_conflict_do_update(index_elements=["sha256"], set_=touched)
    return upsert


async def _joined(head: bytes, rest: AsyncIterable[bytes]) -> AsyncGenerator[bytes]:
    yield head
    async for part in rest:
        yield part
