"""What a provider sent is kept as it came, beside the sealed clip."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Add the column."""
    op.add_column("assets", sa.Column("master", sa.JSON))


def downgrade() -> None:
    """Drop it again; the files stay."""
    op.drop_column("assets", "master")
