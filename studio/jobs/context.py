"""What a job is to do, what its generator may tell and ask while it runs, and how long each stage took."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio.consistency.policy import Policy
from studio.errors import Canceled
from studio.generator import Cost, Generator
from studio.jobs.checkpoints import Checkpoints
from studio.jobs.job import Progress
from studio.jobs.lease import Stopped
from studio.media import Preview
from studio.provenance.manifest import Provenance
from studio.request import ResolvedRequest

CHECKPOINT_SECONDS = 60.0
# Stages whose steps are told by their own name; all other steps are those of sampling.
COUNTED_STAGES = ("generating", "uploading", "downloading")

Observer = Callable[[Progress], None]


class Stopwatch:
    """Passes progress on, and keeps the seconds that each stage took."""

    def __init__(self, observe: Observer) -> None:
        self._observe = observe
        self._stage: str | None = None
        self._since = time.monotonic()
        self._seconds: dict[str, float] = {}

    def show(self, progress: Progress) -> None:
        """Take note of the stage and pass it on."""
        self._turn(progress.stage)
        self._observe(progress)

    def timings(self) -> dict[str, float]:
        """Return the seconds by stage until now, rounded to milliseconds."""
        self._turn(self._stage)
        return {stage: round(seconds, 3) for stage, seconds in self._seconds.items()}

    def _turn(self, stage: str | None) -> None:
        now = time.monotonic()
        if self._stage is not None:
            self._seconds[self._stage] = self._seconds.get(self._stage, 0.0) + now - self._since
        self._stage, self._since = stage, now


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a job is to do. describe: makes the clip's provenance from the job's id and the request with its inputs.

    policy: what happens if the clip fails a check. operation: of a provider, saved by an earlier run of the job.
    asked: cancel, pause or stop, or nothing. device: of local models, as the settings name it.
    open_session: holds the model's weights; a worker that keeps them for the next job says so here.
    """

    resolved: ResolvedRequest
    generator: Generator
    describe: Callable[[str, ResolvedRequest], Provenance]
    policy: Policy = field(default_factory=Policy)
    operation: Mapping[str, Any] | None = None
    observe: Observer = lambda _progress: None
    asked: Callable[[], str | None] = lambda: None
    device: str = "cpu"
    is_attended: bool = True
    open_session: Callable[[Generator], AbstractContextManager[None]] = lambda generator: generator.session()


class JobRun:
    """The `RunContext` of a job that runs in this process."""

    def __init__(
        self,
        workdir: Path,
        checkpoints: Checkpoints,
        order: Order,
        save: Callable[[dict[str, Any] | None], None],
        bill: Callable[[Cost | None, float | None, str], None],
    ) -> None:
        self._workdir = workdir
        self._checkpoints = checkpoints
        self._order = order
        self._save = save
        self._bill = bill
        self.is_ordered = False  # an order was sent, or may have been
        self._first_step: tuple[float, int] | None = None
        self._kept_at = time.monotonic()
        self._stage = self._detail = ""
        self.notes: list[str] = []
        self.operation: Mapping[str, Any] | None = None  # as it was last kept

    @property
    def workdir(self) -> Path:
        return self._workdir

    def progress(self, done: int, total: int, preview: Preview | None = None) -> None:
        """Pass progress on, with an ETA from the pace so far."""
        now = time.monotonic()
        if self._first_step is None or done <= self._first_step[1]:
            self._first_step = (now, done)
        since, first = self._first_step
        pace = (now - since) / (done - first) if done > first else None
        eta = None if pace is None else pace * (total - done)
        stage = self._stage if self._stage in COUNTED_STAGES else "sampling"
        detail = self._detail if stage == self._stage else ""
        told = Progress(stage=stage, done=done, total=total, eta_seconds=eta, preview=preview, detail=detail)
        self._order.observe(told)

    def stage(self, name: str, detail: str = "") -> None:
        """Say what the generator does now."""
        self._stage, self._detail = name, detail
        self._order.observe(Progress(stage=name, detail=detail))

    def raise_if_canceled(self) -> None:
        """Raise `Canceled` if somebody asked for it, `Stopped` if the job is to go on later."""
        match self._order.asked():
            case "cancel":
                raise Canceled
            case "pause" | "stop":
                raise Stopped

    def wants_checkpoint(self) -> bool:
        """Say whether it is time to keep what was sampled so far."""
        return self._order.asked() in ("pause", "stop") or time.monotonic() - self._kept_at >= CHECKPOINT_SECONDS

    def keep(self, stage: str, content: bytes) -> None:
        """Keep a stage, so that a retry goes on from there. Raises `DiskFull` or `StoreFault`."""
        self._checkpoints.keep(stage, content)
        self._kept_at = time.monotonic()

    def kept(self, stage: str) -> bytes | None:
        """Return what an earlier run of the same job kept of a stage, or None."""
        return self._checkpoints.kept(stage)

    def save_operation(self, operation: Mapping[str, Any]) -> None:
        """Write a remote operation into the job's folder and row."""
        self.is_ordered = True
        self._save(dict(operation))
        self.operation = dict(operation)

    def forget_operation(self) -> None:
        """Take it back: nothing was ordered."""
        self.is_ordered = False
        self._save(None)

    def note(self, text: str) -> None:
        """Keep what the clip's owner is to be told, once."""
        if text not in self.notes:
            self.notes.append(text)
            self._order.observe(Progress(stage=self._stage or "encoding", detail=text))

    def bill(self, cost: Cost | None, *, units: float | None = None, unit: str = "") -> None:
        """Write what was charged into the ledger, and into the job's row."""
        self._bill(cost, units, unit)
