"""One job, from resolved request to sealed asset, in this process."""

from __future__ import annotations

import mimetypes
import shutil
import time
from collections import abc
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.consistency.policy import Action, Attempt, ChecksFailed, Choice, Judge, Policy, best_of, next_seed
from studio.disk import require_room, write_durably
from studio.errors import Canceled, DiskFull, EnvironmentFault, RequestError, StoreFault, StudioError, UnreadableMedia
from studio.export.gate import Gate
from studio.generator import Generator
from studio.jobs.quarantine import InWork, Quarantine, RawMaterial, attempt_name
from studio.jobs.states import FailureReason, JobState
from studio.library.asset import Asset
from studio.library.store import Store, new_id
from studio.media import Preview, sniff_mime_type
from studio.provenance.manifest import Provenance
from studio.provenance.sidecar import SIDECAR_SUFFIX, record_beside
from studio.request import Conditioning, ResolvedRequest
from studio.resolve import file_sha256


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a job is. stage: loading, sampling, checking, marking, signing, verifying or retrying.

    done, total: steps of the stage; 0 of 0 where it has none. eta_seconds: None until the first step is done.
    retrying: a check failed and the clip is made again with another seed, for the time of `done`, of at most `total`.
    """

    stage: str
    done: int = 0
    total: int = 0
    eta_seconds: float | None = None
    preview: Preview | None = None


Observer = Callable[[Progress], None]


class JobRun:
    """The `RunContext` of a job that runs in this process."""

    def __init__(
        self, job_id: str, workdir: Path, store: Store, observe: Observer, is_canceled: Callable[[], bool]
    ) -> None:
        self._job_id = job_id
        self._workdir = workdir
        self._store = store
        self._observe = observe
        self._is_canceled = is_canceled
        self._first_step_at: float | None = None

    @property
    def workdir(self) -> Path:
        return self._workdir

    def progress(self, done: int, total: int, preview: Preview | None = None) -> None:
        """Pass progress on, with an ETA from the pace so far."""
        now = time.monotonic()
        if self._first_step_at is None or done == 0:
            self._first_step_at = now
        pace = (now - self._first_step_at) / done if done else None
        eta = None if pace is None else pace * (total - done)
        self._observe(Progress(stage="sampling", done=done, total=total, eta_seconds=eta, preview=preview))

    def raise_if_canceled(self) -> None:
        """Raise `Canceled` if somebody asked for it."""
        if self._is_canceled():
            raise Canceled

    def save_operation(self, operation: Mapping[str, Any]) -> None:
        """Write a remote operation into the job's row."""
        self._store.save_operation(self._job_id, dict(operation))


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a job is to do. describe: makes the clip's provenance from the job's id and the request with its inputs.

    policy: what happens if the clip fails a check.
    """

    resolved: ResolvedRequest
    generator: Generator
    describe: Callable[[str, ResolvedRequest], Provenance]
    policy: Policy = field(default_factory=Policy)
    observe: Observer = lambda _progress: None
    is_canceled: Callable[[], bool] = lambda: False


_UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


class JobRunner:
    """Runs jobs and keeps their rows true, whatever happens."""

    def __init__(self, store: Store, quarantine: Quarantine, gate: Gate) -> None:
        self._store = store
        self._quarantine = quarantine
        self._gate = gate

    def run(self, order: Order) -> Asset:
        """Generate and seal. Raises `ChecksFailed` where the policy does not let the clip out."""
        job_id = new_id()
        # The lock comes before the row: nobody may ever see a job in work that nobody holds.
        with self._quarantine.lock(job_id):
            self._store.add_job(job_id, order.resolved.as_json())
            with self._outcome(job_id):
                self._store.start_job(job_id)
                with closing(self._generate(job_id, order)) as attempts:
                    asset = self._seal(job_id, attempts, order.policy.retries + 1, order.observe)
            self._quarantine.discard(job_id)
        return asset

    def retry_seal(self, job_id: str, observe: Observer, *, is_released: bool = False) -> Asset:
        """Seal a clip that waits in quarantine. is_released: whatever the checks say.

        Raises `InWork` while another process seals it, `ChecksFailed` where its policy does not let it out.
        """
        with self._quarantine.lock(job_id):
            with self._outcome(job_id):
                self._store.start_job(job_id)
                attempts = self._quarantine.attempts(job_id)
                asset = self._whole_asset(job_id) or self._seal(
                    job_id, attempts, len(attempts), observe, is_released=is_released
                )
            self._quarantine.discard(job_id)
        return asset

    def discard(self, job_id: str) -> None:
        """Give up a clip that waits in quarantine. Raises `InWork` while another process seals it."""
        with self._quarantine.lock(job_id):
            self._store.end_job(job_id, JobState.CANCELED)
            self._quarantine.discard(job_id)

    def recover(self) -> list[str]:
        """Write down how jobs ended whose process died, and clear their leftovers. Returns their ids."""
        return [row.id for row in self._store.jobs(*_UNFINISHED) if self._recover(row.id)]

    def _recover(self, job_id: str) -> bool:
        try:
            with self._quarantine.lock(job_id):
                row = self._store.job(job_id)
                if row is None or row.state not in _UNFINISHED:
                    # It came to its end while we were looking; taking the lock made its folder anew.
                    if not self._quarantine.holds(job_id):
                        self._quarantine.discard(job_id)
                    return False
                self._end(job_id, JobState.FAILED, FailureReason.INTERRUPTED, None)
                return True
        except InWork:
            return False

    def _generate(self, job_id: str, order: Order) -> abc.Generator[str, None, None]:
        """Make raw clips, one whenever another is asked for, and yield their names in quarantine.

        Whatever can go wrong goes wrong before the hours are spent. The weights stay loaded until the last one is made.
        """
        self._require_room(job_id, order.resolved)
        inputs = _keep_inputs(order.resolved, self._quarantine.folder(job_id))
        last = order.policy.retries + 1
        with ExitStack() as session:
            for number in range(1, last + 1):
                name, seed = attempt_name(job_id, number), next_seed(order.resolved.seed, number - 1)
                self._require_room(name, order.resolved)
                provenance = order.describe(job_id, replace(inputs, seed=seed))
                if number == 1:
                    order.observe(Progress(stage="loading"))
                    session.enter_context(order.generator.session())
                else:
                    order.observe(Progress(stage="retrying", done=number - 1, total=order.policy.retries))
                self._sample(job_id, name, order, replace(inputs, seed=seed), provenance)
                if number == last:
                    session.close()
                yield name

    def _sample(self, job_id: str, name: str, order: Order, inputs: ResolvedRequest, provenance: Provenance) -> None:
        """Make one raw clip and put it into quarantine."""
        run = JobRun(job_id, self._quarantine.folder(name), self._store, order.observe, order.is_canceled)
        run.raise_if_canceled()
        started = time.monotonic()
        clip = order.generator.generate(inputs, run)
        material = RawMaterial(
            clip=clip,
            provenance=replace(provenance, created_at=datetime.now(UTC)),
            request=replace(order.resolved, seed=inputs.seed),
            seconds=time.monotonic() - started,
            policy=order.policy,
        )
        self._quarantine.put(name, material)

    def _require_room(self, name: str, resolved: ResolvedRequest) -> None:
        raw_bytes = resolved.width * resolved.height * resolved.num_frames * 3
        require_room(self._quarantine.folder(name), 2 * raw_bytes, what="the clip")

    def _seal(
        self, job_id: str, names: Iterable[str], count: int, observe: Observer, *, is_released: bool = False
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
                return self._pass_gate(job_id, raw, judge, observe)
            except ChecksFailed as failure:
                self._quarantine.put_report(name, failure.report)
                if failure.action is not Action.RETRY:
                    raise
                failed[name] = Attempt.of(raw.request.seed, failure.report)
        attempts = tuple(failed.values())
        best = best_of(attempts)
        raw = self._quarantine.get(list(failed)[best])
        return self._pass_gate(job_id, raw, Choice(policy=raw.policy, attempts=attempts, number=best), observe)

    def _pass_gate(self, job_id: str, raw: RawMaterial, judge: Judge | Choice, observe: Observer) -> Asset:
        room = self._quarantine.folder(job_id)
        return self._gate.seal(raw, room, lambda stage: observe(Progress(stage=stage)), judge)

    def _whole_asset(self, job_id: str) -> Asset | None:
        """Return what the job made if row and file are both there; a row without its file is forgotten."""
        asset = self._store.asset_of_job(job_id)
        if asset is None or asset.path.is_file():
            return asset
        self._store.forget_asset(asset.id)
        return None

    @contextmanager
    def _outcome(self, job_id: str) -> Iterator[None]:
        """Write the job's final state, from success to Ctrl-C. What was generated stays in quarantine."""
        try:
            yield
        except (Canceled, KeyboardInterrupt) as error:
            self._end(job_id, JobState.CANCELED, None, None)
            raise self._advise(job_id, Canceled()) from error
        except ChecksFailed as error:
            is_held = error.action is Action.HOLD
            error.advise(_advice_after_checks(job_id, is_held=is_held))
            state, reason = (JobState.HELD, None) if is_held else (JobState.FAILED, FailureReason.REFUSED)
            self._end(job_id, state, reason, error.as_json(), is_judged=True)
            raise
        except StudioError as error:
            self._end(job_id, JobState.FAILED, _reason(error), error.as_json())
            raise self._advise(job_id, error) from error.__cause__
        except BaseException as error:
            text = {"type": type(error).__name__, "message": str(error)}
            self._end(job_id, JobState.FAILED, FailureReason.GENERATION, text)
            raise
        else:
            self._store.end_job(job_id, JobState.SUCCEEDED)

    def _end(
        self,
        job_id: str,
        state: JobState,
        reason: FailureReason | None,
        error: dict[str, Any] | None,
        *,
        is_judged: bool = False,
    ) -> None:
        """Write how a job ended that did not end well. A store that fails too must not hide the cause.

        is_judged: the clip was made, and the checks keep it from being sealed.
        """
        with suppress(DiskFull, StoreFault):
            if self._whole_asset(job_id) is not None:
                self._store.end_job(job_id, JobState.SUCCEEDED)
                self._quarantine.discard(job_id)
            elif self._quarantine.holds(job_id) and not is_judged:
                self._store.end_job(job_id, JobState.FAILED, reason=FailureReason.UNSEALED, error=error)
            else:
                self._store.end_job(job_id, state, reason=reason, error=error)
                if not is_judged:
                    self._quarantine.discard(job_id)

    def _advise(self, job_id: str, error: StudioError) -> StudioError:
        if self._quarantine.holds(job_id):
            error.advise(f"the clip is kept: `studio quarantine retry {job_id}` seals it without generating again")
        return error


def _advice_after_checks(job_id: str, *, is_held: bool) -> str:
    release = f", `studio quarantine release {job_id}` seals it all the same" if is_held else ""
    return f"`studio quarantine show {job_id}` says more{release}, `studio quarantine discard {job_id}` deletes it"


def _reason(error: StudioError) -> FailureReason:
    if isinstance(error, RequestError):
        return FailureReason.REQUEST
    return FailureReason.ENVIRONMENT if isinstance(error, EnvironmentFault) else FailureReason.GENERATION


def _keep_inputs(resolved: ResolvedRequest, folder: Path) -> ResolvedRequest:
    """Copy the conditioning files, so that sealing can be retried after the user moved them.

    The copies are named by role and number: a user's file name stays out of the signed file.
    """
    kept = []
    for number, item in enumerate(resolved.conditionings, 1):
        suffix = mimetypes.guess_extension(sniff_mime_type(item.path) or "") or ""
        copy = folder / f"{item.role.value}-{number}{suffix}"
        with open(item.path, "rb") as source:
            write_durably(copy, lambda stream, source=source: shutil.copyfileobj(source, stream))  # type: ignore[misc]
        if (record := record_beside(item.path, sniff_mime_type(item.path))) is not None:
            place = copy.with_name(copy.name + SIDECAR_SUFFIX)
            write_durably(place, lambda stream, record=record: stream.write(record))  # type: ignore[misc]
        copied = Conditioning(role=item.role, path=copy, sha256=item.sha256)
        if file_sha256(copied) != item.sha256:
            raise UnreadableMedia("the file changed while the job started", field=item.role.value, got=item.path)
        kept.append(copied)
    return replace(resolved, conditionings=tuple(kept))
