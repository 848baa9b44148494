"""What the first databases of revision 0004 lack: that revision was still changed after somebody had used it."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Add what is missing; a database made by the finished 0004 has it all."""
    inspector = sa.inspect(op.get_bind())

    def lacks(table: str, column: str) -> bool:
        return column not in {item["name"] for item in inspector.get_columns(table)}

    if lacks("attempts", "is_booked"):
        op.add_column("attempts", sa.Column("is_booked", sa.Boolean, nullable=False, server_default=sa.false()))
    if lacks("batches", "number"):
        op.add_column("batches", sa.Column("number", sa.Integer, nullable=False, server_default="0"))
        op.create_index("ix_batches_number", "batches", ["number"])
    if not inspector.has_table("spending"):
        op.create_table(
            "spending",
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("batch_id", sa.String(40)),
            sa.Column("amount", sa.Double, nullable=False),
            sa.Column("currency", sa.String(8), nullable=False),
            sa.Column("started_at", sa.DateTime(timezone=True), nullable=False, index=True),
        )


def downgrade() -> None:
    """Leave all as it is: the finished 0004 has the same tables."""
