"""The tables of tasks, of their kept results, and of how often these were of use."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Boolean, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from chapkit.core.clock import utc_now
from chapkit.core.columns import JsonType, ULIDType, UtcDateTime
from chapkit.core.ids import ULID
from chapkit.core.models import Base, Entity

KEY_LENGTH = 64


class Task(Entity):
    """A command or the name of a function, with parameters, ready to be run."""

    __tablename__ = "tasks"

    command: Mapped[str] = mapped_column(Text)
    """The text for the shell, or the name of a registered function."""
    task_type: Mapped[str] = mapped_column(String(16), default="shell")
    parameters: Mapped[dict[str, Any] | None] = mapped_column(JsonType, default=None)
    enabled: Mapped[bool] = mapped_column(Boolean, default=True)
    disabled_reason: Mapped[str | None] = mapped_column(Text, default=None)
    disabled_by: Mapped[str | None] = mapped_column(String(16), default=None)
    """`person`, or `orphan` where the function is missing; nothing as long as it is enabled."""
    job: Mapped[dict[str, Any] | None] = mapped_column(JsonType, default=None)
    """How its jobs are to be run, if not as the function says."""


class TaskResult(Base):
    """Where the result of a call is; whoever calls the same again gets that."""

    __tablename__ = "task_results"

    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    """Hash of function, version and parameters."""
    function: Mapped[str] = mapped_column(String, index=True)
    artifact_id: Mapped[ULID] = mapped_column(ULIDType, ForeignKey("artifacts.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    tags: Mapped[list[str]] = mapped_column(JsonType, default=list)


class TaskCacheCount(Base):
    """How often the kept results of a function were of use."""

    __tablename__ = "task_cache_counts"

    function: Mapped[str] = mapped_column(String, primary_key=True)
    hits: Mapped[int] = mapped_column(BigInteger, default=0)
    misses: Mapped[int] = mapped_column(BigInteger, default=0)
    stale: Mapped[int] = mapped_column(BigInteger, default=0)
