"""Artifacts as objects and as bytes: with their contents one by one, without them in lists and trees."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeAlias

from anyio import to_thread
from pydantic_core import to_json

from chapkit.artifact.codecs import has_wire_content, wire_content
from chapkit.artifact.hierarchy import ArtifactHierarchy
from chapkit.artifact.json_codec import decode_json
from chapkit.artifact.models import Artifact
from chapkit.artifact.repository import ArtifactRepository
from chapkit.artifact.schemas import ArtifactIn, ArtifactOut, ArtifactTreeNode
from chapkit.artifact.stores import SMALL, CompositeBlobStore
from chapkit.artifact.tree import Labels, nest, render_node, render_tree
from chapkit.artifact.wire import RawArtifact, compose, data_members
from chapkit.core.errors import UnprocessableError
from chapkit.core.ids import ULID
from chapkit.core.manager import BaseManager
from chapkit.core.query import Query

ConfigSource: TypeAlias = Callable[[ULID], Awaitable[Any]]
"""Finds what stands as `config` of a tree's first node."""


class ArtifactReader(BaseManager[Artifact, ArtifactIn, ArtifactOut]):
    """The reading half of `ArtifactManager`."""

    repository: ArtifactRepository

    def __init__(
        self,
        repo: ArtifactRepository,
        hierarchy: ArtifactHierarchy | None,
        blobs: CompositeBlobStore,
        config_of: ConfigSource | None,
    ) -> None:
        super().__init__(repo, Artifact, ArtifactOut)
        self.hierarchy = hierarchy
        self.blobs = blobs
        self._labels = Labels(hierarchy)
        self._config_of = config_of

    async def find_by_id(self, id: ULID) -> ArtifactOut | None:
        """Return the artifact with its content as it stands on the wire, or `None`."""
        async with self._reading():
            entity = await self.repository.find_by_id(id)
            return None if entity is None else await self._complete(entity)

    async def get(self, id: ULID) -> ArtifactOut:
        """Return the artifact with its content as it stands on the wire.

        Raises:
            NotFoundError: There is none with this id.
        """
        async with self._reading():
            return await self._complete(await self.repository.get(id))

    async def find_subtree(self, start_id: ULID) -> list[ArtifactTreeNode]:
        """Return the artifact and everything below it, without contents, as nodes without children."""
        async with self._reading():
            entities = await self.repository.find_subtree(start_id)
        return [self._labels.node(self._to_output_schema(entity)) for entity in entities]

    async def expand_artifact(self, artifact_id: ULID) -> ArtifactTreeNode | None:
        """Return the artifact with its labels and its configuration, or `None`; children are not loaded."""
        async with self._reading():
            entity = await self.repository.find_by_id(artifact_id)
            if entity is None:
                return None
            node = self._labels.node(self._to_output_schema(entity))
            node.config = await self._find_config(artifact_id)
            return node

    async def build_tree(self, start_id: ULID) -> ArtifactTreeNode | None:
        """Return the artifact with everything below it nested inside, or `None`."""
        nodes = await self.find_subtree(start_id)
        if not nodes:
            return None
        root = nest(start_id, nodes)
        async with self._reading():
            root.config = await self._find_config(start_id)
        return root

    def render(self, entity: Artifact) -> bytes:
        """Return the JSON of one artifact without its content."""
        return compose(RawArtifact.of(entity))

    async def render_one(self, entity: Artifact) -> bytes:
        """Return the JSON of one artifact with its content."""
        return compose(RawArtifact.of(entity), await self._wire_content(entity))

    async def render_list(self, query: Query) -> list[tuple[str, bytes]]:
        """Return the id and the JSON of each artifact that `query` asks for, without contents."""
        return [(row.id, compose(row)) for row in await self.repository.list_raw(query)]

    def render_metadata(self, entity: Artifact) -> bytes:
        """Return the JSON of what is known of the content."""
        return to_json(entity.info)

    async def render_expanded(self, entity: Artifact) -> bytes:
        """Return the JSON of a node whose children were not loaded."""
        return render_node(RawArtifact.of(entity), self._labels, config=await self._find_config(entity.id))

    async def render_tree(self, id: ULID) -> bytes | None:
        """Return the JSON of a tree, or `None`."""
        rows = await self.repository.subtree_raw(id)
        return render_tree(id, rows, self._labels, await self._find_config(id)) if rows else None

    def _to_output_schema(self, entity: Artifact) -> ArtifactOut:
        return self._output(entity, data_members(entity))

    async def _complete(self, entity: Artifact) -> ArtifactOut:
        """The artifact with its content."""
        content = await self._wire_content(entity)
        value = decode_json(content) if len(content) <= SMALL else await to_thread.run_sync(decode_json, content)
        return self._output(entity, {**data_members(entity), "content": value})

    async def _wire_content(self, entity: Artifact) -> bytes:
        if not has_wire_content(entity.media_type):
            return (entity.preview or "null").encode()
        return wire_content(await self.blobs.read(entity.sha256), entity.media_type)

    async def _json_content(self, entity: Artifact) -> Any:
        if not has_wire_content(entity.media_type):
            raise UnprocessableError(
                f"The content is of the type {entity.media_type}, which cannot be changed member by member; "
                "send a whole new one, or leave content and content_type out",
                code="content-not-json",
                field="data.content",
            )
        return decode_json(await self._wire_content(entity))

    async def _find_config(self, id: ULID) -> Any:
        return None if self._config_of is None else await self._config_of(id)

    def _output(self, entity: Artifact, data: dict[str, Any]) -> ArtifactOut:
        return self.out_schema_cls.model_validate(
            {
                "id": entity.id,
                "created_at": entity.created_at,
                "updated_at": entity.updated_at,
                "tags": entity.tags,
                "data": data,
                "parent_id": entity.parent_id,
                "level": entity.level,
            }
        )
