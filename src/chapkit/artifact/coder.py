"""Contents on their way into the store: first encoded and hashed, then recorded in a transaction."""

from dataclasses import dataclass
from typing import Any

from anyio import to_thread
from pydantic import BaseModel
from pydantic_core import to_json

from chapkit.artifact.codecs import Codecs, Encoded, base_type, encode_model
from chapkit.artifact.json_codec import decode_json, encode_json, is_small
from chapkit.artifact.model_codec import MODEL_MEDIA_TYPE, load_model
from chapkit.artifact.schemas import ArtifactIn, take_apart
from chapkit.artifact.signing import Signer
from chapkit.artifact.stores import SMALL, BlobRef, BlobStore
from chapkit.core.errors import ConfigurationError


@dataclass(frozen=True)
class PreparedContent:
    """A content that is safe in a file, or small and still to be written with its row."""

    media_type: str
    size: int
    sha256: str
    signature: str | None = None
    preview: str | None = None
    content: bytes | None = None
    """The bytes, where they belong into the database."""


@dataclass(frozen=True)
class ReadyData:
    """The `data` of an artifact, ready to become columns; without `content` the present one stays."""

    type: str
    metadata: dict[str, Any]
    content: PreparedContent | None


class ContentCoder:
    """Turns values into contents and back; needs no transaction, and works in threads where it takes time."""

    def __init__(self, large: BlobStore | None, signer: Signer | None, limit: int = SMALL) -> None:
        self._large = large
        self._limit = limit
        self._signer = signer
        self._codecs = Codecs()

    async def prepare(self, value: Any, *, media_type: str | None = None, as_model: bool = False) -> PreparedContent:
        """Encode and hash the value, and write it if it is large.

        Args:
            value: Anything; what JSON cannot carry becomes a frame, bytes, or a signed pickle.
            media_type: The type to write; bytes then are the content itself.
            as_model: Keep the object as it is, whatever JSON could carry.
        """
        if not as_model and is_small(value):
            encoded = self._codecs.encode(value, media_type)
        elif as_model:
            encoded = await to_thread.run_sync(encode_model, value)
        else:
            encoded = await to_thread.run_sync(self._codecs.encode, value, media_type)
        return await self._keep(encoded)

    async def prepare_encoded(self, content: bytes, media_type: str) -> PreparedContent:
        """Hash bytes, and write them if they are large; for code of this service that encoded them itself.

        Raises:
            ConfigurationError: They are said to be a model, which only `prepare` makes (`media-type-reserved`).
        """
        if base_type(media_type) == MODEL_MEDIA_TYPE:
            raise ConfigurationError("Models are prepared with as_model=True", code="media-type-reserved")
        return await self._keep(Encoded(media_type, content))

    async def prepare_input(self, data: ArtifactIn) -> ArtifactIn:
        """Return the same with its `data` encoded."""
        if isinstance(data.data, ReadyData):
            return data
        parts = take_apart(data.data)
        metadata = plain_metadata(parts.metadata)
        content = await self.prepare(parts.content, media_type=parts.content_type)
        return data.model_copy(update={"data": ReadyData(parts.type, metadata, content)})

    async def decode(self, content: bytes, *, media_type: str, sha256: str, signature: str | None) -> Any:
        """Return the value of a content; a model only if this service signed it."""
        if media_type == MODEL_MEDIA_TYPE:
            return await to_thread.run_sync(self._load, content, sha256, media_type, signature)
        if len(content) <= self._limit:
            return self._codecs.decode(content, media_type)
        return await to_thread.run_sync(self._codecs.decode, content, media_type)

    async def _keep(self, encoded: Encoded) -> PreparedContent:
        content: bytes | None = encoded.content
        if self._large is not None and len(encoded.content) > self._limit:
            ref, content = await self._large.put(encoded.content), None
        elif len(encoded.content) > SMALL:
            ref = await to_thread.run_sync(BlobRef.of, encoded.content)
        else:
            ref = BlobRef.of(encoded.content)
        signature = None
        if encoded.media_type == MODEL_MEDIA_TYPE:
            signature = await to_thread.run_sync(self._sign, ref, encoded.media_type)
        preview = None
        if encoded.described is not None:
            preview = to_json({**encoded.described, "size": ref.size, "sha256": ref.sha256}).decode()
        return PreparedContent(encoded.media_type, ref.size, ref.sha256, signature, preview, content)

    def _sign(self, ref: BlobRef, media_type: str) -> str:
        return self._require_signer().sign(ref, media_type)

    def _load(self, content: bytes, sha256: str, media_type: str, signature: str | None) -> Any:
        self._require_signer().verify(sha256, media_type, signature)
        return load_model(content)

    def _require_signer(self) -> Signer:
        if self._signer is None:
            raise ConfigurationError(
                "Objects that JSON cannot carry are stored as signed pickles, and this manager has no signer; "
                "give it one: ArtifactManager(repo, signer=Signer.of_folder(database.data_dir))",
                code="signing-key-missing",
            )
        return self._signer


def plain_metadata(metadata: Any) -> dict[str, Any]:
    """Return metadata as plain JSON values.

    Raises:
        UnprocessableError: A number is not finite, or a value cannot be written as JSON.
    """
    if not metadata:
        return {}
    if isinstance(metadata, BaseModel):
        metadata = metadata.model_dump(mode="json")
    plain: dict[str, Any] = decode_json(encode_json(metadata, "metadata"))
    return plain
