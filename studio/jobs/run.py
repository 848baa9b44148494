"""One job, from resolved request to sealed asset, in this process."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from studio.errors import Canceled, DiskFull, EnvironmentFault, RequestError, SealFailed, StudioError
from studio.export.gate import Gate
from studio.generator import Generator
from studio.jobs.quarantine import Quarantine, RawMaterial
from studio.jobs.states import FailureReason, JobState
from studio.library.asset import Asset
from studio.library.store import Store
from studio.media import Preview
from studio.provenance.manifest import Provenance
from studio.request import Conditioning, ResolvedRequest
from studio.resolve import file_sha256


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a job is. stage: loading, sampling, checking, marking, signing or verifying.

    done, total: steps of the stage; 0 of 0 where it has none. eta_seconds: None until the first step is done.
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


class JobRunner:
    """Runs jobs and keeps their rows true, whatever happens."""

    def __init__(self, store: Store, quarantine: Quarantine, gate: Gate) -> None:
        self._store = store
        self._quarantine = quarantine
        self._gate = gate

    def run(
        self,
        job_id: str,
        resolved: ResolvedRequest,
        generator: Generator,
        describe: Callable[[str, ResolvedRequest], Provenance],
        observe: Observer,
        is_canceled: Callable[[], bool],
    ) -> tuple[Asset, float]:
        """Generate and seal. describe: makes the clip's provenance. Returns the asset and the seconds of generation."""
        with self._quarantine.lock(job_id), self._outcome(job_id):
            self._store.start_job(job_id)
            run = JobRun(job_id, self._quarantine.folder(job_id), self._store, observe, is_canceled)
            inputs = _keep_inputs(resolved, run.workdir)
            observe(Progress(stage="loading"))
            started = time.monotonic()
            with generator.session():
                run.raise_if_canceled()
                clip = generator.generate(inputs, run)
            seconds = time.monotonic() - started
            provenance = replace(describe(job_id, inputs), created_at=datetime.now(UTC))
            self._quarantine.put(
                job_id, RawMaterial(clip=clip, provenance=provenance, request=resolved, seconds=seconds)
            )
            asset = self._seal(job_id, observe)
        self._quarantine.discard(job_id)
        return asset, seconds

    def retry_seal(self, job_id: str, observe: Observer) -> Asset:
        """Seal a clip that waits in quarantine."""
        with self._quarantine.lock(job_id), self._outcome(job_id):
            self._store.start_job(job_id)
            asset = self._store.asset_of_job(job_id) or self._seal(job_id, observe)
        self._quarantine.discard(job_id)
        return asset

    def recover(self) -> list[str]:
        """Mark jobs whose process died as failed, and clear their leftovers. Returns their ids."""
        dead = [
            row.id
            for row in self._store.jobs(JobState.RUNNING, JobState.QUEUED)
            if not self._quarantine.is_in_work(row.id)
        ]
        for job_id in dead:
            if self._store.asset_of_job(job_id) is not None:
                self._store.end_job(job_id, JobState.SUCCEEDED)
                self._quarantine.discard(job_id)
            elif self._quarantine.holds(job_id):
                self._store.end_job(job_id, JobState.FAILED, reason=FailureReason.UNSEALED)
            else:
                self._store.end_job(job_id, JobState.FAILED, reason=FailureReason.INTERRUPTED)
                self._quarantine.discard(job_id)
        return dead

    def _seal(self, job_id: str, observe: Observer) -> Asset:
        material = self._quarantine.get(job_id)
        return self._gate.seal(material, self._quarantine.folder(job_id), lambda stage: observe(Progress(stage=stage)))

    @contextmanager
    def _outcome(self, job_id: str) -> Iterator[None]:
        """Write the job's final state, from success to Ctrl-C. What was generated stays in quarantine."""
        try:
            yield
        except (Canceled, KeyboardInterrupt) as error:
            self._end_badly(job_id, JobState.CANCELED, None, None)
            raise Canceled from error
        except StudioError as error:
            self._end_badly(job_id, JobState.FAILED, _reason(error), error.as_json())
            if self._quarantine.holds(job_id) and isinstance(error, SealFailed | DiskFull):
                error.fix = f"the clip is kept: `studio quarantine retry {job_id}` seals it without generating again"
                error.args = (error.sentence(),)
            raise
        except BaseException as error:
            text = {"type": type(error).__name__, "message": str(error)}
            self._end_badly(job_id, JobState.FAILED, FailureReason.GENERATION, text)
            raise
        else:
            self._store.end_job(job_id, JobState.SUCCEEDED)

    def _end_badly(
        self, job_id: str, state: JobState, reason: FailureReason | None, error: dict[str, Any] | None
    ) -> None:
        is_kept = self._quarantine.holds(job_id)
        self._store.end_job(job_id, state, reason=FailureReason.UNSEALED if is_kept else reason, error=error)
        if not is_kept:
            self._quarantine.discard(job_id)


def _reason(error: StudioError) -> FailureReason:
    if isinstance(error, RequestError):
        return FailureReason.REQUEST
    return FailureReason.ENVIRONMENT if isinstance(error, EnvironmentFault) else FailureReason.GENERATION


def _keep_inputs(resolved: ResolvedRequest, folder: Path) -> ResolvedRequest:
    """Copy the conditioning files, so that sealing can be retried after the user moved them.

    The copies carry the role as their name: a user's file name stays out of the signed file.
    """
    kept = []
    for item in resolved.conditionings:
        copy = folder / f"{item.role.value}{item.path.suffix.lower()}"
        shutil.copyfile(item.path, copy)
        copied = Conditioning(role=item.role, path=copy, sha256=item.sha256)
        if file_sha256(copied) != item.sha256:
            raise RequestError("the file changed while the job started", field=item.role.value, got=item.path)
        kept.append(copied)
    return replace(resolved, conditionings=tuple(kept))
