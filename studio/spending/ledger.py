"""The ledger: what every order at a provider cost, as far as it is known, and how long our own machines worked.

Entries hold no prompt, no key and no address, and outlive the jobs that they were for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.consistency.policy import Policy
from studio.library.store import Store
from studio.library.tables import JobRow, LedgerRow
from studio.spending.money import Money

LOCAL, REMOTE = "local", "remote"
LIST_PRICE, PROVIDER = "list price", "provider"


class EntryState(StrEnum):
    """How an order stands: sent or about to be, charged, free, or of unknown cost. All but free count as paid."""

    OPEN = "open"
    CHARGED = "charged"
    FREE = "free"
    UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One order at a provider, or one piece of local work. job_id: None where it is not known any more.

    number: of the clip in its job, from 1. order_number: of the order of that clip. pool: local or remote.
    money: what it cost or is estimated to cost, None where nobody knows. units: such as 60 of the unit ``credit``.
    source: of the money: ``provider`` or ``list price``. clip_seconds: of output, None where none came.
    work_seconds: of a device of our own.
    """

    id: int
    job_id: str | None
    batch_id: str | None
    number: int | None
    order_number: int
    pool: str
    provider: str
    model: str
    task: str
    state: EntryState
    ordered_at: datetime
    settled_at: datetime | None
    money: Money | None
    units: float | None
    unit: str | None
    source: str | None
    clip_seconds: float | None
    work_seconds: float | None

    def as_json(self) -> dict[str, Any]:
        """Return a JSON object."""
        return {
            **self.__dict__,
            "state": self.state.value,
            "money": None if self.money is None else self.money.as_json(),
            "ordered_at": self.ordered_at.isoformat(),
            "settled_at": None if self.settled_at is None else self.settled_at.isoformat(),
        }


@dataclass(frozen=True, kw_only=True)
class Work:
    """What is to be made: for which clip of which job, by which model, and where.

    money: by the list price, None where nobody knows.
    """

    job_id: str
    batch_id: str | None
    number: int
    pool: str
    provider: str
    model: str
    task: str
    money: Money | None = None


class Ledger:
    """Reads the ledger."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def entries(
        self,
        since: datetime | None = None,
        until: datetime | None = None,
        *,
        pool: str | None = None,
        job_id: str | None = None,
        models: Sequence[str] = (),
    ) -> list[Entry]:
        """Return entries, the oldest first. since, until: of the order, from and before. models: empty for all."""
        query = sa.select(LedgerRow).order_by(LedgerRow.ordered_at, LedgerRow.id)
        if since is not None:
            query = query.where(LedgerRow.ordered_at >= since)
        if until is not None:
            query = query.where(LedgerRow.ordered_at < until)
        if pool is not None:
            query = query.where(LedgerRow.pool == pool)
        if job_id is not None:
            query = query.where(LedgerRow.job_id == job_id)
        if models:
            query = query.where(LedgerRow.model.in_(models))
        with self._store.database.read() as session:
            return [_entry_of(row) for row in session.scalars(query)]


def spent(
    session: Session, *, batch_id: str | None = None, since: datetime | None = None, leave_out: int | None = None
) -> list[Money]:
    """Return what remote orders cost, one sum for each currency: all that are not known to be free.

    since, batch_id: None for all. leave_out: the id of an entry.
    """
    total = sa.func.sum(LedgerRow.amount)
    query = sa.select(LedgerRow.currency, total).where(
        LedgerRow.pool == REMOTE, LedgerRow.state != EntryState.FREE, LedgerRow.amount.is_not(None)
    )
    if batch_id is not None:
        query = query.where(LedgerRow.batch_id == batch_id)
    if since is not None:
        query = query.where(LedgerRow.ordered_at >= since)
    if leave_out is not None:
        query = query.where(LedgerRow.id != leave_out)
    rows = session.execute(query.group_by(LedgerRow.currency))
    return [Money(amount=float(row[1] or 0.0), currency=str(row[0])) for row in rows]


def is_of(job_id: str | sa.ColumnElement[str]) -> sa.ColumnElement[bool]:
    """Return the condition of a job's entries, those left out that are from before it was ordered anew."""
    return (LedgerRow.job_id == job_id) & LedgerRow.is_left.is_(False)


def latest(session: Session, job_id: str, number: int | None = None) -> LedgerRow | None:
    """Return the last entry of a job, or of one of its clips; None where there is none since it was ordered anew."""
    query = sa.select(LedgerRow).where(is_of(job_id))
    if number is not None:
        query = query.where(LedgerRow.number == number)
    return session.scalars(query.order_by(LedgerRow.id.desc()).limit(1)).first()


def open_order(session: Session, work: Work, *, is_new: bool) -> LedgerRow:
    """Return the entry under which an order is counted from now on, with its list price.

    One that is open already is the same order: it was about to be sent when its process died. is_new: False where an
    order goes on that was sent before; then its entry is found however it stands.
    """
    row = latest(session, work.job_id, work.number)
    if row is not None and (row.state == EntryState.OPEN or not is_new):
        return row
    row = _new_row(session, work, EntryState.OPEN)
    if work.money is not None:
        row.amount, row.currency, row.source = work.money.amount, work.money.currency, LIST_PRICE
    session.flush()
    return row


def write_charge(row: LedgerRow, money: Money | None, units: float | None, unit: str) -> None:
    """Write what a provider said of an order's cost. money: None keeps the list price."""
    if money is not None:
        row.amount, row.currency, row.source = money.amount, money.currency, PROVIDER
    if units is not None:
        row.units, row.unit = units, unit or None


def settle(row: LedgerRow, state: EntryState, clip_seconds: float | None = None) -> None:
    """Write how an order ended. What was settled for certain stays as it is."""
    if clip_seconds is not None:
        row.clip_seconds = clip_seconds
    if row.state in (EntryState.CHARGED, EntryState.FREE):
        return
    row.state, row.settled_at = state, datetime.now(UTC)
    if state == EntryState.FREE:
        row.amount = None if row.amount is None else 0.0


def record_work(session: Session, work: Work, work_seconds: float, clip_seconds: float | None) -> None:
    """Enter a piece of work that a device of our own has ended. clip_seconds: None where no clip came of it."""
    row = _new_row(session, work, EntryState.FREE)
    row.settled_at, row.work_seconds, row.clip_seconds = row.ordered_at, work_seconds, clip_seconds


def leave_orders(session: Session, job_id: str) -> None:
    """Close the entries of a job that is ordered anew, or forgotten: what may have been sent counts as paid."""
    mine = sa.update(LedgerRow).where(is_of(job_id))
    unsure = {"state": EntryState.UNKNOWN.value, "settled_at": datetime.now(UTC)}
    session.execute(mine.where(LedgerRow.state == EntryState.OPEN).values(**unsure))
    session.execute(mine.values(is_left=True))
    session.flush()


def orders_left(session: Session, row: JobRow) -> int:
    """Return how many orders a job may still come to: one, and one for each time that its checks may fail."""
    made = sa.select(sa.func.count(LedgerRow.number.distinct()))
    made = made.where(is_of(row.id), LedgerRow.state != EntryState.FREE)
    return max(0, most_orders(row.terms) - (session.scalar(made) or 0))


def most_orders(terms: dict[str, Any] | None) -> int:
    """Return how many clips a job orders at most. terms: of its row."""
    return 1 + (Policy.parse(terms["policy"]).retries if terms and "policy" in terms else 0)


def _new_row(session: Session, work: Work, state: EntryState) -> LedgerRow:
    same = (LedgerRow.job_id == work.job_id) & (LedgerRow.number == work.number)
    before = session.scalar(sa.select(sa.func.max(LedgerRow.order_number)).where(same))
    names = ("job_id", "batch_id", "number", "pool", "provider", "model", "task")
    row = LedgerRow(
        **{name: getattr(work, name) for name in names},
        order_number=1 + (before or 0),
        is_left=False,
        state=state,
        ordered_at=datetime.now(UTC),
    )
    session.add(row)
    return row


def _entry_of(row: LedgerRow) -> Entry:
    others = ("money", "state")
    money = None
    if row.amount is not None and row.currency is not None:
        money = Money(amount=row.amount, currency=row.currency)
    fields = {name: getattr(row, name) for name in Entry.__dataclass_fields__ if name not in others}
    return Entry(**fields, money=money, state=EntryState(row.state))
