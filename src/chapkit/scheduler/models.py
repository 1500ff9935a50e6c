"""The tables of schedules: what is to be submitted when, and what became of each tick."""

from datetime import datetime
from typing import Any

from sqlalchemy import Float, ForeignKey, Index, Integer, String, Text, TextClause, text
from sqlalchemy.orm import Mapped, mapped_column

from chapkit.core.clock import utc_now
from chapkit.core.columns import JsonText, JsonType, ULIDType, UtcDateTime
from chapkit.core.ids import ULID
from chapkit.core.models import Base, Entity


def _where(condition: TextClause) -> dict[str, Any]:
    return {"sqlite_where": condition, "postgresql_where": condition}


class Schedule(Entity):
    """What is submitted, and when."""

    __tablename__ = "schedules"
    __table_args__ = (
        # What is not due ever does not burden those that look for what is.
        Index("ix_schedules_due", "next_run_at", "id", **_where(text("next_run_at IS NOT NULL"))),
        Index("ix_schedules_task", "task_id", **_where(text("task_id IS NOT NULL"))),
    )

    name: Mapped[str] = mapped_column(String)
    target: Mapped[str] = mapped_column(String)
    arguments: Mapped[dict[str, Any]] = mapped_column(JsonType, default=dict)
    task_id: Mapped[ULID | None] = mapped_column(ULIDType)
    """The task that it submits, if its target is one."""
    trigger: Mapped[str] = mapped_column(JsonText)
    start_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    end_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    jitter: Mapped[float] = mapped_column(Float, default=0.0)
    """Seconds."""
    missed: Mapped[Any] = mapped_column(JsonType, default="latest")
    grace: Mapped[float] = mapped_column(Float, default=60.0)
    """Seconds."""
    overlap: Mapped[str] = mapped_column(String, default="skip")
    job: Mapped[dict[str, Any] | None] = mapped_column(JsonType)
    """How its jobs are run."""
    enabled: Mapped[bool] = mapped_column(default=True)
    paused_reason: Mapped[str | None] = mapped_column(Text)
    held_reason: Mapped[str | None] = mapped_column(Text)
    """Why it waits for something that it depends on."""
    max_failures: Mapped[int | None] = mapped_column(Integer)
    failures: Mapped[int] = mapped_column(Integer, default=0)
    """Failures in a row."""
    managed_by: Mapped[str | None] = mapped_column(String)
    """`code`, where a service declares it; then `code_key` says which one it is."""
    code_key: Mapped[str | None] = mapped_column(String, unique=True)
    next_run_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    """The first tick that nobody has seen to; null while it is paused or held, and when there is none."""
    last_scheduled_for: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_outcome: Mapped[str | None] = mapped_column(String)
    last_reason: Mapped[str | None] = mapped_column(Text)
    last_job_id: Mapped[ULID | None] = mapped_column(ULIDType)
    active: Mapped[list[str]] = mapped_column(JsonType, default=list)
    """Its jobs that had not ended when it was last looked at, in the order of their submission."""
    ticks: Mapped[int] = mapped_column(Integer, default=0)
    """How many were written down in all; the oldest ones are taken away."""


class ScheduleTick(Base):
    """A moment at which a schedule was due, and what became of it; there is one row for each, whoever comes first."""

    __tablename__ = "schedule_ticks"

    schedule_id: Mapped[ULID] = mapped_column(
        ULIDType, ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True
    )
    scheduled_for: Mapped[datetime] = mapped_column(UtcDateTime, primary_key=True)
    source: Mapped[str] = mapped_column(String, default="trigger")
    """Its trigger, a backfill, or somebody who asked for it."""
    outcome: Mapped[str] = mapped_column(String)
    reason: Mapped[str | None] = mapped_column(Text)
    job_id: Mapped[ULID | None] = mapped_column(ULIDType)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)


class ScheduleBackfill(Base):
    """A backfill that was asked for under a key; asked again, it makes up for the same ticks."""

    __tablename__ = "schedule_backfills"

    schedule_id: Mapped[ULID] = mapped_column(
        ULIDType, ForeignKey("schedules.id", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(String(32), primary_key=True)
    """Stands for the key that was sent."""
    fingerprint: Mapped[str] = mapped_column(String(32))
    """Stands for what was asked for."""
    trigger: Mapped[str] = mapped_column(JsonText)
    """When the schedule was due at that time."""
    start_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    end_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
