"""A ledger of every order and every piece of work, in place of sums that were kept of forgotten jobs alone."""

from fractions import Fraction
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_TIME = sa.DateTime(timezone=True)


def _columns() -> tuple[sa.Column[Any], ...]:
    return (
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("job_id", sa.String(40)),
        sa.Column("batch_id", sa.String(40)),
        sa.Column("number", sa.Integer),
        sa.Column("order_number", sa.Integer, nullable=False),
        sa.Column("is_left", sa.Boolean, nullable=False),
        sa.Column("pool", sa.String(16), nullable=False),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("model", sa.String(80), nullable=False),
        sa.Column("task", sa.String(40), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("ordered_at", _TIME, nullable=False),
        sa.Column("settled_at", _TIME),
        sa.Column("amount", sa.Double),
        sa.Column("currency", sa.String(8)),
        sa.Column("units", sa.Double),
        sa.Column("unit", sa.String(20)),
        sa.Column("source", sa.String(16)),
        sa.Column("clip_seconds", sa.Double),
        sa.Column("work_seconds", sa.Double),
    )


_SPENDING = sa.table(
    "spending",
    sa.column("id", sa.Integer),
    sa.column("batch_id", sa.String),
    sa.column("amount", sa.Double),
    sa.column("currency", sa.String),
    sa.column("started_at", _TIME),
)
_JOBS = sa.table(
    "jobs",
    *(sa.column(name, sa.String) for name in ("id", "batch_id", "model", "state", "pool")),
    *(sa.column(name, sa.JSON) for name in ("request", "terms", "estimate", "billed")),
)
_ATTEMPTS = sa.table(
    "attempts",
    sa.column("job_id", sa.String),
    sa.column("started_at", _TIME),
    sa.column("outcome", sa.String),
    sa.column("is_booked", sa.Boolean),
)


def upgrade() -> None:
    """Carry over what was spent: on jobs that are forgotten, and on those that a worker has begun."""
    ledger = op.create_table("ledger", *_columns(), sqlite_autoincrement=True)
    op.create_index("ledger_by_order", "ledger", ["job_id", "number", "order_number"], unique=True)
    op.create_index("ledger_by_time", "ledger", ["ordered_at"])
    op.create_index("ledger_of_batch", "ledger", ["batch_id"])
    connection = op.get_bind()
    spent = connection.execute(sa.select(_SPENDING).order_by(_SPENDING.c.id)).all()
    entries = [_of_spending(row) for row in spent]
    begun = (_ATTEMPTS.c.job_id == _JOBS.c.id) & ~_ATTEMPTS.c.is_booked
    begun &= sa.func.coalesce(_ATTEMPTS.c.outcome, "") != "unpaid"
    begun_at = sa.select(sa.func.max(_ATTEMPTS.c.started_at)).where(begun).scalar_subquery()
    jobs = connection.execute(sa.select(_JOBS, begun_at.label("begun_at")).where(_JOBS.c.pool == "remote")).all()
    entries += [_of_job(row) for row in jobs if row.begun_at is not None]
    if entries:
        op.bulk_insert(ledger, entries)
    for row in jobs:
        _spread_estimate(connection, row)
    op.drop_table("spending")
    op.drop_column("attempts", "is_booked")


def _of_spending(row: sa.Row[Any]) -> dict[str, Any]:
    return _entry() | {
        "batch_id": row.batch_id,
        "is_left": True,
        "state": "unknown",  # it was billed, or else estimated; nobody wrote down which
        "ordered_at": row.started_at,
        "settled_at": row.started_at,
        "amount": row.amount,
        "currency": row.currency,
    }


def _of_job(row: sa.Row[Any]) -> dict[str, Any]:
    """Return the entry of a job that was begun: what was billed, or else the estimate, as it was counted before."""
    request = row.request or {}
    money, source = (row.billed, "provider") if row.billed else (row.estimate or {}, "list price")
    has_clip = row.state == "succeeded"
    state = "open" if row.state in ("queued", "running") else "charged" if has_clip or row.billed else "unknown"
    known = money.get("amount") is not None
    return _entry() | {
        "job_id": row.id,
        "batch_id": row.batch_id,
        "number": 1,
        "model": row.model,
        "task": str(request.get("task") or "unknown")[:40],
        "state": state,
        "ordered_at": row.begun_at,
        "settled_at": None if state == "open" else row.begun_at,
        "amount": money.get("amount"),
        "currency": money.get("currency") if known else None,
        "source": source if known else None,
        "clip_seconds": _clip_seconds(request) if has_clip else None,
    }


def _entry() -> dict[str, Any]:
    unknown = dict.fromkeys(("provider", "model", "task"), "unknown")
    return dict.fromkeys(column.name for column in _columns() if column.name != "id") | {
        "order_number": 1,
        "is_left": False,
        "pool": "remote",
        **unknown,
    }


def _clip_seconds(request: dict[str, Any]) -> float | None:
    try:
        return float(request["num_frames"] / Fraction(str(request["frame_rate"])))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _spread_estimate(connection: sa.Connection, row: sa.Row[Any]) -> None:
    """Let an estimate be that of one clip: until now it was that of all that a policy of retries may make."""
    word, _, retries = str((row.terms or {}).get("policy", "")).partition(":")
    amount = (row.estimate or {}).get("amount")
    if word != "retry" or not retries.isdecimal() or not amount:
        return
    one = row.estimate | {"amount": amount / (int(retries) + 1)}
    connection.execute(sa.update(_JOBS).where(_JOBS.c.id == row.id).values(estimate=one))


def downgrade() -> None:
    """Keep the sums alone again."""
    op.add_column("attempts", sa.Column("is_booked", sa.Boolean, nullable=False, server_default=sa.false()))
    op.create_table(
        "spending",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("batch_id", sa.String(40)),
        sa.Column("amount", sa.Double, nullable=False),
        sa.Column("currency", sa.String(8), nullable=False),
        sa.Column("started_at", _TIME, nullable=False, index=True),
    )
    op.execute(
        "INSERT INTO spending (batch_id, amount, currency, started_at) SELECT batch_id, amount, currency, ordered_at "
        "FROM ledger WHERE pool = 'remote' AND is_left AND state <> 'free' AND amount > 0"
    )
    op.drop_table("ledger")
