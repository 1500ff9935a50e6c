"""Jobs as they are submitted and as they stand on the wire."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic_core import from_json, to_json

from chapkit.core.errors import ConfigurationError
from chapkit.core.ids import ULID
from chapkit.core.types import UtcDatetime
from chapkit.job.policies import Retry

LONGEST_TIMEOUT = 366 * 86400.0
"""Seconds."""
HIGHEST = 2**31 - 1
"""What an integer of the database may be at most."""


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
    sent_key: str | None = None
    """What the client called the key, for a refusal; `key` itself, if left out."""
    fingerprint: str | None = None
    """Tells a repeated submit from another one under the same key; made of handler and payload if left out."""
    run_after: datetime | None = None
    """Not before this moment."""
    retry: Retry | None = None
    """What happens after a failure; what the handler says, if left out."""
    timeout: float | None = None
    """Seconds that one attempt may take; what the handler says, if left out."""
    total_timeout: float | None = None
    """Seconds from the submission in which it has to end, all attempts together."""
    queue_timeout: float | None = None
    """Seconds from `run_after`, or the submission if that is later, in which it has to start for the first time."""
    concurrency_key: str | None = None
    """Jobs with the same key run one after the other, or so many at once as `concurrency_limit` says."""
    concurrency_limit: int = 1
    artifact_id: ULID | None = None
    """Identifier that the result will have, handed out before the work begins."""
    durable: bool = True
    """Whether another process may run it; what is not durable ends with its process."""
    id: ULID | None = None

    def __post_init__(self) -> None:
        limits = {name: getattr(self, name) for name in ("timeout", "total_timeout", "queue_timeout")}
        wrong = [name for name, value in limits.items() if value is not None and not 0 < value <= LONGEST_TIMEOUT]
        numbers = {"concurrency_limit": (1, HIGHEST), "priority": (-HIGHEST, HIGHEST)}
        wrong += [name for name, (least, most) in numbers.items() if not least <= getattr(self, name) <= most]
        if self.run_after is not None and not _is_in_calendar(self.run_after):
            wrong.append("run_after")
        if wrong:
            raise ConfigurationError(
                f"{wrong[0]}={getattr(self, wrong[0])!r} makes no sense: time limits are seconds above 0 and at most "
                f"{LONGEST_TIMEOUT:g}, concurrency_limit is 1 to {HIGHEST}, priority -{HIGHEST} to {HIGHEST}, "
                "run_after lies in the years 1 to 9999 in UTC",
                code="job-spec-invalid",
                field=wrong[0],
            )


@dataclass(frozen=True)
class Revision:
    """What a job is to do, in the form in which its row keeps it."""

    payload: Mapping[str, Any]
    blob: str | None = None
    """SHA-256 of a stored content, for what is too large for a row."""
    labels: Mapping[str, Any] = field(default_factory=dict[str, Any])


def _is_in_calendar(moment: datetime) -> bool:
    try:
        moment.astimezone(UTC)
    except OverflowError:
        return False
    return True


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


class JobAttemptRecord(BaseModel):
    """One attempt at a job; the one that runs now has neither end nor outcome."""

    number: int = Field(ge=1)
    started_at: UtcDatetime
    finished_at: UtcDatetime | None = None
    outcome: str | None = Field(
        default=None,
        description="`completed`, `failed`, `timed-out`, `crashed`, `canceled`, `released`, `recovered`, `taken-over`.",
    )
    error: str | None = None
    error_code: str | None = None
    cpu_seconds: float | None = Field(default=None, description="Processor time.")
    peak_memory: int | None = Field(
        default=None, description="Bytes that the process which did the work held at most meanwhile."
    )


class JobRetryRequest(BaseModel):
    """How a job is to be run again."""

    model_config = ConfigDict(extra="forbid")

    payload: dict[str, Any] | None = Field(
        default=None,
        description="Of a training or prediction: members of the request that take the place of its own. Of a task: "
        "its `parameters`. Of another handler: what takes the place of the whole payload.",
    )

    @field_validator("payload")
    @classmethod
    def _be_json(cls, payload: dict[str, Any] | None) -> dict[str, Any] | None:
        try:
            # As whoever runs the job reads it: what could be written is of no use if it cannot be read.
            from_json(to_json(payload))
        except ValueError as error:
            raise ValueError(f"no job can read it, it may be nested too deeply: {error}") from error
        json.dumps(payload, allow_nan=False)
        return payload


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
