"""Jobs and assets."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Create both tables."""
    time = sa.DateTime(timezone=True)
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("reason", sa.String(16)),
        sa.Column("model", sa.String(80), nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("error", sa.JSON),
        sa.Column("process", sa.String(200)),
        sa.Column("operation", sa.JSON),
        sa.Column("created_at", time, nullable=False),
        sa.Column("started_at", time),
        sa.Column("ended_at", time),
    )
    op.create_table(
        "assets",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("job_id", sa.String(40), sa.ForeignKey("jobs.id", ondelete="SET NULL"), index=True),
        sa.Column("parent_id", sa.String(40), sa.ForeignKey("assets.id", ondelete="SET NULL")),
        sa.Column("path", sa.Text, nullable=False, unique=True),
        sa.Column("mime_type", sa.String(40), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False, index=True),
        sa.Column("frames_sha256", sa.String(64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("width", sa.Integer, nullable=False),
        sa.Column("height", sa.Integer, nullable=False),
        sa.Column("num_frames", sa.Integer, nullable=False),
        sa.Column("frame_rate", sa.String(40), nullable=False),
        sa.Column("model", sa.String(80), nullable=False, index=True),
        sa.Column("task", sa.String(40), nullable=False),
        sa.Column("prompt", sa.Text, nullable=False),
        sa.Column("seed", sa.String(20), nullable=False),
        sa.Column("request", sa.JSON, nullable=False),
        sa.Column("report", sa.JSON, nullable=False),
        sa.Column("checks_passed", sa.Boolean),
        sa.Column("watermark_id", sa.String(16), index=True),
        sa.Column("manifest_store", sa.LargeBinary, nullable=False),
        sa.Column("generation_seconds", sa.Float, nullable=False),
        sa.Column("created_at", time, nullable=False),
    )
    op.create_index("assets_by_time", "assets", ["created_at"])


def downgrade() -> None:
    """Drop both tables."""
    op.drop_table("assets")
    op.drop_table("jobs")
