"""What other features may add to artifacts."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import Select

from chapkit.artifact.models import Artifact
from chapkit.core.ids import ULID


@dataclass(frozen=True)
class ArtifactChange:
    """What is about to happen to an artifact."""

    kind: Literal["move", "delete"]
    parent_id: ULID | None = None
    """The parent that it moves to; `None` when it becomes a root."""


ArtifactGuard: TypeAlias = Callable[[Any, Artifact, ArtifactChange], Awaitable[None]]
"""Called with the scope inside of the transaction; an error forbids the change."""


class ArtifactGuards:
    """Port: features that depend on an artifact's place in its tree add a guard here."""

    def __init__(self) -> None:
        self.guards: list[ArtifactGuard] = []

    def add(self, guard: ArtifactGuard) -> None:
        """Ask `guard` before an artifact moves or is deleted."""
        self.guards.append(guard)

    async def guard(self, scope: Any, artifact: Artifact, change: ArtifactChange) -> None:
        """Ask every guard."""
        for guard in self.guards:
            await guard(scope, artifact, change)


NodeConfig: TypeAlias = Callable[[Any, ULID], Awaitable[Any]]
"""Returns, for a scope and an artifact, the configuration on the wire, or `None`."""


class NodeConfigs:
    """Port: the feature that links artifacts with configurations fills the `config` of tree nodes."""

    def __init__(self) -> None:
        self.source: NodeConfig | None = None

    async def find(self, scope: Any, artifact_id: ULID) -> Any:
        """Return the configuration of this very artifact, or `None`."""
        return None if self.source is None else await self.source(scope, artifact_id)


class BlobReferences:
    """Port: features whose rows name blobs add the query that selects those names."""

    def __init__(self) -> None:
        self.queries: list[Select[Any]] = []

    def add(self, query: Select[Any]) -> None:
        """Keep every blob whose SHA-256 the only column of `query` holds."""
        self.queries.append(query)
