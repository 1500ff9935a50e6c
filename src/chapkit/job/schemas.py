"""Jobs as they are submitted and as they stand on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from chapkit.core.ids import ULID
from chapkit.core.types import UtcDatetime


class JobStatus(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"

    @property
    def is_final(self) -> bool:
        """Tell whether nothing more will happen to the job."""
        return self not in (JobStatus.PENDING, JobStatus.RUNNING)


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """What is to be done: the name of a handler and a payload of JSON."""

    handler: str
    payload: Mapping[str, Any] = field(default_factory=dict[str, Any])
    payload_blob: str | None = None
    """SHA-256 of a stored content, for what is too large for a row."""
    labels: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """`kind` and `name` are shown to clients; the others are the submitter's own."""
    queue: str = "default"
    priority: int = 0
    """Higher ones are taken first."""
    key: str | None = None
    """A repeated submit with the same key returns the first job."""
    fingerprint: str | None = None
    """Tells a repeated submit from another one under the same key; made of handler and payload if left out."""
    run_after: datetime | None = None
    artifact_id: ULID | None = None
    """Identifier that the result will have, handed out before the work begins."""
    durable: bool = True
    """Whether another process may run it; what is not durable ends with its process."""
    id: ULID | None = None


class JobRecord(BaseModel):
    """A job as clients see it."""

    model_config = ConfigDict(from_attributes=True)

    id: ULID
    status: JobStatus
    submitted_at: UtcDatetime | None = None
    started_at: UtcDatetime | None = None
    finished_at: UtcDatetime | None = None
    error: str | None = Field(default=None, description="Why it failed.")
    error_traceback: str | None = Field(default=None, description="Null: tracebacks are for operators.")
    artifact_id: ULID | None = Field(
        default=None, description="Where the result is, or will be; handed out at submission."
    )
    error_code: str | None = Field(default=None, description="Stable name of the cause.")
    kind: str | None = None
    name: str | None = None
    attempt: int = Field(default=0, description="How many times it was started.")
    progress: float | None = Field(default=None, description="From 0 to 1, where the job tells.")


class JobEventRecord(BaseModel):
    """Something that happened to a job."""

    number: int = Field(ge=1, description="Counts from 1 without a gap.")
    kind: str = Field(description="`status`, `progress` or `log`.")
    data: dict[str, Any]
    created_at: UtcDatetime


class JobStats(BaseModel):
    """Numbers about the jobs."""

    total: int = Field(ge=0)
    by_status: dict[JobStatus, int]


ChapkitJobRecord = JobRecord
