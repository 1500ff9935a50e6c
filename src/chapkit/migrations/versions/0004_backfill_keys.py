"""Keys of backfills.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op

from chapkit.core.columns import JsonType

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add what tells which requests were granted."""
    op.add_column("schedules", sa.Column("backfills", JsonType(), nullable=False, server_default="[]"))
    op.add_column("schedule_ticks", sa.Column("backfill", sa.String(length=32), nullable=True))


def downgrade() -> None:
    """Go back."""
    op.drop_column("schedule_ticks", "backfill")
    op.drop_column("schedules", "backfills")
