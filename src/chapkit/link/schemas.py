"""Links on the wire."""

from pydantic import BaseModel

from chapkit.core.ids import ULID


class LinkArtifactRequest(BaseModel):
    """Which root artifact to tie to the configuration."""

    artifact_id: ULID


class UnlinkArtifactRequest(BaseModel):
    """Which root artifact to untie from the configuration."""

    artifact_id: ULID
