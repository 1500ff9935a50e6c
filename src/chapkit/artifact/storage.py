"""Where one application keeps its contents."""

from collections.abc import AsyncGenerator
from functools import cached_property

from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.artifact.coder import ContentCoder
from chapkit.artifact.files import FileBlobStore
from chapkit.artifact.signing import Signer
from chapkit.artifact.stores import BlobStore, CompositeBlobStore, DatabaseBlobStore, missing
from chapkit.core.database import Database
from chapkit.core.services import Key, Services

LARGE_BLOBS: Key[BlobStore] = Key(BlobStore, "large")
"""Where contents go that are too large for the database; files, unless a feature brings something else."""
BLOBS_FOLDER = "blobs"


class ContentStorage:
    """The stores and the signing key of an application; its database need not be there before the first use."""

    def __init__(self, services: Services, signing_key: str | None = None) -> None:
        self._services = services
        self._signing_key = signing_key

    @cached_property
    def large(self) -> BlobStore:
        """The store of large contents."""
        return self._services.find(LARGE_BLOBS) or FileBlobStore(self._database.data_dir / BLOBS_FOLDER)

    @cached_property
    def signer(self) -> Signer:
        """Signs what runs code when it is read."""
        if self._signing_key is not None:
            return Signer(self._signing_key.encode())
        return Signer.of_folder(self._database.data_dir)

    @cached_property
    def coder(self) -> ContentCoder:
        """Prepares contents before a transaction is opened."""
        return ContentCoder(self.large, self.signer)

    def blobs(self, session: AsyncSession) -> CompositeBlobStore:
        """Return the store of a unit of work."""
        return CompositeBlobStore(DatabaseBlobStore(session), self.large)

    async def require(self, sha256: str) -> None:
        """Return if the bytes are there, as far as can be told without reading them.

        Raises:
            NotFoundError: They are missing (`content-missing`).
        """
        async with self._services.scope.read() as scope:
            if not await self.blobs(scope.session).exists(sha256):
                raise missing(sha256)

    async def open(self, sha256: str, start: int = 0, end: int | None = None) -> AsyncGenerator[bytes]:
        """Return the bytes piece by piece, without a transaction being open meanwhile."""
        async with self._services.scope.read() as scope:
            content = await DatabaseBlobStore(scope.session).find(sha256)
        if content is not None:
            yield content[start:end]
            return
        async for part in self.large.open(sha256, start, end):
            yield part

    @property
    def _database(self) -> Database:
        return self._services.get(Database)
