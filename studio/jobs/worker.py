"""A worker: takes jobs from the queue, one after the other, and keeps a model's weights from one to the next."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any

from studio.errors import (
    Canceled,
    DiskFull,
    EnvironmentFault,
    OutOfMemory,
    RequestError,
    StoreFault,
    StudioError,
    VerificationFailed,
)
from studio.generator import Generator
from studio.jobs.budget import OverBudget, refusal_of
from studio.jobs.lease import Lease, LeaseLost, Stopped
from studio.jobs.quarantine import InWork
from studio.jobs.queue import Scope
from studio.jobs.roll import Badge, WorkerCard
from studio.jobs.run import PASSING_FAULTS
from studio.jobs.spending import UNPAID
from studio.jobs.states import FailureReason, JobState
from studio.jobs.workshop import Workshop

POLL_SECONDS = 0.2
RECOVERY_SECONDS = 2.0
IN_WORK_SECONDS = 1.0
RESIDENT_SECONDS = 600.0  # weights of which nobody had need for so long make room for others
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 1.0, 30.0
# So many jobs of one model in a row, while its weights are loaded, before those of other models get their turn.
MAX_STREAK = 50
# So many jobs in a row that this machine, not their request, is at fault for: it would fail all the others too.
MAX_STRIKES = 3
PATIENCE_SECONDS = 600.0  # a disk that stays full for longer, or a database that is gone, needs a person

_log = logging.getLogger(__name__)


@dataclass
class Tally:
    """How many jobs a worker brought to which end. put_back: they go on later."""

    succeeded: int = 0
    failed: int = 0
    canceled: int = 0
    put_back: int = 0


class Resident:
    """The weights that a worker holds: of one model, from one job to the next."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._generator: Generator | None = None
        self._used_at = 0.0

    @property
    def model(self) -> str | None:
        return None if self._generator is None else self._generator.spec.id

    @contextmanager
    def session(self, generator: Generator) -> Iterator[None]:
        """Hold this generator's session; it stays open after the context, until another is wanted."""
        if self._generator is not generator:
            self.close()
            self._stack.enter_context(generator.session())
            self._generator = generator
        yield
        self._used_at = time.monotonic()

    def close(self) -> None:
        """Give the memory back."""
        self._generator = None
        self._stack.close()

    def close_if_idle(self) -> None:
        """Give the memory back if nobody needed the weights for `RESIDENT_SECONDS`."""
        if self._generator is not None and time.monotonic() - self._used_at > RESIDENT_SECONDS:
            self.close()


def _ending(error: Exception) -> tuple[FailureReason, dict[str, Any]]:
    """Return why a job failed that ended with an error before it was really begun."""
    if not isinstance(error, StudioError):
        return FailureReason.GENERATION, {"type": type(error).__name__, "message": str(error)}
    reason = FailureReason.REQUEST if isinstance(error, RequestError) else FailureReason.ENVIRONMENT
    return reason, error.as_json()


class _Unfit(Exception):
    """This machine cannot run such jobs; others may."""

    def __init__(self, fault: EnvironmentFault) -> None:
        super().__init__(fault.sentence())
        self.fault = fault


class Worker:
    """Runs jobs of the queue in this process until it is told to stop.

    card: what it says of itself, and so which jobs it takes. tell: is told what it does, in sentences for people.
    """

    def __init__(self, shop: Workshop, card: WorkerCard, tell: Callable[[str], None] = lambda _text: None) -> None:
        self._shop = shop
        self._card = card
        self._speak = tell
        self._resident = Resident()
        self._recovered_at = -RECOVERY_SECONDS
        self._pause = 0.0
        self._trouble_since: float | None = None
        self._strikes = 0
        self._streak = 0
        self.id: str | None = None  # on the roll, once it works

    def run(self, stop: threading.Event, *, drain: bool = False) -> Tally:
        """Work until `stop` is set, or with `drain` until no job is left.

        A job in hand when `stop` is set is put back at its next step, with what was sampled so far.
        Raises an `EnvironmentFault` that lasts longer than `PATIENCE_SECONDS`, or that `MAX_STRIKES` jobs in a row
        ended with; no job is lost by it.
        """
        tally = Tally()
        with self._shop.roll.enlist(self._card) as badge:
            self.id = badge.id
            try:
                while not stop.is_set():
                    try:
                        is_over = self._turn(badge, tally, stop, drain=drain)
                        self._trouble_since, self._pause = None, 0.0
                    except EnvironmentFault as fault:
                        self._wait_out(fault, stop)
                        continue
                    if is_over:
                        break
            except _Unfit as unfit:
                raise unfit.fault from unfit
            finally:
                self._resident.close()
        return tally

    def _turn(self, badge: Badge, tally: Tally, stop: threading.Event, *, drain: bool) -> bool:
        """Run one job if there is one. Returns whether the work is over."""
        self._recover()
        scope = Scope(pool=self._card.pool, batch_id=self._card.batch_id, prefer=self._preferred())
        lease = self._shop.queue.claim(badge.row, scope)
        if lease is not None:
            self._work(badge, lease, tally, stop)
            return False
        if drain and self._shop.queue.count_open(scope) == 0:
            return True
        self._resident.close_if_idle()
        stop.wait(POLL_SECONDS)
        return False

    def _work(self, badge: Badge, lease: Lease, tally: Tally, stop: threading.Event) -> None:
        row = self._shop.store.job(lease.job_id)
        if row is None:
            return
        refusal = refusal_of(self._shop.store, self._shop.settings, row)
        if refusal is not None:
            self._shop.queue.put_back(lease, UNPAID, error=refusal.as_json(), is_refused=True)
            tally.put_back += 1
            self._tell(f"{lease.job_id}: paused: {refusal.sentence()}")
            return
        self._tell(f"{lease.job_id}: {row.model}")
        self._streak = self._streak + 1 if row.model == self._resident.model else 0
        with badge.holding(lease, row.model):
            try:
                order = self._shop.order(row)
                order = replace(
                    order,
                    observe=badge.show,
                    asked=lambda: badge.asked or ("stop" if stop.is_set() else None),
                    open_session=self._resident.session,
                )
            except Exception as error:  # a plug-in's code may raise anything
                self._told(tally, lease, error)
                return
            try:
                self._shop.runner.run(lease, order)
                tally.succeeded += 1
                self._strikes = 0
                self._tell(f"{lease.job_id}: sealed")
            except PASSING_FAULTS:
                tally.put_back += 1
                raise
            except InWork:  # a process that is just dying holds its folder a moment longer than its name
                self._shop.queue.put_back(lease, "waits")
                stop.wait(IN_WORK_SECONDS)
            except OverBudget as error:  # another order was faster
                tally.put_back += 1
                self._tell(f"{lease.job_id}: paused: {error.sentence()}")
            except StudioError as error:
                self._told(tally, lease, error)
            except Exception as error:  # whatever a model's code raises, the next job may do better
                _log.exception("job %s", lease.job_id)
                self._told(tally, lease, error)

    def _told(self, tally: Tally, lease: Lease, error: Exception) -> None:
        with suppress(LeaseLost, DiskFull, StoreFault):  # as a rule it has ended already; else it must not come again
            reason, told = _ending(error)
            self._shop.queue.end(lease, JobState.FAILED, reason=reason, error=told)
        match error:
            case Stopped() | LeaseLost():
                tally.put_back += 1
            case Canceled():
                tally.canceled += 1
            case VerificationFailed():  # the clip was made well enough; its checks keep it back
                tally.failed += 1
            case _:
                tally.failed += 1
                self._resident.close()  # whatever state it is in
        sentence = error.sentence() if isinstance(error, StudioError) else f"{type(error).__name__}: {error}"
        self._tell(f"{lease.job_id}: {sentence}")
        # One that wants more memory than there is says nothing about the next.
        if isinstance(error, EnvironmentFault) and not isinstance(error, LeaseLost | OutOfMemory):
            self._strikes += 1
            if self._strikes >= MAX_STRIKES:
                raise _Unfit(error)

    def _tell(self, text: str) -> None:
        with suppress(OSError):  # the disk of the log may be full
            self._speak(text)

    def _preferred(self) -> str | None:
        """Return the model whose jobs come first now: the loaded one, until others have waited long enough."""
        return None if self._streak >= MAX_STREAK else self._resident.model

    def _recover(self) -> None:
        """Take up what dead workers left, now and then."""
        if time.monotonic() - self._recovered_at < RECOVERY_SECONDS:
            return
        for job_id in self._shop.runner.recover():
            self._tell(f"{job_id}: the process that ran it ended; it goes on from its last checkpoint")
        self._recovered_at = time.monotonic()

    def _wait_out(self, fault: EnvironmentFault, stop: threading.Event) -> None:
        now = time.monotonic()
        self._trouble_since = self._trouble_since or now
        if now - self._trouble_since > PATIENCE_SECONDS:
            raise fault
        self._pause = min(max(2 * self._pause, FIRST_PAUSE_SECONDS), LONGEST_PAUSE_SECONDS)
        self._tell(f"waiting {self._pause:.0f} s: {fault.sentence()}")
        stop.wait(self._pause)
