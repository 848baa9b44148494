"""Keeps the ledger while jobs run: orders at providers, from before they are sent, and work of our own machines."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.catalog.schema import ModelSpec
from studio.config import Settings
from studio.errors import (
    DiskFull,
    EnvironmentFault,
    RateLimited,
    RequestError,
    StillRunning,
    StoreFault,
    StudioError,
    TooManyJobs,
)
from studio.generator import Cost
from studio.jobs.budget import require_room_to_order
from studio.jobs.lease import Lease, LeaseLost, Stopped
from studio.jobs.states import JobState
from studio.library.store import Store
from studio.library.tables import JobRow, LedgerRow
from studio.request import ResolvedRequest
from studio.spending.ledger import (
    LOCAL,
    PROVIDER,
    REMOTE,
    EntryState,
    Work,
    is_of,
    latest,
    open_order,
    record_work,
    settle,
    write_charge,
)
from studio.spending.money import Money

# Errors that say nothing of an order that was sent before: it goes on at the provider.
_SAYS_NOTHING = (EnvironmentFault, RateLimited, StillRunning, TooManyJobs)

_log = logging.getLogger(__name__)


class Ordering(Protocol):
    """The run of a generator. is_ordered: an order was sent, or may have been, and was not refused."""

    @property
    def is_ordered(self) -> bool: ...


@dataclass
class Piece:
    """What is made while it is entered. seconds: its length; None as long as it is not there, or where nobody tells."""

    seconds: float | None = None


class Books:
    """Writes the ledger's entries of the jobs that run in this process."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings

    @contextmanager
    def keeping(
        self, lease: Lease, number: int, spec: ModelSpec, inputs: ResolvedRequest, run: Ordering, *, is_new: bool = True
    ) -> Iterator[Piece]:
        """Enter what is made within. number: of the clip in its job. is_new: False where an order goes on.

        Yields what is to be told the clip's own length: a provider may deliver less than was ordered.

        Raises `OverBudget` before anything is ordered that there is no money for, `LeaseLost`, or a `StoreFault`.
        """
        piece = Piece()
        if spec.where != REMOTE:
            with self._working(lease, number, inputs, piece):
                yield piece
            return
        entry_id = self._open(lease, number, spec, inputs, is_new=is_new)
        try:
            yield piece
        except Stopped:
            if is_new and not run.is_ordered:  # whoever goes on with the job opens another entry
                self._settle(lease, entry_id, EntryState.FREE, None)
            raise
        except LeaseLost:  # it goes on
            raise
        except BaseException as error:
            state = state_after(error, is_ordered=run.is_ordered or not is_new)
            self._settle(lease, entry_id, state, None)
            raise
        self._settle(lease, entry_id, EntryState.CHARGED, piece.seconds or asked_seconds(inputs))

    def bill(self, lease: Lease, number: int, cost: Cost | None, units: float | None = None, unit: str = "") -> None:
        """Write what a provider said that it charged for a clip. cost: None keeps the list price. Raises `LeaseLost`.

        The job shows what all its clips were billed. A figure that is no amount is left out: one such would make
        nonsense of every sum.
        """
        figures = (None if cost is None else cost.amount, units)
        if any(figure is not None and not 0 <= figure < math.inf for figure in figures):
            _log.warning("%s: the provider's bill makes no sense and was left out: %s, %s", lease.job_id, cost, units)
            return
        money = None if cost is None else Money(amount=cost.amount, currency=cost.currency.upper())

        def work(session: Session) -> None:
            job = _held(session, lease)
            entry = latest(session, lease.job_id, number)
            estimate = Money.from_json(job.estimate)
            if money and estimate and money.currency == estimate.currency and money.amount > 2 * estimate.amount:
                _log.warning("job %s: billed %s, estimated %s", lease.job_id, money, estimate)
            if entry is not None:
                write_charge(entry, money, units, unit)
                session.flush()
            if money is not None:
                billed = money if entry is None else _billed(session, job, money.currency)
                job.billed = billed.as_json()

        self._store.database.retrying(work)

    def _open(self, lease: Lease, number: int, spec: ModelSpec, inputs: ResolvedRequest, *, is_new: bool) -> int:
        def work(session: Session) -> int:
            if is_new:
                row = session.get(JobRow, lease.job_id)
                if row is not None:
                    require_room_to_order(session, self._settings, row)
            row = _held(session, lease)
            order = Work(
                job_id=row.id,
                batch_id=row.batch_id,
                number=number,
                pool=REMOTE,
                provider=spec.family if spec.remote is None else spec.remote.provider,
                model=inputs.model,
                task=inputs.task.value,
                money=Money.from_json(row.estimate),
            )
            return open_order(session, order, is_new=is_new).id

        return self._store.database.retrying(work)

    def _settle(self, lease: Lease, entry_id: int, state: EntryState, clip_seconds: float | None) -> None:
        def work(session: Session) -> None:
            _held(session, lease)  # else another worker goes on with the order, and knows more of it
            row = session.get(LedgerRow, entry_id)
            if row is not None and state != EntryState.OPEN:
                is_billed = state == EntryState.UNKNOWN and row.source == PROVIDER
                settle(row, EntryState.CHARGED if is_billed else state, clip_seconds)

        self._try(work)

    @contextmanager
    def _working(self, lease: Lease, number: int, inputs: ResolvedRequest, piece: Piece) -> Iterator[None]:
        started, made = time.monotonic(), None
        try:
            yield
            made = piece.seconds or asked_seconds(inputs)
        finally:
            spent = time.monotonic() - started

            def work(session: Session) -> None:
                batch_id = session.scalar(sa.select(JobRow.batch_id).where(JobRow.id == lease.job_id))
                task, model = inputs.task.value, inputs.model
                done = Work(job_id=lease.job_id, batch_id=batch_id, number=number, pool=LOCAL, provider=LOCAL,
                            model=model, task=task)  # fmt: skip
                record_work(session, done, spent, made)

            self._try(work)

    def _try(self, work: Callable[[Session], None]) -> None:
        """Write, and go on if that cannot be: an order that stays open counts with its list price."""
        try:
            self._store.database.retrying(work)
        except (DiskFull, StoreFault, LeaseLost) as fault:
            _log.warning("the ledger was not written: %s", fault.sentence())


def asked_seconds(request: ResolvedRequest) -> float:
    """Return the length of the clip that a request asks for."""
    return float(request.num_frames / request.frame_rate)


def state_after(error: BaseException, *, is_ordered: bool) -> EntryState:
    """Return how an order stands after an error. is_ordered: it was sent, or may have been, and was not refused.

    What is not known to be free counts as paid.
    """
    details = error.details if isinstance(error, StudioError) else {}
    if is_ordered and isinstance(error, _SAYS_NOTHING) and not details.get("ended"):
        return EntryState.OPEN
    told = details.get("charged")
    if told in ("yes", "no"):
        return EntryState.CHARGED if told == "yes" else EntryState.FREE
    if told is None and not is_ordered and isinstance(error, RequestError | EnvironmentFault):
        return EntryState.FREE
    return EntryState.UNKNOWN


def _held(session: Session, lease: Lease) -> JobRow:
    """Return the row of a job that this worker holds, locked. Raises `LeaseLost`."""
    mine = (JobRow.id == lease.job_id) & (JobRow.token == lease.token) & (JobRow.state == JobState.RUNNING)
    row = session.scalars(sa.select(JobRow).where(mine).with_for_update()).first()
    if row is None:
        raise LeaseLost("another worker took this job over", field="job", got=lease.job_id, fix="leave it to that one")
    return row


def _billed(session: Session, job: JobRow, currency: str) -> Money:
    total = sa.select(sa.func.sum(LedgerRow.amount)).where(
        is_of(job.id), LedgerRow.source == PROVIDER, LedgerRow.currency == currency
    )
    return Money(amount=float(session.scalar(total) or 0.0), currency=currency)
