"""Tasks, their kept results, and schedules.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

from chapkit.core.columns import JsonText, JsonType, ULIDType, UtcDateTime

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_IS_DUE = sa.text("next_run_at IS NOT NULL")
_HAS_TASK = sa.text("task_id IS NOT NULL")


def upgrade() -> None:
    """Add the tables."""
    op.create_table(
        "schedules",
        sa.Column("id", ULIDType(length=26), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("updated_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("tags", JsonType(), server_default="[]", nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("target", sa.String(), nullable=False),
        sa.Column("arguments", JsonType(), nullable=False),
        sa.Column("task_id", ULIDType(length=26), nullable=True),
        sa.Column("trigger", JsonText(), nullable=False),
        sa.Column("start_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("end_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("jitter", sa.Float(), nullable=False),
        sa.Column("missed", JsonType(), nullable=False),
        sa.Column("grace", sa.Float(), nullable=False),
        sa.Column("overlap", sa.String(), nullable=False),
        sa.Column("job", JsonType(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("paused_reason", sa.Text(), nullable=True),
        sa.Column("held_reason", sa.Text(), nullable=True),
        sa.Column("max_failures", sa.Integer(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("managed_by", sa.String(), nullable=True),
        sa.Column("code_key", sa.String(), nullable=True),
        sa.Column("next_run_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_scheduled_for", UtcDateTime(timezone=True), nullable=True),
        sa.Column("last_outcome", sa.String(), nullable=True),
        sa.Column("last_reason", sa.Text(), nullable=True),
        sa.Column("last_job_id", ULIDType(length=26), nullable=True),
        sa.Column("active", JsonType(), nullable=False),
        sa.Column("ticks", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("code_key"),
    )
    op.create_index(
        "ix_schedules_due",
        "schedules",
        ["next_run_at", "id"],
        unique=False,
        sqlite_where=_IS_DUE,
        postgresql_where=_IS_DUE,
    )
    op.create_index(
        "ix_schedules_task", "schedules", ["task_id"], unique=False, sqlite_where=_HAS_TASK, postgresql_where=_HAS_TASK
    )
    op.create_table(
        "task_cache_counts",
        sa.Column("function", sa.String(), nullable=False),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("misses", sa.BigInteger(), nullable=False),
        sa.Column("stale", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("function"),
    )
    op.create_table(
        "tasks",
        sa.Column("id", ULIDType(length=26), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("updated_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("tags", JsonType(), server_default="[]", nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("task_type", sa.String(length=16), nullable=False),
        sa.Column("parameters", JsonType(), nullable=True),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("disabled_reason", sa.Text(), nullable=True),
        sa.Column("disabled_by", sa.String(length=16), nullable=True),
        sa.Column("job", JsonType(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "schedule_ticks",
        sa.Column("schedule_id", ULIDType(length=26), nullable=False),
        sa.Column("scheduled_for", UtcDateTime(timezone=True), nullable=False),
        sa.Column("source", sa.String(), nullable=False),
        sa.Column("outcome", sa.String(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("job_id", ULIDType(length=26), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedules.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("schedule_id", "scheduled_for"),
    )
    op.create_table(
        "task_results",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("function", sa.String(), nullable=False),
        sa.Column("artifact_id", ULIDType(length=26), nullable=False),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("tags", JsonType(), nullable=False),
        sa.ForeignKeyConstraint(["artifact_id"], ["artifacts.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("key"),
    )
    op.create_index("ix_task_results_artifact_id", "task_results", ["artifact_id"], unique=False)
    op.create_index("ix_task_results_expires_at", "task_results", ["expires_at"], unique=False)
    op.create_index("ix_task_results_function", "task_results", ["function"], unique=False)


def downgrade() -> None:
    """Go back."""
    for table in ("task_results", "schedule_ticks", "tasks", "task_cache_counts", "schedules"):
        op.drop_table(table)
