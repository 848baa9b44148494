"""Files made from other files: how each was derived, and a quick way from a file to those made from it."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column and the index."""
    op.add_column("assets", sa.Column("derivation", sa.JSON))
    op.create_index("ix_assets_parent_id", "assets", ["parent_id"])


def downgrade() -> None:
    """Take both away again."""
    op.drop_index("ix_assets_parent_id", "assets")
    op.drop_column("assets", "derivation")
