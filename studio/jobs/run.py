"""One job, from its lease to a sealed asset, in this process."""

from __future__ import annotations

import time
from collections import abc
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any

from studio.consistency.policy import Action, Attempt, ChecksFailed, Choice, Judge, best_of, next_seed
from studio.disk import require_room
from studio.errors import (
    Canceled,
    DiskFull,
    StoreBusy,
    StoreFault,
    StoreGone,
    StudioError,
    Unreachable,
)
from studio.export.gate import Gate
from studio.generator import RawClip, Resumable
from studio.jobs.advice import advice_after_checks, advise, interrupted, reason_of, strange_order
from studio.jobs.bookkeeping import Books
from studio.jobs.budget import OverBudget
from studio.jobs.checkpoints import Checkpoints, checkpoint_key
from studio.jobs.context import JobRun, Observer, Order, Stopwatch
from studio.jobs.inputs import Inputs
from studio.jobs.job import Progress, is_open_order, newest_order
from studio.jobs.lease import Lease, LeaseLost, Stopped
from studio.jobs.measuring import measured
from studio.jobs.quarantine import InWork, Quarantine, RawMaterial, attempt_name, digest_of
from studio.jobs.queue import JobQueue
from studio.jobs.roll import WorkerCard, WorkerRoll
from studio.jobs.spending import UNPAID
from studio.jobs.states import FailureReason, JobState
from studio.library.asset import Asset
from studio.library.store import Store
from studio.library.tables import JobRow
from studio.making import of_provider
from studio.media import EncodedClip
from studio.provenance.manifest import Provenance
from studio.request import ResolvedRequest

_SAVE_TRIES, _SAVE_PAUSE_SECONDS = 300, 2.0
# What passes by itself: the job waits for it where it stands in the queue, nobody has to submit it again.
PASSING_FAULTS = (DiskFull, StoreBusy, StoreGone)


class JobRunner:
    """Runs jobs and keeps their rows true, whatever happens."""

    def __init__(
        self,
        store: Store,
        queue: JobQueue,
        roll: WorkerRoll,
        quarantine: Quarantine,
        inputs: Inputs,
        gate: Gate,
        books: Books,
    ) -> None:
        self._store = store
        self._queue = queue
        self._roll = roll
        self._quarantine = quarantine
        self._inputs = inputs
        self._gate = gate
        self._books = books

    def run(self, lease: Lease, order: Order) -> Asset:
        """Generate and seal, from wherever an earlier run of the job came to.

        Raises `ChecksFailed` where the policy does not let the clip out, `Stopped`, `LeaseLost`.
        """
        job_id = lease.job_id
        watch = Stopwatch(order.observe)
        order = replace(order, observe=watch.show)
        with self._quarantine.lock(job_id):
            with self._outcome(lease, watch, is_attended=order.is_attended):
                asset = self._finished(lease) or self._make(lease, order, watch)
            self._quarantine.discard(job_id)
        return asset

    def _make(self, lease: Lease, order: Order, watch: Stopwatch) -> Asset:
        with closing(self._generate(lease, order)) as made:
            return self._seal(lease, made, order.policy.retries + 1, watch)

    def retry_seal(self, job_id: str, observe: Observer, *, is_released: bool = False) -> Asset:
        """Seal a clip that waits in quarantine. is_released: whatever the checks say.

        Raises `InWork` while another process seals it, `ChecksFailed` where its policy does not let it out.
        """
        card = WorkerCard(device="cpu", is_resident=False)
        watch = Stopwatch(observe)
        with self._quarantine.lock(job_id), self._roll.enlist(card) as badge:
            lease = self._queue.take(job_id, badge.row)
            with badge.holding(lease, badge.row.model or ""), self._outcome(lease, watch, is_attended=True):
                attempts = self._quarantine.attempts(job_id)
                asset = self._finished(lease)
                if asset is None:
                    asset = self._seal(lease, attempts, len(attempts), watch, is_released=is_released)
            self._quarantine.discard(job_id)
        return asset

    def discard(self, job_id: str) -> None:
        """Give up a clip that waits in quarantine. Raises `InWork` while another process seals it."""
        with self._quarantine.lock(job_id):
            self._queue.dismiss(job_id)
            self._quarantine.discard(job_id)

    def recover(self) -> list[str]:
        """Put jobs whose worker died into the queue again, or write down how they ended. Returns their ids."""
        self._roll.bury()
        return [row.id for row in self._queue.orphans() if self._recover(row)]

    def _recover(self, row: JobRow) -> bool:
        if not row.is_attended or is_open_order(newest_order(row.operation, self._quarantine.operation(row.id))):
            state = self._queue.take_back(row)
            return state is not None  # what a canceled job leaves is swept up some time
        try:
            with self._quarantine.lock(row.id):
                asset = self._store.asset_of_job(row.id)
                if asset is not None and asset.is_there:
                    is_ours = self._queue.end_orphan(row, JobState.SUCCEEDED, None, None)
                elif self._quarantine.holds(row.id):
                    is_ours = self._queue.end_orphan(row, JobState.FAILED, FailureReason.UNSEALED, None)
                else:
                    is_ours = self._queue.end_orphan(row, JobState.FAILED, FailureReason.INTERRUPTED, None)
                if is_ours and not self._quarantine.holds(row.id) and not self._quarantine.has_checkpoints(row.id):
                    self._quarantine.discard(row.id)
                return is_ours
        except InWork:
            return False

    def _generate(self, lease: Lease, order: Order) -> abc.Generator[str, None, None]:
        """Make raw clips, one whenever another is asked for, and yield their names in quarantine.

        Whatever can go wrong goes wrong before the hours are spent. What an earlier run made is not made again. The
        weights stay loaded until the last one is made.
        """
        job_id, last, remote = lease.job_id, order.policy.retries + 1, order.generator.spec.remote
        highest = None if remote is None else remote.max_seed
        self._require_room(job_id, order.resolved)
        inputs = self._inputs.of(job_id, order.resolved)
        with ExitStack() as session:
            is_open = False
            for number in range(1, last + 1):
                name = attempt_name(job_id, number)
                seed = next_seed(order.resolved.seed, number - 1, highest)
                if not self._quarantine.is_whole(name, replace(order.resolved, seed=seed)):
                    self._require_room(name, order.resolved)
                    provenance = order.describe(job_id, replace(inputs, seed=seed))
                    if number > 1:
                        order.observe(Progress(stage="retrying", done=number - 1, total=order.policy.retries))
                    if not is_open:
                        order.observe(Progress(stage="loading"))
                        session.enter_context(order.open_session(order.generator))
                        is_open = True
                    self._sample(lease, number, order, replace(inputs, seed=seed), provenance)
                if number == last:
                    session.close()
                yield name

    def _sample(self, lease: Lease, number: int, order: Order, inputs: ResolvedRequest, provenance: Provenance) -> None:
        """Make one raw clip and put it into quarantine."""
        name = attempt_name(lease.job_id, number)
        folder = self._quarantine.folder(name)
        key = checkpoint_key(
            inputs.as_json(),
            weights_sha256=provenance.weights_sha256,
            device=order.device,
            settings=order.generator.spec.settings,
        )
        checkpoints = Checkpoints(folder, key)
        save = partial(self._save_operation, lease, number, digest_of(inputs), count(1))
        run = JobRun(folder, checkpoints, order, save, partial(self._books.bill, lease, number))
        run.raise_if_canceled()
        started = time.monotonic()
        clip = self._clip_of(lease=lease, order=order, inputs=inputs, number=number, run=run)
        warnings = (*order.resolved.warnings, *run.notes)
        made = replace(provenance, created_at=datetime.now(UTC), warnings=(*provenance.warnings, *run.notes))
        material = RawMaterial(
            clip=clip,
            provenance=made if not isinstance(clip, EncodedClip) else of_provider(made, clip, run.operation),
            request=replace(order.resolved, seed=inputs.seed, warnings=warnings),
            seconds=time.monotonic() - started,
            policy=order.policy,
        )
        self._quarantine.put(name, material)
        checkpoints.clear()

    def _clip_of(self, *, lease: Lease, order: Order, inputs: ResolvedRequest, number: int, run: JobRun) -> RawClip:
        """Generate, or pick up what goes on elsewhere since an earlier run of the job."""
        saved = newest_order(order.operation, self._quarantine.operation(lease.job_id))
        is_ours = saved is not None and (saved["attempt"], saved["request"]) == (number, digest_of(inputs))
        if saved is not None and is_ours and isinstance(order.generator, Resumable):
            run.operation = saved["operation"]
            with self._books.keeping(lease, number, order.generator.spec, inputs, run, is_new=False) as piece:
                return measured(order.generator.resume(saved["operation"], run), inputs, piece, run)
        if saved is not None and saved["attempt"] == number and is_open_order(saved):
            raise strange_order(saved["operation"])
        with self._books.keeping(lease, number, order.generator.spec, inputs, run) as piece:
            return measured(order.generator.generate(inputs, run), inputs, piece, run)

    def _save_operation(
        self, lease: Lease, number: int, digest: str, serials: Iterator[int], operation: dict[str, Any] | None
    ) -> None:
        """Keep what was ordered and will be paid for, in the job's folder and in its row; None: nothing was.

        One of them is enough. A full disk or a locked database is waited out: to forget the order is to pay twice.
        """
        saved = {"attempt": number, "token": lease.token, "serial": next(serials), "request": digest}
        saved |= {"operation": operation} if operation is not None else {"attempt": 0, "operation": None}
        for is_last in (*(False,) * _SAVE_TRIES, True):
            faults = []
            for save in (
                partial(self._quarantine.put_operation, lease.job_id, saved),
                partial(self._queue.save_operation, lease, saved),
            ):
                try:
                    save()
                except (DiskFull, StoreFault) as fault:
                    faults.append(fault)
            if len(faults) < 2:
                return
            if is_last:
                raise faults[-1]
            time.sleep(_SAVE_PAUSE_SECONDS)

    def _require_room(self, name: str, resolved: ResolvedRequest) -> None:
        raw_bytes = resolved.width * resolved.height * resolved.num_frames * 3
        require_room(self._quarantine.folder(name), 2 * raw_bytes, what="the clip")

    def _seal(
        self, lease: Lease, names: Iterable[str], count: int, watch: Stopwatch, *, is_released: bool = False
    ) -> Asset:
        """Seal the first attempt that its policy lets out; of those made again and again, the best if none passes.

        names: of the attempts in quarantine. count: how many there will be at most.
        """
        failed: dict[str, Attempt] = {}
        for number, name in enumerate(names, 1):
            raw = self._quarantine.get(name)
            judge = Judge(policy=raw.policy, seed=raw.request.seed, earlier=tuple(failed.values()),
                          is_last=number == count, is_released=is_released)  # fmt: skip
            try:
                return self._pass_gate(lease, raw, judge, watch)
            except ChecksFailed as failure:
                self._quarantine.put_report(name, failure.report)
                if failure.action is not Action.RETRY:
                    raise
                failed[name] = Attempt.of(raw.request.seed, failure.report)
        attempts = tuple(failed.values())
        best = best_of(attempts)
        raw = self._quarantine.get(list(failed)[best])
        return self._pass_gate(lease, raw, Choice(policy=raw.policy, attempts=attempts, number=best), watch)

    def _pass_gate(self, lease: Lease, raw: RawMaterial, judge: Judge | Choice, watch: Stopwatch) -> Asset:
        room = self._quarantine.folder(lease.job_id)
        return self._gate.seal(
            raw,
            room,
            lambda stage: watch.show(Progress(stage=stage)),
            judge,
            admitted=lambda session: self._queue.succeed(session, lease, watch.timings()),
        )

    def _finished(self, lease: Lease) -> Asset | None:
        """Return what the job has made if row and file are both there; a row without its file is forgotten."""
        asset = self._store.asset_of_job(lease.job_id)
        if asset is None:
            return None
        if not asset.is_there:
            self._store.forget_asset(asset.id)
            return None
        with suppress(LeaseLost):  # it was written together with the clip
            self._queue.end(lease, JobState.SUCCEEDED)
        return asset

    @contextmanager
    def _outcome(self, lease: Lease, watch: Stopwatch, *, is_attended: bool) -> Iterator[None]:
        """Write what became of the job, unless it succeeded: that is written when its clip is admitted.

        What was generated stays in quarantine.
        """
        job_id = lease.job_id
        try:
            yield
        except LeaseLost:
            raise
        except Stopped:
            self._put_back(lease, "stopped", watch)
            raise
        except (Canceled, KeyboardInterrupt) as error:
            # Who sits before it may still want what was made; who cancels a job of the queue does not want it.
            canceled = error if isinstance(error, Canceled) else interrupted(job_id, self._quarantine.operation(job_id))
            told = canceled.as_json() if canceled.details else None
            self._end(lease, watch, JobState.CANCELED, None, told, is_wanted=is_attended)
            raise advise(self._quarantine, job_id, canceled) from error
        except ChecksFailed as error:
            is_held = error.action is Action.HOLD
            error.advise(advice_after_checks(job_id, is_held=is_held))
            state, reason = (JobState.HELD, None) if is_held else (JobState.FAILED, FailureReason.REFUSED)
            self._end(lease, watch, state, reason, error.as_json(), is_judged=True)
            raise
        except (*PASSING_FAULTS, OverBudget) as error:
            if is_attended:
                advise(self._quarantine, job_id, error)
                self._end(lease, watch, JobState.FAILED, reason_of(error), error.as_json())
                raise
            is_refused = isinstance(error, OverBudget)  # another order was faster
            self._put_back(lease, UNPAID if is_refused else "waits", watch, error.as_json(), is_refused=is_refused)
            raise
        except StudioError as error:
            # An order goes on while its provider cannot be reached, and so does the job; who sits before it is told.
            if isinstance(error, Unreachable) and not is_attended and is_open_order(self._quarantine.operation(job_id)):
                self._put_back(lease, "waits", watch, error.as_json())
                raise
            advise(self._quarantine, job_id, error)
            self._end(lease, watch, JobState.FAILED, reason_of(error), error.as_json())
            raise
        except BaseException as error:
            text = {"type": type(error).__name__, "message": str(error)}
            self._end(lease, watch, JobState.FAILED, FailureReason.GENERATION, text)
            raise

    def _put_back(
        self,
        lease: Lease,
        outcome: str,
        watch: Stopwatch,
        error: dict[str, Any] | None = None,
        *,
        is_refused: bool = False,
    ) -> None:
        timings = watch.timings()
        state = self._queue.put_back(lease, outcome, error=error, timings=timings, is_refused=is_refused)
        if state == JobState.CANCELED:
            self._quarantine.discard(lease.job_id)

    def _end(
        self,
        lease: Lease,
        watch: Stopwatch,
        state: JobState,
        reason: FailureReason | None,
        error: dict[str, Any] | None,
        *,
        is_judged: bool = False,
        is_wanted: bool = True,
    ) -> None:
        """Write how a job ended that did not end well. A store that fails too must not hide the cause.

        is_judged: the clip was made, and the checks keep it from being sealed. is_wanted: by whoever asked for it.
        """
        job_id, timings = lease.job_id, watch.timings()
        with suppress(DiskFull, StoreFault, LeaseLost):
            if self._finished(lease) is not None:
                # An interrupt came just after the clip was admitted; the job has succeeded.
                self._quarantine.discard(job_id)
            elif self._quarantine.holds(job_id) and is_wanted and not is_judged:
                self._queue.end(lease, JobState.FAILED, reason=FailureReason.UNSEALED, error=error, timings=timings)
            else:
                self._keep_order(lease)
                self._queue.end(lease, state, reason=reason, error=error, timings=timings)
                is_worth_keeping = state != JobState.CANCELED and self._quarantine.has_checkpoints(job_id)
                if not is_judged and not is_worth_keeping:
                    self._quarantine.discard(job_id)

    def _keep_order(self, lease: Lease) -> None:
        """Write into the row what only the folder knows of an order, for the folder may go with the job's end."""
        saved, row = self._quarantine.operation(lease.job_id), self._store.job(lease.job_id)
        if saved is not None and row is not None and newest_order(row.operation, saved) is saved:
            self._queue.save_operation(lease, saved)
