"""A batch under way: its workers are kept at work, its jobs looked after, its copies made, until all have ended."""

from __future__ import annotations

import shlex
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from studio.app import Studio
from studio.batch.entry import BatchEntry
from studio.batch.plan import Plan
from studio.errors import Canceled, DiskFull, EnvironmentFault
from studio.jobs.batches import Batch, BatchRows, Glance
from studio.jobs.pace import seconds_left
from studio.jobs.processes import Crew, Post
from studio.jobs.states import JobState
from studio.jobs.worker import PATIENCE_SECONDS

LOOK_SECONDS = 0.3
_LOOK_SHARE = 8  # looking takes at most this part of the time
_LONGEST_PAUSE_SECONDS = 5.0
_POST = ("--attached", "--pool")


@dataclass(frozen=True, kw_only=True)
class BatchView:
    """A batch as it is now. jobs: by entry. workers: that work side by side. seconds: since the run began.

    seconds_left: until all have ended, None until that can be told.
    """

    batch: Batch
    entries: Sequence[BatchEntry]
    jobs: Mapping[int, Glance]
    workers: int
    seconds: float
    seconds_left: float | None

    @property
    def done(self) -> int:
        """How many entries have come to an end."""
        return sum(job.is_final for job in self.jobs.values())


class BatchWatch(Protocol):
    """Whoever wants to see how far a batch is."""

    def show(self, view: BatchView) -> None:
        """Is called again and again."""

    def tell(self, text: str) -> None:
        """Is told what happens, in sentences for people."""


class Unwatched:
    """Nobody looks."""

    def show(self, view: BatchView) -> None:
        """Do nothing."""

    def tell(self, text: str) -> None:
        """Do nothing."""


def posts_for(
    glances: Sequence[Glance], named: Sequence[str], workers: int | None, arguments: Sequence[str] = ()
) -> list[Post]:
    """Return a place for each worker that jobs need: local ones over the devices in turn, and one for remote jobs.

    workers: how many local ones, or remote ones where no job is local; None for one on each device.
    Never more than there are jobs.
    """
    open_jobs = [job for job in glances if not job.is_final]
    local = sum(job.pool == "local" for job in open_jobs)
    remote = len(open_jobs) - local
    posts = []
    for index in range(min(local, workers or len(named))):
        device = named[index % len(named)]
        name = f"{device.replace(':', '-')}-{index + 1}"
        posts.append(Post(name=name, pool="local", arguments=(*_POST, "local", "--device", device, *arguments)))
    abroad = range(1, min(remote, 1 if local else workers or 1) + 1)
    return posts + [
        Post(name=f"remote-{number}", pool="remote", arguments=(*_POST, "remote", *arguments)) for number in abroad
    ]


@dataclass
class BatchRun:
    """The time between submission and the end of the last job."""

    studio: Studio
    rows: BatchRows
    batch: Batch
    plan: Plan
    watch: BatchWatch
    crew: Crew
    stop: threading.Event
    started: float
    pause: float = field(default=LOOK_SECONDS)
    trouble_since: float | None = None
    told: set[str] = field(default_factory=set)

    def work(self) -> None:
        """Look after jobs and workers until all jobs have ended or wait for a person."""
        try:
            self.crew.start()
            while not self._look():
                self.crew.tend()
                if self.stop.wait(self.pause):
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            self.watch.tell("stopping: each worker finishes its step; Ctrl-C once more ends them at once")
            self._dismiss()
            raise self._stopped() from None
        except EnvironmentFault as fault:
            if not fault.fix:
                fault.advise(f"then `{self._resume}` goes on")
            raise
        finally:
            self._dismiss()

    def _dismiss(self) -> None:
        try:
            self.crew.stop()
        except KeyboardInterrupt:
            self.crew.kill()
            raise self._stopped() from None

    def _stopped(self) -> Canceled:
        return Canceled("stopped; the jobs stay in the queue", fix=f"`{self._resume}` goes on")

    @property
    def _resume(self) -> str:
        return f"studio batch run {shlex.quote(str(self.plan.file.path))} --resume"

    def _look(self) -> bool:
        """Look at the jobs, show them and copy what is finished. Returns whether the work is over."""
        before = time.monotonic()
        try:
            self.studio.runner.recover()
            glances = self.rows.glances(self.batch.id)
            is_over = all(job.is_final or job.is_waiting_for_a_person for job in glances)
            self._copy(glances, is_last=is_over)
            is_paused = self.studio.desk.is_queue_paused()
        except EnvironmentFault as fault:
            self._bear(fault)
            return False
        self.trouble_since = None
        self.watch.show(self._view(glances))
        if is_paused:
            self._tell_once("the queue is paused; `studio queue resume` lets it go on")
        self.pause = max(LOOK_SECONDS, _LOOK_SHARE * (time.monotonic() - before))
        return is_over

    def _copy(self, glances: Sequence[Glance], *, is_last: bool) -> None:
        """Make the copies that jobs which have succeeded want. A disk that is full may have room later.

        is_last: there is no later; each copy is tried, so that it is known which ones are missing.
        """
        done = {job.entry: job.id for job in glances if job.state == JobState.SUCCEEDED}
        wanted = [item for item in self.plan.file.entries if item.number in done and self.plan.copies.wants(item)]
        assets = self.rows.assets(done[entry.number] for entry in wanted)
        for entry in wanted:
            asset = assets.get(done[entry.number])
            if asset is None:
                continue
            try:
                self.plan.copies.make(entry, asset)
            except DiskFull as fault:
                self._tell_once(fault.sentence())
                if not is_last:
                    return

    def _view(self, glances: Sequence[Glance]) -> BatchView:
        numbers = {entry.number for entry in self.plan.file.entries}
        jobs = {job.entry: job for job in glances if job.entry in numbers}
        return BatchView(
            batch=self.batch,
            entries=self.plan.file.entries,
            jobs=jobs,
            workers=self.crew.size,
            seconds=time.monotonic() - self.started,
            seconds_left=seconds_left(jobs.values(), self.crew.size),
        )

    def _bear(self, fault: EnvironmentFault) -> None:
        """Wait for trouble with the database to pass. Raises it when it lasts."""
        now = time.monotonic()
        self.trouble_since = self.trouble_since or now
        if now - self.trouble_since > PATIENCE_SECONDS:
            raise fault
        self.pause = min(2 * self.pause, _LONGEST_PAUSE_SECONDS)
        self._tell_once(f"waiting: {fault.sentence()}")

    def _tell_once(self, text: str) -> None:
        if text not in self.told:
            self.told.add(text)
            self.watch.tell(text)
