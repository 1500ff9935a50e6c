"""The tables of jobs: what to do, every attempt at it, what happened, and who works."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Float, ForeignKey, Index, Integer, String, Text, TextClause, text
from sqlalchemy.orm import Mapped, mapped_column

from chapkit.core.clock import utc_now
from chapkit.core.columns import JsonText, JsonType, ULIDType, UtcDateTime
from chapkit.core.ids import ULID
from chapkit.core.models import Base


def _where(condition: TextClause) -> dict[str, Any]:
    return {"sqlite_where": condition, "postgresql_where": condition}


class Job(Base):
    """One execution of a handler."""

    __tablename__ = "jobs"
    __table_args__ = (
        # In the order in which jobs are claimed, so that a claim reads one row however many wait.
        Index("ix_jobs_claim", "status", "queue", text("priority DESC"), "id", "run_after"),
        Index("ix_jobs_status", "status", "id"),
        Index("ix_jobs_due", "run_after"),
        Index("ix_jobs_finished", "finished_at", "id", **_where(text("finished_at IS NOT NULL"))),
        Index("ix_jobs_expiry", "expires_at", **_where(text("expires_at IS NOT NULL"))),
        Index("ix_jobs_concurrency", "concurrency_key", **_where(text("status = 'running'"))),
    )

    id: Mapped[ULID] = mapped_column(ULIDType, primary_key=True, default=ULID)
    handler: Mapped[str] = mapped_column(String)
    kind: Mapped[str] = mapped_column(String)
    """What clients filter by; the handler's name unless the labels say otherwise."""
    name: Mapped[str | None] = mapped_column(String)
    payload: Mapped[str] = mapped_column(JsonText, default="{}")
    payload_blob: Mapped[str | None] = mapped_column(String(64))
    """SHA-256 of a payload that is too large for the row."""
    labels: Mapped[dict[str, Any]] = mapped_column(JsonType, default=dict)
    queue: Mapped[str] = mapped_column(String, default="default")
    priority: Mapped[int] = mapped_column(Integer, default=0)
    status: Mapped[str] = mapped_column(String, default="pending")
    durable: Mapped[bool] = mapped_column(default=True)
    key: Mapped[str | None] = mapped_column(String, unique=True)
    """What makes a repeated submit the same job."""
    fingerprint: Mapped[str | None] = mapped_column(String(64))
    """SHA-256 of the request, to tell a repeated submit from another one under the same key."""
    run_after: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    deadline: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When the job has to have ended, all attempts together."""
    total_timeout: Mapped[float | None] = mapped_column(Float)
    """Seconds from its submission, or from when it is retried by hand, to the deadline."""
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """When it is too late to start it: the deadline, or before that the end of its time in the queue."""
    timeout: Mapped[float | None] = mapped_column(Float)
    """Seconds that one attempt may take."""
    retry: Mapped[str | None] = mapped_column(JsonText)
    concurrency_key: Mapped[str | None] = mapped_column(String)
    concurrency_limit: Mapped[int | None] = mapped_column(Integer)
    """How many jobs with the same key may run at once."""
    attempt: Mapped[int] = mapped_column(Integer, default=0)
    attempt_started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failures: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Attempts that ended with an exception."""
    crashes: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Attempts in which the job's own child process died."""
    suspicions: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """How many times in a row the whole service died while the job ran."""
    events: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Number of its last event."""
    owner: Mapped[str | None] = mapped_column(String(26), index=True)
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    progress: Mapped[float | None] = mapped_column(Float)
    error: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(String)
    error_traceback: Mapped[str | None] = mapped_column(Text)
    result: Mapped[str | None] = mapped_column(JsonText)
    artifact_id: Mapped[ULID | None] = mapped_column(ULIDType, index=True)
    submitted_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class JobAttempt(Base):
    """One attempt at a job that has ended; what runs now stands in the job itself."""

    __tablename__ = "job_attempts"

    job_id: Mapped[ULID] = mapped_column(ULIDType, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    owner: Mapped[str] = mapped_column(String(26))
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    outcome: Mapped[str | None] = mapped_column(String)
    error: Mapped[str | None] = mapped_column(Text)
    error_code: Mapped[str | None] = mapped_column(String)
    error_traceback: Mapped[str | None] = mapped_column(Text)
    cpu_seconds: Mapped[float | None] = mapped_column(Float)
    peak_memory: Mapped[int | None] = mapped_column(BigInteger)
    """Bytes."""


class JobEvent(Base):
    """Something that happened to a job; `number` counts from 1 without a gap."""

    __tablename__ = "job_events"

    job_id: Mapped[ULID] = mapped_column(ULIDType, ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str] = mapped_column(String)
    data: Mapped[str] = mapped_column(JsonText)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class JobOwner(Base):
    """A process that works on jobs; every start of a process is a new owner."""

    __tablename__ = "job_owners"

    id: Mapped[ULID] = mapped_column(ULIDType, primary_key=True, default=ULID)
    host: Mapped[str] = mapped_column(String)
    pid: Mapped[int] = mapped_column(Integer)
    lock: Mapped[str] = mapped_column(String)
    """Name of the lock that the operating system frees when the process ends."""
    queues: Mapped[list[str]] = mapped_column(JsonType, default=list, server_default="[]")
    """Those that it takes jobs of; none where nothing runs."""
    slots: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
