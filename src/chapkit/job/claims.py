"""What a worker holds in its hand when it has taken a job."""

from dataclasses import dataclass, field
from typing import Any

from chapkit.core.ids import ULID


@dataclass(frozen=True)
class Fence:
    """Names one attempt at a job by one process; only that one may record anything."""

    job_id: ULID
    attempt: int
    owner: str


@dataclass(frozen=True)
class Claim:
    """A job that this process has taken."""

    fence: Fence
    handler: str
    payload: str
    payload_blob: str | None = None
    labels: dict[str, Any] = field(default_factory=dict[str, Any])
    artifact_id: ULID | None = None


def storable(text: str) -> str:
    """Return text that every database takes: without NUL and without half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


@dataclass(frozen=True)
class Report:
    """What a job told while it ran."""

    kind: str
    data: dict[str, Any]
