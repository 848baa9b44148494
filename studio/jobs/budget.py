"""The budgets that stop a remote job before it costs anything.

What was spent is in the ledger; what is to come is what the jobs in the queue are estimated to cost, each as often as
its policy may have it made.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.config import Settings
from studio.errors import RequestError
from studio.jobs.queue import NewJob
from studio.jobs.states import JobState
from studio.library.database import in_parts
from studio.library.store import Store
from studio.library.tables import BatchRow, JobRow, LedgerRow
from studio.spending.ledger import REMOTE, EntryState, is_of, latest, most_orders, orders_left, spent
from studio.spending.money import Money

_CENT_FRACTION = 1e-6
_WISH, _BATCH = "--max-cost", "--budget"
_ALLOW = "`studio batch run --allow-unknown-cost` lets such jobs run"
# Whoever looks what is left, and then orders, does so alone: any number that nobody else in the database uses.
_ONE_AT_A_TIME = "SELECT pg_advisory_xact_lock(91625968982)"


class OverBudget(RequestError):
    """A job would cost more than a budget has room for, or nobody knows what it costs."""


@dataclass(frozen=True, kw_only=True)
class Budget:
    """At most so much, for the jobs of a batch or for all since a moment.

    allows_unknown: jobs of unknown cost, or in another currency, may run and count for nothing.
    """

    name: str
    money: Money
    setting: str
    allows_unknown: bool = False
    batch_id: str | None = None
    since: datetime | None = None


def standing_budgets(settings: Settings, *, allows_unknown: bool = False) -> list[Budget]:
    """Return the budgets of this day and this calendar month (UTC), those that are set."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    limits = (
        ("today", settings.daily_money, "STUDIO_DAILY_BUDGET", today),
        ("this month", settings.monthly_money, "STUDIO_MONTHLY_BUDGET", today.replace(day=1)),
    )
    return [
        Budget(name=name, money=money, setting=setting, allows_unknown=allows_unknown, since=since)
        for name, money, setting, since in limits
        if money is not None
    ]


def batch_budget(batch_id: str, data: dict[str, Any] | None) -> Budget | None:
    """Return the budget of a batch from its row, None where it has none."""
    money = Money.from_json(data)
    if money is None:
        return None
    unknown = bool((data or {}).get("allows_unknown"))
    return Budget(name="this batch", money=money, setting=_BATCH, allows_unknown=unknown, batch_id=batch_id)


def require_room_for(store: Store, budget: Budget, costs: Sequence[Money | None]) -> None:
    """Refuse remote jobs before any is submitted. costs: of each; None where nobody knows. Raises `OverBudget`.

    Counted are what was spent, what waits in the queue already, and these.
    """
    if not costs:
        return
    wanted = _sum_of(costs, budget)
    with store.database.read() as session:
        gone = _spent(session, budget)
        waiting = _waiting(session, budget)
    if wanted and _is_over(gone + waiting + wanted, budget):
        raise _over(budget, gone, waiting + wanted)


def require_room_for_new(store: Store, settings: Settings, jobs: Iterable[NewJob]) -> None:
    """Refuse new jobs that cost more than was wished, or for which the day or the month has no money left.

    A job whose client key is known is none.
    """
    remote = [job for job in jobs if job.pool == REMOTE]
    for job in remote:
        require_within_wish(job)
    if not remote or not standing_budgets(settings):
        return
    keys = [job.wish.client_key for job in remote if job.wish.client_key is not None]
    batches = {job.wish.batch_id for job in remote}
    with store.database.read() as session:
        known: set[str | None] = set()
        for part in in_parts(keys):
            known |= set(session.scalars(sa.select(JobRow.client_key).where(JobRow.client_key.in_(part))))
        lenient = {batch_id for batch_id in batches if _allows_unknown(session, batch_id)}
    for allows_unknown in (False, True):
        group = [job for job in remote if job.wish.client_key not in known]
        group = [job for job in group if (job.wish.batch_id in lenient) is allows_unknown]
        for budget in standing_budgets(settings, allows_unknown=allows_unknown):
            require_room_for(store, budget, [most_of(job) for job in group])


def most_of(job: NewJob) -> Money | None:
    """Return what a job costs at most: its checks may fail again and again. None where nobody knows."""
    return times(Money.from_json(job.estimate), job.terms.policy.retries + 1)


def times(money: Money | None, number: int) -> Money | None:
    """Return a sum so many times; None where it is unknown."""
    return None if money is None else Money(amount=money.amount * number, currency=money.currency)


def refusal_of(store: Store, settings: Settings, row: JobRow) -> OverBudget | None:
    """Say why a remote job that a worker has just taken must not start; None where it may.

    What was ordered from a provider already costs nothing more, and goes on. Another order may still be faster:
    `require_room_to_order` has the last word.
    """
    if row.pool != REMOTE or (row.operation or {}).get("operation") is not None:
        return None
    try:
        with store.database.read() as session:
            _require_room(session, settings, row, orders_left(session, row))
    except OverBudget as refusal:
        return refusal
    return None


def require_room_to_order(session: Session, settings: Settings, row: JobRow) -> None:
    """Refuse an order that is about to be sent. Whoever enters it in the ledger does so in this same transaction.

    Others that want to order wait until then, so that no two find the same money. A job's first order must leave room
    for those that may follow from its policy. Raises `OverBudget`.
    """
    if session.get_bind().dialect.name == "postgresql":  # a writer of SQLite is alone anyway
        session.execute(sa.text(_ONE_AT_A_TIME))
    left = orders_left(session, row)
    _require_room(session, settings, row, left if left == most_orders(row.terms) else 1)


def left_of(session: Session, budget: Budget) -> tuple[Money, Money]:
    """Return what is spent of a budget, and what is left."""
    gone, currency = _spent(session, budget), budget.money.currency
    left = max(0.0, budget.money.amount - gone)
    return Money(amount=gone, currency=currency), Money(amount=left, currency=currency)


def require_within_wish(job: NewJob) -> None:
    """Raise `OverBudget` where a job may cost more than was wished for it, or nobody knows what."""
    if job.wish.max_cost is None:
        return
    budget = Budget(name="this clip", money=job.wish.max_cost, setting=_WISH)
    wanted = _sum_of([most_of(job)], budget)
    if _is_over(wanted, budget):
        raise _over(budget, 0.0, wanted)


def _require_room(session: Session, settings: Settings, row: JobRow, number: int) -> None:
    """Raise `OverBudget` unless all budgets of a job have room for so many orders."""
    if number == 0:
        return
    batch = None if row.batch_id is None else session.get(BatchRow, row.batch_id)
    limits = standing_budgets(settings, allows_unknown=_allows_unknown(session, row.batch_id))
    limit = None if batch is None else batch_budget(batch.id, batch.budget)
    own = latest(session, row.id)
    leave_out = own.id if own is not None and own.state == EntryState.OPEN else None
    for budget in limits if limit is None else [*limits, limit]:
        cost = _sum_of([times(Money.from_json(row.estimate), number)], budget)
        gone = _spent(session, budget, leave_out=leave_out)
        if cost and _is_over(gone + cost, budget):
            raise _over(budget, gone, cost)


def _sum_of(costs: Sequence[Money | None], budget: Budget) -> float:
    """Add up what counts against a budget. Raises `OverBudget` where something does not that should."""
    known = [_in_currency(cost, budget) for cost in costs]
    unknown = sum(cost is None for cost in known)
    if unknown and not budget.allows_unknown:
        raise _unknown(budget, costs, unknown)
    return sum(cost for cost in known if cost is not None)


def _spent(session: Session, budget: Budget, leave_out: int | None = None) -> float:
    sums = spent(session, batch_id=budget.batch_id, since=budget.since, leave_out=leave_out)
    return sum(cost for cost in (_in_currency(item, budget) for item in sums) if cost is not None)


def _waiting(session: Session, budget: Budget) -> float:
    """Add up what the jobs that wait or run may still come to order."""
    mine = JobRow.pool == REMOTE if budget.batch_id is None else JobRow.batch_id == budget.batch_id
    is_open = JobRow.state.in_((JobState.QUEUED, JobState.RUNNING)) & (JobRow.pool == REMOTE)
    made = sa.select(sa.func.count(LedgerRow.number.distinct()))
    made = made.where(is_of(JobRow.id.expression), LedgerRow.state != EntryState.FREE)
    query = sa.select(JobRow.estimate, JobRow.terms, made.scalar_subquery()).where(mine, is_open)
    total = 0.0
    for estimate, terms, orders in session.execute(query):
        cost = times(Money.from_json(estimate), max(0, most_orders(terms) - orders))
        total += _in_currency(cost, budget) or 0.0
    return total


def _allows_unknown(session: Session, batch_id: str | None) -> bool:
    batch = None if batch_id is None else session.get(BatchRow, batch_id)
    return batch is not None and bool((batch.budget or {}).get("allows_unknown"))


def _in_currency(cost: Money | None, budget: Budget) -> float | None:
    """Return an amount that can be held against the budget, None for one that cannot."""
    if cost is None or (cost.currency != budget.money.currency and cost.amount > 0):
        return None
    return cost.amount


def _is_over(amount: float, budget: Budget) -> bool:
    return amount > budget.money.amount + _CENT_FRACTION


def _over(budget: Budget, spent: float, wanted: float) -> OverBudget:
    currency = budget.money.currency
    parts = [f"{Money(amount=wanted, currency=currency)} to come"]
    if spent:
        parts.insert(0, f"{Money(amount=spent, currency=currency)} spent")
    return OverBudget(
        f"the money for {budget.name} does not suffice",
        field=budget.setting,
        got=", ".join(parts),
        allowed=f"{budget.money} in all",
        fix=f"raise {budget.setting}, or {'ask for less' if budget.setting == _WISH else 'run fewer remote jobs'}",
    )


def _unknown(budget: Budget, costs: Sequence[Money | None], number: int) -> OverBudget:
    others = sorted({cost.currency for cost in costs if cost is not None} - {budget.money.currency})
    what = f"in {', '.join(others)}" if others else "unknown"
    many = "a remote job is" if number == 1 else f"{number} remote jobs is"
    return OverBudget(
        f"the cost of {many} {what}, so that it cannot be held against the budget of {budget.name}",
        field=budget.setting,
        got=what,
        allowed=f"costs in {budget.money.currency}",
        fix=_way_out(budget, others),
    )


def _way_out(budget: Budget, currencies: Sequence[str]) -> str:
    """Say what to do about a cost that cannot be held against a budget. currencies: of the cost, where it is known."""
    if len(currencies) == 1:
        way = f"give {budget.setting} in {currencies[0]}"
    else:
        leave = "unset" if budget.since is not None else "leave out"
        way = f"{leave} {budget.setting}, or use a model whose price is known"
    return way if budget.setting == _WISH else f"{way}; {_ALLOW}"
