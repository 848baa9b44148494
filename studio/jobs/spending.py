"""What jobs have cost, kept when a job itself is forgotten."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.jobs.states import FINAL
from studio.library.store import Store
from studio.library.tables import AttemptRow, JobRow, SpendingRow
from studio.money import Money

# How an attempt ended that came to nothing for want of money.
UNPAID = "unpaid"


def is_begun() -> sa.ColumnElement[bool]:
    """Return the condition under which an attempt belongs to a job and may have cost something."""
    may_cost = (sa.func.coalesce(AttemptRow.outcome, "") != UNPAID) & AttemptRow.is_booked.is_(False)
    return (AttemptRow.job_id == JobRow.id) & may_cost


def book(session: Session, row: JobRow) -> None:
    """Keep what a remote job has cost so far: its row is about to forget it. Without a bill the estimate counts."""
    if row.pool != "remote":
        return
    begun_at = session.scalar(sa.select(sa.func.max(AttemptRow.started_at)).where(is_begun(), JobRow.id == row.id))
    money = Money.from_json(row.billed) or Money.from_json(row.estimate)
    if begun_at is not None and money is not None and money.amount > 0:
        session.add(
            SpendingRow(batch_id=row.batch_id, amount=money.amount, currency=money.currency, started_at=begun_at)
        )
    session.execute(sa.update(AttemptRow).where(AttemptRow.job_id == row.id).values(is_booked=True))
    session.flush()


def spent_before(session: Session, *, batch_id: str | None, since: datetime | None) -> list[Money | None]:
    """Return what was kept of jobs that are forgotten or were ordered anew. since, batch_id: None for all."""
    query = sa.select(SpendingRow.amount, SpendingRow.currency)
    if batch_id is not None:
        query = query.where(SpendingRow.batch_id == batch_id)
    if since is not None:
        query = query.where(SpendingRow.started_at >= since)
    return [Money(amount=row[0], currency=row[1]) for row in session.execute(query)]


def forget_job(store: Store, job_id: str) -> bool:
    """Delete the row of a job that has ended, and with it the prompt and the paths in its request; not what it cost.

    Returns False if there is no such job, or it has not ended.
    """

    def work(session: Session) -> bool:
        row = session.get(JobRow, job_id, with_for_update=True)
        if row is None or row.state not in FINAL:
            return False
        book(session, row)
        session.execute(sa.delete(JobRow).where(JobRow.id == job_id))
        return True

    return store.database.retrying(work)
