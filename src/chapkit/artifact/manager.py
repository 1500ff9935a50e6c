"""Artifacts in terms of schemas and values."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from chapkit.artifact.changes import merge_document
from chapkit.artifact.coder import ContentCoder, PreparedContent, ReadyData, plain_metadata
from chapkit.artifact.hierarchy import ArtifactHierarchy
from chapkit.artifact.models import Artifact
from chapkit.artifact.placement import Guard, Placement
from chapkit.artifact.ports import ArtifactChange
from chapkit.artifact.reader import ArtifactReader, ConfigSource
from chapkit.artifact.repository import ArtifactRepository
from chapkit.artifact.schemas import GENERIC, ArtifactIn, ArtifactOut
from chapkit.artifact.signing import Signer
from chapkit.artifact.stores import BlobStore, CompositeBlobStore, DatabaseBlobStore
from chapkit.core.errors import ConflictError
from chapkit.core.faults import reach
from chapkit.core.ids import ULID


class ArtifactManager(ArtifactReader):
    """Manages artifacts; rows and small contents belong to its unit of work.

    Args:
        blobs: Where contents are; without it, all of them are kept in the database.
        signer: Signs models; without it, none can be stored or loaded.
        guard: Asked before an artifact moves or is deleted.
        config_of: Finds what stands as `config` of a tree's first node.
    """

    def __init__(
        self,
        repo: ArtifactRepository,
        hierarchy: ArtifactHierarchy | None = None,
        blobs: BlobStore | None = None,
        signer: Signer | None = None,
        *,
        guard: Guard | None = None,
        config_of: ConfigSource | None = None,
    ) -> None:
        super().__init__(repo, hierarchy, _composite(repo, blobs), config_of)
        self._coder = ContentCoder(self.blobs.large, signer, self.blobs.limit)
        self._guard = guard
        self._placement = Placement(repo, guard)

    async def prepare(self, value: Any, *, media_type: str | None = None, as_model: bool = False) -> PreparedContent:
        """Encode, hash and, if it is large, write a value; uses no transaction.

        Args:
            value: Anything; what JSON cannot carry becomes a frame, bytes, or a signed pickle.
            media_type: The type to write; bytes then are the content itself.
            as_model: Keep the object as it is, whatever JSON could carry.
        """
        return await self._coder.prepare(value, media_type=media_type, as_model=as_model)

    async def record(
        self,
        prepared: PreparedContent,
        *,
        type: str = GENERIC,
        metadata: Mapping[str, Any] | None = None,
        parent_id: ULID | None = None,
        id: ULID | None = None,
        tags: Sequence[str] = (),
    ) -> Artifact:
        """Write the row of a prepared content."""
        data = ReadyData(type, plain_metadata(metadata), prepared)
        reach("artifact.between-blob-and-row")
        artifact = await self.create_entity(ArtifactIn(id=id, tags=list(tags), parent_id=parent_id, data=data))
        reach("artifact.recorded")
        return artifact

    async def store(
        self,
        value: Any,
        *,
        type: str = GENERIC,
        metadata: Mapping[str, Any] | None = None,
        parent_id: ULID | None = None,
        id: ULID | None = None,
        media_type: str | None = None,
        as_model: bool = False,
    ) -> Artifact:
        """Prepare and record a value in one step."""
        prepared = await self.prepare(value, media_type=media_type, as_model=as_model)
        return await self.record(prepared, type=type, metadata=metadata, parent_id=parent_id, id=id)

    async def content(self, id: ULID) -> Any:
        """Return the content as a value: what was stored, frames as pandas frames, models only if signed.

        Raises:
            NotFoundError: There is no such artifact, or its content is missing (`content-missing`).
            IntegrityError: The content was changed (`content-corrupt`) or not made here (`model-unsigned`).
        """
        async with self._reading():
            entity = await self.repository.get(id)
            content = await self.blobs.read(entity.sha256)
        return await self._coder.decode(
            content, media_type=entity.media_type, sha256=entity.sha256, signature=entity.signature
        )

    async def create(self, data: ArtifactIn) -> ArtifactOut:
        """Write a new artifact and return it with its content."""
        return await self._complete(await self.create_entity(data))

    async def replace(self, id: ULID, data: ArtifactIn) -> ArtifactOut:
        """Write the fields that were set in `data` and return the artifact with its content."""
        return await self._complete(await self.replace_entity(id, data))

    async def patch(self, id: ULID, changes: Mapping[str, Any], schema: type[ArtifactIn] = ArtifactIn) -> ArtifactOut:
        """Merge `changes` into the artifact's document and return it with its content."""
        return await self._complete(await self.patch_entity(id, changes, schema))

    async def save(self, data: ArtifactIn) -> ArtifactOut:
        """Create the artifact, or change the one that has its id; for programs, not for HTTP."""
        return await self._complete(await self._save_entity(await self._coder.prepare_input(data)))

    async def save_all(self, items: Iterable[ArtifactIn]) -> list[ArtifactOut]:
        """Save every item, or none; an item may name one before it as its parent."""
        ready = [await self._coder.prepare_input(item) for item in items]
        async with self.unit_of_work():
            return [await self._complete(await self._save_entity(item)) for item in ready]

    async def create_entity(self, data: ArtifactIn) -> Artifact:
        """Write a new artifact and return its row."""
        return await super().create_entity(await self._coder.prepare_input(data))

    async def replace_entity(self, id: ULID, data: ArtifactIn, fields: set[str] | None = None) -> Artifact:
        """Write the set fields of `data`, or those in `fields`, and return the row."""
        chosen = data.model_fields_set if fields is None else fields
        ready = await self._coder.prepare_input(data) if "data" in chosen else data
        return await super().replace_entity(id, ready, fields)

    async def patch_entity(self, id: ULID, changes: Mapping[str, Any], schema: type[ArtifactIn]) -> Artifact:
        """Merge `changes` into the artifact's document and return the row; a content that is not named stays."""
        async with self.unit_of_work():
            entity = await self.get_entity_for_update(id)
            data, fields = await merge_document(entity, changes, schema, self._json_content)
            return await self.replace_entity(id, data, fields)

    async def delete_entity(self, entity: Artifact, *, cascade: bool | None = None) -> None:
        """Delete the row; what is below it goes first, if `cascade` is on.

        Raises:
            ConflictError: There are artifacts below it, and `cascade` is off (`artifact-has-children`).
        """
        async with self.unit_of_work():
            children = await self.repository.count_children(entity.id)
            if children and cascade is not True:
                raise ConflictError(
                    f"Artifact {entity.id} has {children} artifacts below it; "
                    "delete them first, or delete all together with ?cascade=true",
                    code="artifact-has-children",
                    children=children,
                )
            doomed = await self.repository.find_subtree(entity.id) if children else [entity]
            for item in reversed(doomed):
                if self._guard is not None:
                    await self._guard(item, ArtifactChange("delete"))
                await super().delete_entity(item, cascade=cascade)

    async def delete_all(self) -> None:
        """Delete every artifact."""
        async with self.unit_of_work():
            await self._delete_upwards(await self.repository.find_all())

    async def delete_all_by_id(self, ids: Iterable[ULID]) -> None:
        """Delete the artifacts that exist."""
        async with self.unit_of_work():
            await self._delete_upwards(await self.repository.find_all_by_id(ids))

    async def pre_save(self, entity: Artifact, data: ArtifactIn) -> None:
        """Find the level, and write a small content."""
        await self._placement.place(entity)
        await self._write_small(data)

    async def pre_update(self, entity: Artifact, data: ArtifactIn, old_values: dict[str, Any]) -> None:
        """Move the tree if the parent changed, and write a small content."""
        if "parent_id" in old_values and old_values["parent_id"] != entity.parent_id:
            await self._placement.move(entity)
        await self._write_small(data)

    def _values(self, data: ArtifactIn, fields: set[str]) -> dict[str, Any]:
        values: dict[str, Any] = {name: getattr(data, name) for name in fields - {"data"}}
        if "data" in fields:
            ready: ReadyData = data.data
            values |= {"type": ready.type, "info": ready.metadata}
            if ready.content is not None:
                content = ready.content
                values |= {"media_type": content.media_type, "size": content.size, "sha256": content.sha256}
                values |= {"signature": content.signature, "preview": content.preview}
        return values

    async def _write_small(self, data: ArtifactIn) -> None:
        ready = data.data
        if isinstance(ready, ReadyData) and ready.content is not None and ready.content.content is not None:
            await self.blobs.small.put(ready.content.content)

    async def _delete_upwards(self, entities: Iterable[Artifact]) -> None:
        for entity in sorted(entities, key=lambda item: item.level, reverse=True):
            await self.delete_entity(entity)


def _composite(repository: ArtifactRepository, blobs: BlobStore | None) -> CompositeBlobStore:
    if isinstance(blobs, CompositeBlobStore):
        return blobs
    if isinstance(blobs, DatabaseBlobStore):
        return CompositeBlobStore(blobs, None)
    return CompositeBlobStore(DatabaseBlobStore(repository.session), blobs)
