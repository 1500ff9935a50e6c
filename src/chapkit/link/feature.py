"""Links between configurations and artifacts as a feature of a service."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from fastapi import APIRouter
from pydantic_core import from_json

from chapkit.artifact.feature import ArtifactFeature
from chapkit.artifact.manager import ArtifactManager
from chapkit.artifact.models import Artifact
from chapkit.artifact.ports import NodeConfigs
from chapkit.config.feature import ConfigFeature
from chapkit.config.manager import ConfigManager
from chapkit.config.models import Config
from chapkit.core.errors import ConfigurationError, ConflictError
from chapkit.core.events import EntityDeleting, EntitySaved, Event
from chapkit.core.ids import ULID
from chapkit.core.models import Base
from chapkit.core.services import Key, Scope, Services
from chapkit.link.manager import LinkManager
from chapkit.link.models import ConfigArtifact
from chapkit.link.repository import LinkRepository
from chapkit.link.router import artifact_side, config_side
from chapkit.web.feature import Feature, Requirement


@dataclass(frozen=True)
class LinkFeature(Feature):
    """Lets artifact trees belong to configurations; a configuration that goes takes its trees with it."""

    kind: ClassVar[str] = "link"
    requires: ClassVar[tuple[Requirement, ...]] = (
        Requirement("config", "with_config(...)"),
        Requirement("artifact", "with_artifacts(...)"),
    )

    config: ConfigFeature | None = None
    artifact_prefix: str = "/api/v1/artifacts"
    artifact_tags: tuple[str, ...] = ("Artifacts",)

    @classmethod
    def between(cls, features: Iterable[Feature]) -> "LinkFeature":
        """Return the link between the first configurations and the artifacts among `features`."""
        config = next((item for item in features if isinstance(item, ConfigFeature)), None)
        artifact = next((item for item in features if isinstance(item, ArtifactFeature)), None)
        return cls(config) if artifact is None else cls(config, artifact.prefix, artifact.tags)

    @property
    def config_feature(self) -> ConfigFeature:
        """The configurations that artifacts belong to."""
        if self.config is None:
            raise ConfigurationError(
                "Artifact config-linking requires a config schema; add with_config(...)", code="feature-missing"
            )
        return self.config

    def check(self, features: Mapping[str, Feature]) -> None:
        """Make sure that there are configurations to link to."""
        _ = self.config_feature

    def models(self) -> Iterable[type[Base]]:
        """Return the table of links."""
        yield ConfigArtifact

    def register(self, services: Services) -> None:
        """Bring a `LinkManager` for each unit of work, and watch what happens to both sides."""
        key: Key[ConfigManager[Any]] = Key(ConfigManager, self.config_feature.name)
        services.scoped(
            LinkManager,
            lambda scope: LinkManager(LinkRepository(scope.session), scope.get(key), scope.get(ArtifactManager)),
        )
        services.on_event(self._on_event)
        services.get(NodeConfigs).source = _config_on_wire

    def routers(self) -> Iterable[APIRouter]:
        """Return the operations on both collections."""
        config = self.config_feature
        yield config_side(config.prefix, config.tags)
        yield artifact_side(self.artifact_prefix, self.artifact_tags, config.shape.out_schema)

    async def _on_event(self, event: Event, scope: Scope) -> None:
        if isinstance(event, EntityDeleting) and isinstance(event.entity, Config):
            if event.entity.kind == self.config_feature.name:
                await scope.get(LinkManager).release(event.entity, cascade=event.cascade is not False)
        elif isinstance(event, EntitySaved) and isinstance(event.entity, Artifact) and "parent_id" in event.changes:
            await _keep_linked_root(event.entity, scope)


async def _config_on_wire(scope: Scope, artifact_id: ULID) -> Any:
    links = scope.get(LinkManager)
    config_id = await links.repository.config_of(artifact_id)
    return None if config_id is None else from_json((await links.configs.render_by_id(config_id) or (b"null", ""))[0])


async def _keep_linked_root(artifact: Artifact, scope: Scope) -> None:
    if artifact.parent_id is not None and await scope.get(LinkManager).repository.config_of(artifact.id) is not None:
        raise ConflictError(
            f"Artifact {artifact.id} is linked to a configuration and has to stay a root; unlink it first",
            code="artifact-linked",
            field="parent_id",
        )
