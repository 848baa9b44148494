"""A queue that many workers share: order, leases, attempts, workers, batches."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def _new() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("pool", sa.String(16), nullable=False, server_default="local"),
        sa.Column("priority", sa.Integer, nullable=False, server_default="0"),
        sa.Column("position", sa.Double, nullable=False, server_default="0"),
        sa.Column("is_paused", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("asked", sa.String(16)),
        sa.Column("is_attended", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("batch_id", sa.String(40)),
        sa.Column("entry", sa.Integer),
        sa.Column("client_key", sa.String(200)),
        sa.Column("terms", sa.JSON),
        sa.Column("worker", sa.String(80)),
        sa.Column("token", sa.Integer, nullable=False, server_default="0"),
        sa.Column("deaths", sa.Integer, nullable=False, server_default="0"),
        sa.Column("progress", sa.JSON),
        sa.Column("estimate", sa.JSON),
        sa.Column("billed", sa.JSON),
    )


_INDEXES: tuple[tuple[str, list[str | sa.TextClause], bool], ...] = (
    ("jobs_in_line", ["state", sa.text("priority DESC"), "position", "id"], False),
    ("jobs_by_state_and_time", ["state", "created_at", "id"], False),
    ("jobs_by_time", ["created_at", "id"], False),
    ("jobs_of_batch", ["batch_id", "entry"], False),
    ("ix_jobs_worker", ["worker"], False),
    ("jobs_by_client_key", ["client_key"], True),
)


def upgrade() -> None:
    """Add columns and tables. There was no queue: a job that is not finished was a person's, and its process died."""
    time = sa.DateTime(timezone=True)
    for column in _new():
        op.add_column("jobs", column)
    op.execute("UPDATE jobs SET is_attended = (1 = 1), state = 'running' WHERE state IN ('queued', 'running')")
    op.drop_index("ix_jobs_state", "jobs")
    for name, columns, unique in _INDEXES:
        op.create_index(name, "jobs", columns, unique=unique)
    op.create_table(
        "attempts",
        sa.Column("job_id", sa.String(40), sa.ForeignKey("jobs.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("worker", sa.String(80), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("device", sa.String(40), nullable=False),
        sa.Column("started_at", time, nullable=False),
        sa.Column("ended_at", time),
        sa.Column("outcome", sa.String(16)),
        sa.Column("error", sa.JSON),
        sa.Column("timings", sa.JSON),
        sa.Column("is_booked", sa.Boolean, nullable=False, server_default=sa.false()),
    )
    op.create_table(
        "workers",
        sa.Column("id", sa.String(80), primary_key=True),
        sa.Column("place", sa.String(200), nullable=False),
        sa.Column("host", sa.String(255), nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("pool", sa.String(16)),
        sa.Column("device", sa.String(40), nullable=False),
        sa.Column("is_resident", sa.Boolean, nullable=False),
        sa.Column("batch_id", sa.String(40)),
        sa.Column("model", sa.String(80)),
        sa.Column("job_id", sa.String(40)),
        sa.Column("beat", sa.BigInteger, nullable=False),
        sa.Column("started_at", time, nullable=False),
    )
    op.create_table(
        "batches",
        sa.Column("id", sa.String(40), primary_key=True),
        sa.Column("number", sa.Integer, nullable=False, index=True),
        sa.Column("path", sa.Text, nullable=False, index=True),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("budget", sa.JSON),
        sa.Column("created_at", time, nullable=False),
    )
    op.create_table(
        "spending",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("batch_id", sa.String(40)),
        sa.Column("amount", sa.Double, nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("started_at", time, nullable=False, index=True),
    )
    op.create_table(
        "switches",
        sa.Column("name", sa.String(40), primary_key=True),
        sa.Column("is_on", sa.Boolean, nullable=False),
    )


def downgrade() -> None:
    """Drop them again."""
    for table in ("switches", "spending", "batches", "workers", "attempts"):
        op.drop_table(table)
    for name, _columns, _unique in _INDEXES:
        op.drop_index(name, "jobs")
    op.create_index("ix_jobs_state", "jobs", ["state"])
    for column in _new():
        op.drop_column("jobs", column.name)
