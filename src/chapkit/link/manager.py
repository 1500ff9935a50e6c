"""What ties configurations and artifacts together."""

from collections.abc import Sequence
from typing import Any

from chapkit.artifact.manager import ArtifactManager
from chapkit.artifact.models import Artifact
from chapkit.config.manager import ConfigManager
from chapkit.config.models import Config
from chapkit.core.errors import ConflictError, NotFoundError, ValidationError
from chapkit.core.faults import reach
from chapkit.core.ids import ULID
from chapkit.core.query import Filter, Operator, Query
from chapkit.link.repository import LinkRepository

_IDS_PER_STATEMENT = 500


class LinkManager:
    """Links, seen from both sides; works in the unit of work of its two managers."""

    def __init__(self, repository: LinkRepository, configs: ConfigManager[Any], artifacts: ArtifactManager) -> None:
        self.repository = repository
        self.configs = configs
        self.artifacts = artifacts

    async def link(self, config_id: ULID, artifact_id: ULID) -> None:
        """Tie a root artifact to a configuration; doing so again changes nothing.

        Raises:
            NotFoundError: One of the two does not exist.
            ValidationError: The artifact has a parent (`artifact-not-root`).
            ConflictError: It belongs to another configuration (`artifact-linked-elsewhere`).
        """
        await self._require_config(config_id)
        # Nobody may give the artifact a parent meanwhile.
        await self.artifacts.repository.lock_tree(alone=False)
        artifact = await self._require_artifact(artifact_id)
        if artifact.parent_id is not None:
            raise ValidationError(
                f"Artifact {artifact_id} is not a root artifact (parent_id={artifact.parent_id}); link its root",
                code="artifact-not-root",
                field="artifact_id",
            )
        present = await self.repository.config_of(artifact_id)
        if present is None:
            reach("link.before-row")
            await self.repository.add(config_id, artifact_id)
            reach("link.after-row")
        elif present != config_id:
            raise ConflictError(
                f"Artifact {artifact_id} belongs to configuration {present}; unlink it there first",
                code="artifact-linked-elsewhere",
                found=present,
            )

    async def unlink(self, config_id: ULID, artifact_id: ULID) -> None:
        """Untie an artifact from its configuration.

        Raises:
            NotFoundError: There is no such link.
        """
        if await self.repository.config_of(artifact_id) != config_id:
            raise NotFoundError(
                f"Artifact {artifact_id} is not linked to configuration {config_id}", code="link-unknown"
            )
        await self.repository.remove(artifact_id)

    async def render_artifacts(self, config_id: ULID) -> Sequence[bytes]:
        """Return the JSON of a configuration's root artifacts, without their contents."""
        await self._require_config(config_id)
        ids = await self.repository.artifacts_of(config_id)
        rendered: list[bytes] = []
        for start in range(0, len(ids), _IDS_PER_STATEMENT):
            some = ",".join(ids[start : start + _IDS_PER_STATEMENT])
            query = Query(filters=(Filter(("id",), Operator.IN, some),))
            rendered += [item for _, item in await self.artifacts.render_list(query)]
        return rendered

    async def find_config(self, artifact_id: ULID) -> Config | None:
        """Return the configuration of an artifact's tree, or `None`."""
        root = await self.artifacts.repository.get_root(artifact_id)
        config_id = None if root is None else await self.repository.config_of(root.id)
        return None if config_id is None else await self.configs.repository.find_by_id(config_id)

    async def get_config(self, artifact_id: ULID) -> Config:
        """Return the configuration of an artifact's tree.

        Raises:
            NotFoundError: There is no such artifact, or its tree belongs to no configuration.
        """
        await self._require_artifact(artifact_id)
        config = await self.find_config(artifact_id)
        if config is None:
            raise NotFoundError(f"Artifact {artifact_id} belongs to no configuration", code="artifact-not-linked")
        return config

    async def release(self, config: Config, *, cascade: bool) -> None:
        """Delete the trees of a configuration that is about to go.

        Raises:
            ConflictError: There are some, and `cascade` is off (`config-has-artifacts`).
        """
        ids = await self.repository.artifacts_of(config.id)
        if ids and not cascade:
            raise ConflictError(
                f"Configuration {config.id} has {len(ids)} artifact trees; delete them first, or cascade",
                code="config-has-artifacts",
                artifact_ids=list(ids),
            )
        for artifact_id in ids:
            await self.artifacts.delete_by_id(artifact_id, cascade=True)

    async def _require_config(self, config_id: ULID) -> None:
        if not await self.configs.repository.exists_by_id(config_id):
            raise NotFoundError(f"Config with id {config_id} not found", code="config-unknown", field="config_id")

    async def _require_artifact(self, artifact_id: ULID) -> Artifact:
        artifact = await self.artifacts.repository.find_by_id(artifact_id)
        if artifact is None:
            raise NotFoundError(
                f"Artifact with id {artifact_id} not found", code="artifact-unknown", field="artifact_id"
            )
        return artifact
