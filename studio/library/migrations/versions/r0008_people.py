"""Accounts and what is whose, notes on clips, collections, comparisons, and a glimpse of what is being made."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_TIME = sa.DateTime(timezone=True)
_TABLES = ("glimpses", "votes", "entries", "comparisons", "collected", "collections", "tags", "notes", "presets",
           "owners", "visits", "accounts")  # fmt: skip


def _id(name: str = "id") -> sa.Column[Any]:
    return sa.Column(name, sa.String(40), primary_key=True)


def _of(name: str, target: str, length: int = 40, **how: Any) -> sa.Column[Any]:
    return sa.Column(name, sa.String(length), sa.ForeignKey(target, ondelete="CASCADE"), nullable=False, **how)


def _filled(name: str, kind: Any, **how: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **how)


def upgrade() -> None:
    """Make the tables."""
    _people()
    _curation()
    _comparisons()
    op.create_table(
        "glimpses",
        _of("job_id", "jobs.id", primary_key=True),
        _filled("number", sa.Integer),
        _filled("mime_type", sa.String(40)),
        _filled("content", sa.LargeBinary),
    )


def _people() -> None:
    op.create_table(
        "accounts",
        _id("name"),
        _filled("role", sa.String(16)),
        _filled("password", sa.String(300)),
        _filled("is_closed", sa.Boolean),
        _filled("created_at", _TIME),
    )
    op.create_table(
        "visits",
        sa.Column("token_sha256", sa.String(64), primary_key=True),
        _of("account", "accounts.name", index=True),
        _filled("created_at", _TIME),
        _filled("expires_at", _TIME),
    )
    op.create_table("owners", _id("thing_id"), _of("account", "accounts.name", index=True))
    op.create_table(
        "presets",
        _id(),
        _filled("account", sa.String(40)),
        _filled("model", sa.String(80)),
        _filled("name", sa.String(80)),
        _filled("values", sa.JSON),
        _filled("created_at", _TIME),
    )
    op.create_index("presets_by_name", "presets", ["account", "model", "name"], unique=True)


def _curation() -> None:
    op.create_table(
        "notes",
        _of("asset_id", "assets.id", primary_key=True),
        sa.Column("rating", sa.Integer),
        _filled("caption", sa.Text),
        sa.Column("binned_at", _TIME, index=True),
    )
    op.create_table(
        "tags",
        _of("asset_id", "assets.id", primary_key=True),
        sa.Column("tag", sa.String(40), primary_key=True, index=True),
    )
    op.create_table("collections", _id(), _filled("name", sa.String(80), unique=True), _filled("created_at", _TIME))
    op.create_table(
        "collected",
        _of("collection_id", "collections.id", primary_key=True),
        _of("asset_id", "assets.id", primary_key=True, index=True),
        _filled("added_at", _TIME),
    )


def _comparisons() -> None:
    op.create_table(
        "comparisons",
        _id(),
        _filled("title", sa.String(200)),
        _filled("request", sa.JSON),
        _filled("tags", sa.JSON),
        _filled("created_at", _TIME),
    )
    op.create_index("comparisons_by_time", "comparisons", ["created_at", "id"])
    op.create_table(
        "entries",
        _of("comparison_id", "comparisons.id", primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        _filled("label", sa.String(200)),
        _filled("model", sa.String(80), index=True),
        sa.Column("job_id", sa.String(40), index=True),
        _filled("changes", sa.JSON),
        _filled("differences", sa.JSON),
        sa.Column("error", sa.JSON),
    )
    op.create_table(
        "votes",
        _id(),
        _of("comparison_id", "comparisons.id"),
        _filled("left", sa.Integer),
        _filled("right", sa.Integer),
        _filled("verdict", sa.String(16)),
        _filled("reasons", sa.JSON),
        _filled("was_blind", sa.Boolean),
        _filled("voter", sa.String(40)),
        _filled("created_at", _TIME),
    )
    op.create_index("votes_by_comparison", "votes", ["comparison_id", "created_at"])


def downgrade() -> None:
    """Drop them; the clips stay."""
    for name in _TABLES:
        op.drop_table(name)
