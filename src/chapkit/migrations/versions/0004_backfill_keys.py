"""Keys of backfills.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

from chapkit.core.columns import JsonText, ULIDType, UtcDateTime

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "schedule_backfills",
        sa.Column("schedule_id", ULIDType(length=26), nullable=False),
        sa.Column("key", sa.String(length=32), nullable=False),
        sa.Column("fingerprint", sa.String(length=32), nullable=False),
        sa.Column("trigger", JsonText(), nullable=False),
        sa.Column("start_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("end_at", UtcDateTime(timezone=True), nullable=True),
        sa.Column("created_at", UtcDateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["schedule_id"], ["schedules.id"], ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("schedule_id", "key"),
    )


def downgrade() -> None:
    """Go back."""
    op.drop_table("schedule_backfills")
