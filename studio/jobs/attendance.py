"""Somebody waits for one clip: a worker that is there makes it, or else this process is one for as long as it takes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace

from studio.errors import GenerationFailed, RequestError, StudioError
from studio.jobs.budget import OverBudget, refusal_of, require_room_for_new
from studio.jobs.context import Observer
from studio.jobs.desk import JobDesk
from studio.jobs.failure import error_of_job
from studio.jobs.job import Job, JobWish, Progress
from studio.jobs.lease import Lease
from studio.jobs.queue import NewJob, Scope
from studio.jobs.roll import Badge, WorkerCard
from studio.jobs.spending import UNPAID
from studio.jobs.states import FailureReason, JobState
from studio.jobs.workshop import Workshop
from studio.library.asset import Asset
from studio.request import ResolvedRequest


class Attendance:
    """Waits for a job and tells how far it is. observe: told its progress. is_canceled: asked again and again."""

    def __init__(self, shop: Workshop, desk: JobDesk, observe: Observer, is_canceled: Callable[[], bool]) -> None:
        self._shop = shop
        self._desk = desk
        self._observe = observe
        self._is_canceled = is_canceled

    def make(self, resolved: ResolvedRequest, wish: JobWish) -> Asset:
        """Return the clip. Raises what ended the job."""
        new = self._desk.new_job(resolved, wish)
        require_room_for_new(self._shop.store, self._shop.settings, [new])
        if self._is_served(new.pool):
            return self._from_worker(self._desk.submit_many([(resolved, wish)])[0])
        return self._here(new)

    def _is_served(self, pool: str) -> bool:
        """Say whether a worker takes jobs like this one: it holds the memory that a second one would want too."""
        if self._desk.is_queue_paused():
            return False
        fitting = (worker for worker in self._desk.workers() if worker.is_resident and worker.batch_id is None)
        return any(worker.is_alive and worker.pool in (None, pool) for worker in fitting)

    def _here(self, new: NewJob) -> Asset:
        with self._shop.roll.enlist(self._card) as badge:
            lease = self._shop.queue.begin(new, badge.row)
            return self._run(badge, lease)

    def _run(self, badge: Badge, lease: Lease) -> Asset:
        row = self._shop.store.job(lease.job_id)
        if row is None:
            raise GenerationFailed("the job was removed while it started", got=lease.job_id)

        def observe(progress: Progress) -> None:
            badge.show(progress)
            self._observe(progress)

        with badge.holding(lease, row.model):
            try:
                refusal = refusal_of(self._shop.store, self._shop.settings, row)
                if refusal is not None:  # another job was faster
                    raise refusal
                order = self._shop.order(row)
            except StudioError as error:
                how = UNPAID if isinstance(error, OverBudget) else None
                told = error.as_json()
                self._shop.queue.end(lease, JobState.FAILED, reason=FailureReason.REQUEST, error=told, outcome=how)
                raise
            order = replace(order, observe=observe, asked=lambda: "cancel" if self._is_canceled() else badge.asked)
            return self._shop.runner.run(lease, order)

    def _from_worker(self, job: Job) -> Asset:
        self._observe(Progress(stage="waiting"))
        try:
            for jobs in self._desk.watch([job.id], only_changes=False):
                if job.id not in jobs:
                    raise GenerationFailed("the job was removed from the queue", got=job.id)
                job = jobs[job.id]
                if job.progress is not None:
                    self._observe(job.progress)
                if self._is_canceled() and job.asked is None:
                    self._cancel(job)
                if self._is_abandoned(job) and (asset := self._take_over(job)) is not None:
                    return asset
        except KeyboardInterrupt:
            self._cancel(job)
            raise
        if job.asset_id is None:
            raise error_of_job(job)
        return self._shop.store.asset(job.asset_id)

    def _cancel(self, job: Job) -> None:
        with suppress(RequestError):  # it has just come to its end
            self._desk.cancel(job.id)

    def _is_abandoned(self, job: Job) -> bool:
        is_waiting = job.state == JobState.QUEUED and not job.is_paused
        return is_waiting and not self._desk.is_queue_paused() and not self._is_served(job.pool)

    def _take_over(self, job: Job) -> Asset | None:
        """Go on with a job whose worker has gone. None if another worker was faster."""
        with self._shop.roll.enlist(self._card) as badge:
            lease = self._shop.queue.claim(badge.row, Scope(job_id=job.id))
            return None if lease is None else self._run(badge, lease)

    @property
    def _card(self) -> WorkerCard:
        return WorkerCard(device=self._shop.settings.device, is_resident=False)
