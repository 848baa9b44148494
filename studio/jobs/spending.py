"""Forgets jobs; what they cost stays in the ledger."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.jobs.states import FINAL
from studio.library.store import Store
from studio.library.tables import JobRow
from studio.spending.ledger import leave_orders

# How an attempt ended that came to nothing for want of money.
UNPAID = "unpaid"


def forget_job(store: Store, job_id: str) -> bool:
    """Delete the row of a job in a transaction of its own; see `drop_job`."""
    return store.database.retrying(lambda session: drop_job(session, job_id))


def drop_job(session: Session, job_id: str) -> bool:
    """Delete the row of a job that has ended, and with it the prompt and the paths in its request; not what it cost.

    Returns False if there is no such job, or it has not ended.
    """
    row = session.get(JobRow, job_id, with_for_update=True)
    if row is None or row.state not in FINAL:
        return False
    leave_orders(session, job_id)
    session.execute(sa.delete(JobRow).where(JobRow.id == job_id))
    return True
