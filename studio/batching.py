"""Runs batch files: submits their jobs, keeps workers at work on them, and tells what became of each."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import Timeout

from studio.alone import alone
from studio.app import Studio
from studio.batch.entry import BatchFile
from studio.batch.outcome import EntryOutcome, Totals
from studio.batch.plan import BatchWish, Plan, plan_batch
from studio.batch.reading import read_batch
from studio.batch.report import write_batch_report
from studio.batch.results import job_facts, results_of
from studio.batch.running import BatchRun, BatchView, BatchWatch, Unwatched, posts_for
from studio.errors import EnvironmentFault, RequestError, StudioError
from studio.jobs.batches import Batch, BatchRows, Glance, client_key
from studio.jobs.budget import OverBudget
from studio.jobs.devices import devices
from studio.jobs.job import JobWish
from studio.jobs.processes import Crew, WorkerProcesses
from studio.jobs.states import FailureReason, JobState
from studio.library.asset import Asset


@dataclass(frozen=True, kw_only=True)
class BatchResult:
    """What a run led to. report: the folder, None where none was written. seconds: of this run.

    error: of the first entry that has no clip, or of the report; None where all is well.
    """

    batch: Batch
    outcomes: tuple[EntryOutcome, ...]
    report: Path | None
    error: StudioError | None
    seconds: float

    @property
    def totals(self) -> Totals:
        return Totals.of(self.outcomes)

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {
            "batch": self.batch.as_json(),
            "jobs": job_facts(self.outcomes),
            "counts": dict(self.totals.states),
            "totals": self.totals.as_json(),
            "report": None if self.report is None else str(self.report),
            "error": None if self.error is None else self.error.as_json(),
            "seconds": round(self.seconds, 3),
        }


class Batches:
    """Batch files and their runs in one library."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio

    @property
    def rows(self) -> BatchRows:
        """The runs that the library knows."""
        return BatchRows(self._studio.store)

    def plan(self, path: Path, wish: BatchWish) -> Plan:
        """Say what a run would do; see `studio.batch.plan.plan_batch`. Nothing is changed."""
        return plan_batch(self._studio, self.rows, path, wish)

    def submit(self, path: Path, wish: BatchWish, watch: BatchWatch | None = None) -> tuple[Batch, list[Glance]]:
        """Put a file's jobs into the queue and leave them to workers that are there, or will be."""
        watch = watch or Unwatched()
        with self._alone_with(path):
            batch = self._submit(self.plan(path, wish), watch)
            return batch, self.rows.glances(batch.id)

    def run(
        self, path: Path, wish: BatchWish, watch: BatchWatch | None = None, stop: threading.Event | None = None
    ) -> BatchResult:
        """Run a file to its end. stop: ends it early, as Ctrl-C does; its jobs stay in the queue then.

        Raises what is wrong with the file, before anything is queued; `Canceled`; and an `EnvironmentFault` where no
        worker can be kept alive or the database is gone. A run may be killed at any moment: `resume` goes on.
        """
        watch = watch or Unwatched()
        started = time.monotonic()
        with self._alone_with(path):
            plan = self.plan(path, wish)
            batch = self._submit(plan, watch)
            glances = self.rows.glances(batch.id)
            crew = (wish.crew or self._crew_of(wish))(batch, glances, watch.tell)
            BatchRun(self._studio, self.rows, batch, plan, watch, crew, stop or threading.Event(), started).work()
            return self._finish(plan, batch, watch, started)

    def report(self, words: str, folder: Path | None = None) -> BatchResult:
        """Write the report of a run anew. words: id of the batch or path of its file."""
        started = time.monotonic()
        batch = self.rows.find(words)
        file = self._file_of(batch)
        results = results_of(self.rows, batch, file.entries)
        written = write_batch_report(file, results.outcomes, folder, home=self._studio.settings.home)
        return BatchResult(batch=batch, outcomes=results.outcomes, report=written.page.parent, error=results.error,
                           seconds=time.monotonic() - started)  # fmt: skip

    def result(self, words: str | None) -> BatchResult:
        """Return what is known of a run now. words: id of the batch or path of its file; None for the latest."""
        self._studio.runner.recover()
        batch = self.rows.find(words)
        results = results_of(self.rows, batch, self._file_of(batch).entries)
        return BatchResult(batch=batch, outcomes=results.outcomes, report=None, error=results.error, seconds=0.0)

    # -- inside -------------------------------------------------------------------------------------------------

    def _file_of(self, batch: Batch) -> BatchFile:
        """Return the file of a batch if it is still what was run; else one without entries: the jobs speak then."""
        try:
            file = read_batch(batch.path)
        except StudioError:
            file = None
        if file is None or file.digest != batch.digest:
            return BatchFile(path=batch.path, digest=batch.digest, entries=())
        return file

    def _submit(self, plan: Plan, watch: BatchWatch) -> Batch:
        rows, desk = self.rows, self._studio.desk
        self._studio.runner.recover()
        plan.copies.tidy(plan.file.entries)
        if plan.batch is None:
            batch = rows.add(plan.file.path, plan.file.digest, plan.budget)
        else:
            batch = rows.change(plan.batch.id, plan.file.digest, plan.budget)
        _tell_gone(plan, watch)
        rows.leave([job.id for job in plan.gone])
        numbers = {plan.known[entry.key].id: entry.number for entry in plan.file.entries if entry.key in plan.known}
        rows.number(batch.id, numbers)
        wishes = [
            (
                item.resolved,
                JobWish(
                    priority=item.entry.priority,
                    client_key=client_key(batch.id, item.entry.key),
                    on_fail=item.entry.on_fail or plan.wish.on_fail,
                    label=item.entry.label,
                    batch_id=batch.id,
                    entry=item.entry.number,
                ),
            )
            for item in plan.fresh
        ]
        if wishes:
            desk.submit_many(wishes)
        _revive(self._studio, self.rows, rows.glances(batch.id), plan, watch)
        return batch

    def _crew_of(self, wish: BatchWish) -> Any:
        def crew(batch: Batch, glances: Sequence[Glance], tell: Any) -> Crew:
            named = wish.devices or devices(self._studio.settings)
            posts = posts_for(glances, named, wish.workers, ("--batch", batch.id))
            return WorkerProcesses(posts, self._studio.settings.home / "workers", tell=tell)

        return crew

    def _finish(self, plan: Plan, batch: Batch, watch: BatchWatch, started: float) -> BatchResult:
        copies = {entry.number: path for entry in plan.file.entries if (path := plan.copies.path_of(entry))}
        results = results_of(self.rows, batch, plan.file.entries, copies=copies, copy_errors=plan.copies.errors)
        error = results.error
        folder = None
        if plan.report is not None:
            try:
                home = self._studio.settings.home
                folder = write_batch_report(plan.file, results.outcomes, plan.report, home=home).page.parent
            except StudioError as fault:
                fault.advise(f"the clips are safe in the library; `studio batch report {batch.id}` writes it again")
                watch.tell(fault.sentence())
                error = error or fault
        try:
            self._studio.desk.gc()
        except (EnvironmentFault, OSError) as fault:
            watch.tell(f"leftovers stay for now: {fault}")
        return BatchResult(batch=batch, outcomes=results.outcomes, report=folder, error=error,
                           seconds=time.monotonic() - started)  # fmt: skip

    @contextmanager
    def _alone_with(self, path: Path) -> Iterator[None]:
        """Let no other process run the same file meanwhile."""
        name = hashlib.sha256(os.path.realpath(path).encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._studio.settings.create_home()
        folder = self._studio.settings.home / "workers"
        folder.mkdir(mode=0o700, exist_ok=True)
        with ExitStack() as stack:
            try:
                stack.enter_context(alone(folder / f"batch-{name}.lock"))
            except Timeout:
                raise RequestError(
                    "another process runs this file just now",
                    field="file",
                    got=path,
                    fix=f"`studio batch show {path}` says how far it is",
                ) from None
            yield


def _tell_gone(plan: Plan, watch: BatchWatch) -> None:
    waiting = [job for job in plan.gone if not job.is_final]
    if waiting:
        ids = ", ".join(job.id for job in waiting[:5])
        more = " ..." if len(waiting) > 5 else ""
        watch.tell(f"no longer in the file, left in the queue outside of this batch: {ids}{more}")


def _revive(studio: Studio, rows: BatchRows, glances: Sequence[Glance], plan: Plan, watch: BatchWatch) -> None:
    """Take up again what failed or was interrupted, and tell what is left as it is."""
    known = {job.id for job in plan.known.values()}
    left: dict[str, list[int]] = {}
    made = rows.assets(job.id for job in glances if job.state == JobState.SUCCEEDED)
    for job in glances:
        if job.id not in known:
            continue
        try:
            reason = _again(studio, job, made.get(job.id))
        except RequestError as error:  # somebody else was faster
            reason = error.message
        if reason:
            left.setdefault(reason, []).append(job.entry)
    for reason, numbers in left.items():
        shown = ", ".join(str(number) for number in numbers[:10])
        watch.tell(f"{reason}: {shown}{' ...' if len(numbers) > 10 else ''}")


def _again(studio: Studio, job: Glance, made: Asset | None) -> str:
    """Put a job into the queue again if it belongs there. Returns why not, empty where nothing is to be told."""
    match job.state:
        case JobState.FAILED if job.reason == FailureReason.REFUSED:
            return "left alone, refused by their checks (`studio quarantine show` says more)"
        case JobState.FAILED:
            studio.desk.retry(job.id)
        case JobState.SUCCEEDED if made is None or not made.is_there:
            studio.desk.retry(job.id)
            return "gone from the library and made again"
        case JobState.CANCELED:
            return "left alone, canceled (`studio queue retry` takes them up again)"
        case JobState.HELD:
            return "left alone, held for review (`studio quarantine release` or `discard`)"
        case JobState.QUEUED if job.is_paused and (job.error or {}).get("type") == OverBudget.__name__:
            studio.desk.resume(job.id)
        case JobState.QUEUED if job.is_paused:
            return "left alone, paused (`studio queue resume` lets them be taken up)"
    return ""


__all__ = ["BatchResult", "BatchView", "BatchWatch", "BatchWish", "Batches", "Unwatched", "posts_for"]
