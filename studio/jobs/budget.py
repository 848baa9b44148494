"""Money spent on remote jobs and about to be spent, and the budgets that stop a job before it starts.

A job counts with what its provider billed, else with its estimate once a worker has begun it: what is not known to be
free counts as paid.
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
from studio.jobs.spending import is_begun, spent_before
from studio.jobs.states import JobState
from studio.library.database import in_parts
from studio.library.store import Store
from studio.library.tables import AttemptRow, BatchRow, JobRow
from studio.money import Money

REMOTE = "remote"
_CENT_FRACTION = 1e-6


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


def monthly_budget(settings: Settings, *, allows_unknown: bool = False) -> Budget | None:
    """Return the budget of this calendar month (UTC), None where none is set."""
    money = settings.monthly_money
    if money is None:
        return None
    first = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    return Budget(name="this month", money=money, setting="STUDIO_MONTHLY_BUDGET",
                  allows_unknown=allows_unknown, since=first)  # fmt: skip


def batch_budget(batch_id: str, data: dict[str, Any] | None) -> Budget | None:
    """Return the budget of a batch from its row, None where it has none."""
    money = Money.from_json(data)
    if money is None:
        return None
    unknown = bool((data or {}).get("allows_unknown"))
    return Budget(name="this batch", money=money, setting="--budget", allows_unknown=unknown, batch_id=batch_id)


def require_room_for(store: Store, budget: Budget, costs: Sequence[Money | None]) -> None:
    """Refuse remote jobs before any is submitted. costs: of each; None where nobody knows. Raises `OverBudget`.

    Counted are what was spent, what waits in the queue already, and these.
    """
    if not costs:
        return
    known = [_in_currency(cost, budget) for cost in costs]
    unknown = sum(cost is None for cost in known)
    if unknown and not budget.allows_unknown:
        raise _unknown(budget, costs, unknown)
    with store.database.read() as session:
        spent = _spent(session, budget)
        waiting = _waiting(session, budget)
    wanted = sum(cost for cost in known if cost is not None)
    if wanted and _is_over(spent + waiting + wanted, budget):
        raise _over(budget, spent, waiting + wanted)


def require_room_for_new(store: Store, settings: Settings, jobs: Iterable[NewJob]) -> None:
    """Refuse new jobs for which the month has no money left. A job whose client key is known is none."""
    budget = monthly_budget(settings)
    remote = [job for job in jobs if job.pool == REMOTE]
    if budget is None or not remote:
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
        limit = monthly_budget(settings, allows_unknown=allows_unknown)
        if limit is not None:
            require_room_for(store, limit, [Money.from_json(job.estimate) for job in group])


def refusal_of(store: Store, settings: Settings, row: JobRow) -> OverBudget | None:
    """Say why a remote job that a worker has just taken must not start; None where it may.

    What was ordered from a provider already costs nothing more, and goes on.
    """
    if row.pool != REMOTE or (row.operation or {}).get("operation") is not None:
        return None
    with store.database.read() as session:
        batch = None if row.batch_id is None else session.get(BatchRow, row.batch_id)
        allows_unknown = _allows_unknown(session, row.batch_id)
        limits = (
            monthly_budget(settings, allows_unknown=allows_unknown),
            None if batch is None else batch_budget(batch.id, batch.budget),
        )
        for budget in limits:
            if budget is None:
                continue
            cost = _in_currency(Money.from_json(row.estimate), budget)
            if cost is None and not budget.allows_unknown:
                return _unknown(budget, [Money.from_json(row.estimate)], 1)
            spent = _spent(session, budget, leave_out=row.id)
            if cost and _is_over(spent + cost, budget):
                return _over(budget, spent, cost)
    return None


def _spent(session: Session, budget: Budget, leave_out: str | None = None) -> float:
    """Add up what was billed, or else estimated, for remote jobs that a worker has begun."""
    begun = is_begun()
    if budget.since is not None:
        begun &= AttemptRow.started_at >= budget.since
    query = sa.select(JobRow.billed, JobRow.estimate).where(_counted(budget), sa.exists().where(begun))
    if leave_out is not None:
        query = query.where(JobRow.id != leave_out)
    sums = [Money.from_json(row[0]) or Money.from_json(row[1]) for row in session.execute(query)]
    sums += spent_before(session, batch_id=budget.batch_id, since=budget.since)
    return sum(cost for cost in (_in_currency(item, budget) for item in sums) if cost is not None)


def _waiting(session: Session, budget: Budget) -> float:
    """Add up the estimates of the jobs that wait and that no worker has begun."""
    begun = is_begun()
    query = sa.select(JobRow.estimate).where(
        _counted(budget), JobRow.state == JobState.QUEUED, ~sa.exists().where(begun)
    )
    costs = (_in_currency(Money.from_json(item), budget) for item in session.scalars(query))
    return sum(cost for cost in costs if cost is not None)


def _counted(budget: Budget) -> sa.ColumnElement[bool]:
    remote = JobRow.pool == REMOTE
    return remote if budget.batch_id is None else remote & (JobRow.batch_id == budget.batch_id)


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
        fix=f"raise {budget.setting}, or run fewer remote jobs",
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
        fix="add --allow-unknown-cost to `studio batch run` to let such jobs run",
    )
