"""What a worker holds in its hand when it has taken a job."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pydantic_core import from_json

from chapkit.core.ids import ULID
from chapkit.job.policies import Retry
from chapkit.job.rows import Row, as_datetime


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
    retry: Retry | None = None
    timeout: float | None = None
    """Seconds that this attempt may take."""
    deadline: datetime | None = None
    failures: int = 0
    crashes: int = 0
    is_suspect: bool = False
    is_limited: bool = False
    """Whether its end may let another job start, in whatever process, that had to wait for it."""

    @classmethod
    def from_row(cls, row: Row, owner: str, *, is_limited: bool = False) -> "Claim":
        """Return the claim that taking a job has given."""
        return cls(
            fence=Fence(ULID.trusted(row["id"]), row["attempt"], owner),
            handler=row["handler"],
            payload=row["payload"],
            payload_blob=row["payload_blob"],
            labels=from_json(row["labels"]),
            artifact_id=None if row["artifact_id"] is None else ULID.trusted(row["artifact_id"]),
            retry=None if row["retry"] is None else Retry.from_text(row["retry"]),
            timeout=row["timeout"],
            deadline=as_datetime(row["deadline"]),
            failures=row["failures"],
            crashes=row["crashes"],
            is_suspect=row["suspicions"] > 0,
            is_limited=is_limited,
        )


@dataclass(frozen=True)
class Usage:
    """What an attempt has used; `None` where it could not be measured."""

    cpu_seconds: float | None = None
    peak_memory: int | None = None
    """Bytes."""

    def plus(self, other: "Usage") -> "Usage":
        """Return both together."""
        seconds = [each.cpu_seconds for each in (self, other) if each.cpu_seconds is not None]
        peaks = [each.peak_memory for each in (self, other) if each.peak_memory is not None]
        return Usage(sum(seconds) if seconds else None, max(peaks, default=None))


def storable(text: str) -> str:
    """Return text that every database takes: without NUL and without half of a surrogate pair."""
    return text.encode("utf-8", "replace").decode().replace("\x00", "\ufffd")


@dataclass(frozen=True)
class Report:
    """What a job told while it ran."""

    kind: str
    data: dict[str, Any]
