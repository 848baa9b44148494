"""What was decided about a clip whose checks were read, and how often it was made."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Add the column."""
    op.add_column("assets", sa.Column("ruling", sa.JSON))


def downgrade() -> None:
    """Take it away again."""
    op.drop_column("assets", "ruling")
