"""Rows that tie artifacts to configurations."""

from collections.abc import Sequence

from sqlalchemy import delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from chapkit.core.ids import ULID
from chapkit.link.models import ConfigArtifact


class LinkRepository:
    """Finds and changes links; nothing here ends the transaction."""

    def __init__(self, session: AsyncSession) -> None:
        self.session = session

    async def config_of(self, artifact_id: ULID) -> ULID | None:
        """Return the configuration that this very artifact is tied to, or `None`."""
        statement = select(ConfigArtifact.config_id).where(ConfigArtifact.artifact_id == artifact_id)
        return await self.session.scalar(statement)

    async def artifacts_of(self, config_id: ULID) -> Sequence[ULID]:
        """Return the root artifacts of a configuration, the oldest first."""
        statement = select(ConfigArtifact.artifact_id).where(ConfigArtifact.config_id == config_id)
        return (await self.session.scalars(statement.order_by(ConfigArtifact.artifact_id))).all()

    async def add(self, config_id: ULID, artifact_id: ULID) -> None:
        """Tie the artifact to the configuration."""
        self.session.add(ConfigArtifact(config_id=config_id, artifact_id=artifact_id))
        await self.session.flush()

    async def remove(self, artifact_id: ULID) -> None:
        """Untie the artifact."""
        await self.session.execute(delete(ConfigArtifact).where(ConfigArtifact.artifact_id == artifact_id))
