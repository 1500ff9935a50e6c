"""Retries, limits and counters of jobs.

Revision ID: 0002
Revises: 0001
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from chapkit.core.columns import JsonText, JsonType, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_WAITS = sa.text("expires_at IS NOT NULL")
_ENDED = sa.text("finished_at IS NOT NULL")
_RUNS = sa.text("status = 'running'")


_JOBS = ("events", "suspicions", "crashes", "failures", "attempt_started_at", "concurrency_limit", "concurrency_key")


def upgrade() -> None:
    """Add what the durable engine writes down."""
    columns: tuple[sa.Column[Any], ...] = (
        sa.Column("expires_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("timeout", sa.Float(), nullable=True),
        sa.Column("total_timeout", sa.Float(), nullable=True),
        sa.Column("retry", JsonText(), nullable=True),
        sa.Column("concurrency_key", sa.String(), nullable=True),
        sa.Column("concurrency_limit", sa.Integer(), nullable=True),
        sa.Column("attempt_started_at", UtcDateTime(timezone=True), nullable=True),
        *(
            sa.Column(name, sa.Integer(), nullable=False, server_default="0")
            for name in ("failures", "crashes", "suspicions", "events")
        ),
    )
    for column in columns:
        # One by one: SQLite would empty the tables that refer to this one, were it made anew.
        op.add_column("jobs", column)
    op.create_index("ix_jobs_due", "jobs", ["run_after"])
    op.drop_index("ix_jobs_claim", "jobs")
    op.create_index("ix_jobs_claim", "jobs", ["status", "queue", sa.text("priority DESC"), "id", "run_after"])
    op.create_index("ix_jobs_finished", "jobs", ["finished_at", "id"], sqlite_where=_ENDED, postgresql_where=_ENDED)
    op.create_index("ix_jobs_expiry", "jobs", ["expires_at"], sqlite_where=_WAITS, postgresql_where=_WAITS)
    op.create_index("ix_jobs_concurrency", "jobs", ["concurrency_key"], sqlite_where=_RUNS, postgresql_where=_RUNS)
    op.execute(
        "UPDATE jobs SET events = (SELECT COALESCE(MAX(number), 0) FROM job_events WHERE job_id = jobs.id), "
        "attempt_started_at = started_at"
    )
    op.execute("DELETE FROM job_attempts WHERE finished_at IS NULL")
    with op.batch_alter_table("job_attempts") as attempts:
        attempts.add_column(sa.Column("error_code", sa.String(), nullable=True))
        attempts.alter_column("peak_memory", type_=sa.BigInteger(), existing_type=sa.Integer())
    op.add_column("job_owners", sa.Column("queues", JsonType(), nullable=False, server_default="[]"))
    op.add_column("job_owners", sa.Column("slots", sa.Integer(), nullable=False, server_default="0"))


def downgrade() -> None:
    """Go back."""
    op.execute("ALTER TABLE job_owners DROP COLUMN slots")
    op.execute("ALTER TABLE job_owners DROP COLUMN queues")
    with op.batch_alter_table("job_attempts") as attempts:
        attempts.alter_column("peak_memory", type_=sa.Integer(), existing_type=sa.BigInteger())
        attempts.drop_column("error_code")
    for name in ("ix_jobs_concurrency", "ix_jobs_expiry", "ix_jobs_finished", "ix_jobs_due"):
        op.drop_index(name, "jobs")
    op.drop_index("ix_jobs_claim", "jobs")
    op.create_index("ix_jobs_claim", "jobs", ["status", "queue", sa.text("priority DESC"), "id"])
    for name in (*_JOBS, "retry", "timeout", "total_timeout", "expires_at"):
        op.execute(f"ALTER TABLE jobs DROP COLUMN {name}")
