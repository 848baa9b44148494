"""What a run of a batch file is to do: which entries are new, which have their jobs already, and what that may cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studio.app import Studio
from studio.batch.copies import Copies
from studio.batch.entry import BatchEntry, BatchFile
from studio.batch.reading import read_batch
from studio.batch.report import check_report_folder, default_report_folder
from studio.batch.validation import validate
from studio.consistency.policy import Policy
from studio.errors import OutputRefused, RequestError
from studio.jobs.batches import Batch, BatchRows, Glance, same_path
from studio.jobs.budget import batch_budget, require_room_for, standing_budgets, times
from studio.jobs.devices import require_device
from studio.jobs.processes import Crew
from studio.jobs.states import FINAL
from studio.request import ResolvedRequest
from studio.spending.ledger import REMOTE
from studio.spending.money import Money


@dataclass(frozen=True, kw_only=True)
class BatchWish:
    """How a batch is to be run.

    resume: go on with the last run of this file. again: begin anew though that is not finished.
    budget: for its remote jobs. allows_unknown_cost: also run those of which nobody knows what they cost.
    report: folder, None for the one beside the file. on_fail: for entries that do not say. overwrite: their outputs.
    workers: how many local jobs run side by side, None for one on each device. devices: None for all of this machine.
    crew: brings workers to work for a batch in another way than by processes on this machine.
    """

    resume: bool = False
    again: bool = False
    budget: Money | None = None
    allows_unknown_cost: bool = False
    report: Path | None = None
    with_report: bool = True
    on_fail: Policy | None = None
    overwrite: bool = False
    workers: int | None = None
    devices: Sequence[str] | None = None
    crew: Callable[[Batch, Sequence[Glance], Callable[[str], None]], Crew] | None = None


@dataclass(frozen=True, kw_only=True)
class Fresh:
    """An entry without a job. cost: None where nobody knows. seconds: as the model estimates, None where it cannot."""

    entry: BatchEntry
    resolved: ResolvedRequest
    is_remote: bool
    cost: Money | None
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A batch file and what is known of it. batch: the run that goes on, None for a new one.

    known: jobs by the key of their entry. gone: jobs of this run whose entries are no longer in the file.
    budget: as the batch's row is to hold it. report: folder, None where none is wanted.
    """

    file: BatchFile
    wish: BatchWish
    batch: Batch | None
    fresh: tuple[Fresh, ...]
    known: Mapping[str, Glance]
    gone: tuple[Glance, ...]
    budget: dict[str, Any] | None
    report: Path | None
    copies: Copies


def plan_batch(studio: Studio, rows: BatchRows, path: Path, wish: BatchWish) -> Plan:
    """Read a file whole and look at everything that a run would do. Changes nothing.

    Raises `BatchFaults` with all that is wrong in it, `OverBudget`, or a `RequestError` where a run is unfinished.
    """
    for device in wish.devices or ():
        require_device(device)
    home = studio.settings.home
    file = read_batch(path.expanduser())
    file = replace(file, path=same_path(file.path))
    report = (
        check_report_folder(wish.report or default_report_folder(file.path), home=home) if wish.with_report else None
    )
    batch = _batch_to_go_on(rows, file.path, wish)
    jobs = [] if batch is None else rows.glances(batch.id, with_left=True)
    by_key = {job.key: job for job in jobs}
    known = {entry.key: by_key[entry.key] for entry in file.entries if entry.key in by_key}
    keys = {entry.key for entry in file.entries}
    copies = Copies(file.path, home, overwrite=wish.overwrite)
    plan = Plan(
        file=file,
        wish=wish,
        batch=batch,
        fresh=_fresh(studio, file, known, copies),
        known=known,
        gone=tuple(job for job in jobs if job.entry and job.key not in keys),
        budget=_budget(batch, wish),
        report=report,
        copies=copies,
    )
    _require_money(studio, plan)
    return plan


def _batch_to_go_on(rows: BatchRows, path: Path, wish: BatchWish) -> Batch | None:
    batch = rows.latest(path)
    if batch is None or wish.again:
        return None
    counts = rows.counts([batch.id])[batch.id]
    total = sum(counts.values())
    if wish.resume or total == 0:
        return batch
    done = sum(number for state, number in counts.items() if state in FINAL)
    if done == total:
        return None
    raise RequestError(
        f"a run of this file is not finished: {done} of {total} are done",
        field="file",
        got=path,
        fix=f"`studio batch run {path.name} --resume` goes on with it, `--again` begins anew",
    )


def _fresh(studio: Studio, file: BatchFile, known: Mapping[str, Glance], copies: Copies) -> tuple[Fresh, ...]:
    """Look at the entries that have no job yet; those that have one were looked at when it was submitted."""
    taken = {entry.output: entry for entry in file.entries if entry.key in known and entry.output is not None}

    def destination(output: Path) -> Path:
        if output in taken:
            other = taken[output]
            raise OutputRefused(f"job {other.number} ({other.where}) writes this file too", got=output.name)
        return copies.check(output)

    def readiness(model: str) -> str:
        return studio.registry.readiness(studio.registry.catalog.get(model)).reason

    new = replace(file, entries=tuple(entry for entry in file.entries if entry.key not in known))
    resolved = validate(new, studio.resolve, readiness, destination)
    return tuple(_estimated(studio, entry, request) for entry, request in zip(new.entries, resolved, strict=True))


def _estimated(studio: Studio, entry: BatchEntry, resolved: ResolvedRequest) -> Fresh:
    generator = studio.registry.generator(resolved.model)
    estimate = generator.estimate(resolved)
    cost = estimate.cost
    return Fresh(
        entry=entry,
        resolved=resolved,
        is_remote=generator.spec.where == REMOTE,
        cost=None if cost is None else Money(amount=cost.amount, currency=cost.currency.upper()),
        seconds=estimate.seconds,
    )


def _budget(batch: Batch | None, wish: BatchWish) -> dict[str, Any] | None:
    """Return what the row is to hold: this run's budget, or else that of the run that goes on."""
    before = batch.budget if batch is not None and wish.resume else None
    money = wish.budget or Money.from_json(before)
    allows_unknown = wish.allows_unknown_cost or bool((before or {}).get("allows_unknown"))
    if money is None and not allows_unknown:
        return None
    amounts = {"amount": None, "currency": None} if money is None else money.as_json()
    return {**amounts, "allows_unknown": allows_unknown}


def _require_money(studio: Studio, plan: Plan) -> None:
    costs = [times(item.cost, _most_orders(studio, plan, item)) for item in plan.fresh if item.is_remote]
    allows_unknown = bool((plan.budget or {}).get("allows_unknown"))
    own = batch_budget("" if plan.batch is None else plan.batch.id, plan.budget)
    for budget in (own, *standing_budgets(studio.settings, allows_unknown=allows_unknown)):
        if budget is not None:
            require_room_for(studio.store, budget, costs)


def _most_orders(studio: Studio, plan: Plan, item: Fresh) -> int:
    policy = item.entry.on_fail or plan.wish.on_fail or studio.settings.check_policy
    return policy.retries + 1
