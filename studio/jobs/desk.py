"""The desk where people hand in jobs, look after them and change their minds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.errors import Moderated, RequestError
from studio.generator import cost_of
from studio.jobs.advice import interrupted
from studio.jobs.budget import require_room_for_new
from studio.jobs.job import Job, JobWish, Terms, UnknownJob, is_open_order, job_of_row, newest_order
from studio.jobs.line import Standing, reorder
from studio.jobs.quarantine import InWork
from studio.jobs.queue import QUEUE_PAUSED, NewJob
from studio.jobs.reclaim import Reclaimed, reclaim
from studio.jobs.refusals import moderated, not_now, ordered, require_fitting
from studio.jobs.rewriting import changed, terms_of
from studio.jobs.roll import WorkerView
from studio.jobs.spending import forget_job
from studio.jobs.states import FINAL, FailureReason, JobState
from studio.jobs.workshop import Workshop
from studio.library.database import in_parts
from studio.library.store import new_id
from studio.library.tables import AttemptRow, JobRow, SwitchRow
from studio.people.ownership import disown_gone
from studio.request import GenerationRequest, ResolvedRequest
from studio.spending.ledger import REMOTE, leave_orders

# What a model failed at, or a provider that says no more than that: its order is over, another one is paid anew.
_ORDERED_ANEW = ("GenerationFailed", "ProviderFailed")
_RETRIED = (JobState.FAILED, JobState.CANCELED)


class JobDesk:
    """Everything that may be done with jobs from outside. Nothing here loads a model."""

    def __init__(self, shop: Workshop) -> None:
        self._shop = shop
        self._store = shop.store

    # -- handing in ---------------------------------------------------------------------------------------------

    def submit(self, request: GenerationRequest, wish: JobWish | None = None) -> Job:
        """Put a request into the queue. Raises what is wrong with it, or that its model would not run here."""
        resolved = self._shop.registry.generator(request.model).resolve(request)
        return self.submit_many([(resolved, wish or JobWish())])[0]

    def submit_many(self, wishes: Sequence[tuple[ResolvedRequest, JobWish]]) -> list[Job]:
        """Put many into the queue, in their order: all, or none if one cannot be. Their inputs are copied first.

        A wish whose client key is known already gives the job that it led to then.
        """
        for model in {resolved.model for resolved, _ in wishes}:
            self._shop.require_ready(model)
        new: list[NewJob] = []
        taken: set[str] = set()
        for resolved, wish in wishes:
            require_fitting(wish)
            new.append(self.new_job(resolved, wish, taken))
        require_room_for_new(self._store, self._shop.settings, new)
        for job in new:
            self._shop.inputs.keep(job.id, job.resolved)
        ids = self._shop.queue.add(new)
        for job, job_id in zip(new, ids, strict=True):
            if job.id != job_id:
                self._shop.quarantine.discard(job.id)
        return self._by_id(ids)

    def new_job(self, resolved: ResolvedRequest, wish: JobWish, taken: set[str] | None = None) -> NewJob:
        """Return a job that is not yet in the queue. taken: ids that it must not get; it is added."""
        taken = set() if taken is None else taken
        job_id = new_id()
        while job_id in taken:
            job_id = new_id()
        taken.add(job_id)
        generator = self._shop.registry.generator(resolved.model)
        cost, terms = cost_of(generator, resolved), Terms.of(wish, self._shop.settings)
        return NewJob(
            id=job_id,
            resolved=resolved,
            terms=terms,
            pool=generator.spec.where,
            wish=wish,
            estimate=None if cost is None else {"amount": cost.amount, "currency": cost.currency},
        )

    # -- looking ------------------------------------------------------------------------------------------------

    def job(self, job_id: str) -> Job:
        """Return the job with this id or unambiguous beginning of one, with its attempts. Raises `UnknownJob`."""
        query = sa.select(JobRow).where(JobRow.id.startswith(job_id, autoescape=True)).limit(2)
        with self._store.database.read() as session:
            rows = list(session.scalars(query)) if job_id else []
            if len(rows) != 1:
                what = "several jobs begin like this" if rows else "no such job"
                fix = "`studio queue list` shows the ids"
                raise UnknownJob(what, field="job", got=job_id or "an empty id", fix=fix)
            made = sa.select(AttemptRow).where(AttemptRow.job_id == rows[0].id).order_by(AttemptRow.number)
            return job_of_row(rows[0], list(session.scalars(made)))

    def jobs(
        self,
        *states: JobState,
        batch_id: str | None = None,
        limit: int | None = 100,
        offset: int = 0,
        newest_first: bool = True,
    ) -> list[Job]:
        """Return jobs without their attempts, by time, or in the order of the queue with `newest_first` off."""
        query = sa.select(JobRow).offset(offset).limit(limit)
        if newest_first:
            query = query.order_by(JobRow.created_at.desc(), JobRow.id.desc())
        else:
            query = query.order_by(JobRow.priority.desc(), JobRow.position, JobRow.id)
        if states:
            query = query.where(JobRow.state.in_(states))
        if batch_id is not None:
            query = query.where(JobRow.batch_id == batch_id)
        with self._store.database.read() as session:
            return [job_of_row(row) for row in session.scalars(query)]

    def counts(self, batch_id: str | None = None) -> dict[JobState, int]:
        """Return how many jobs there are in each state."""
        query = sa.select(JobRow.state, sa.func.count()).group_by(JobRow.state)
        if batch_id is not None:
            query = query.where(JobRow.batch_id == batch_id)
        with self._store.database.read() as session:
            found = {JobState(row[0]): int(row[1]) for row in session.execute(query)}
        return {state: found.get(state, 0) for state in JobState}

    def workers(self) -> list[WorkerView]:
        """Return the workers of this library."""
        return self._shop.roll.workers()

    def watch(
        self, job_ids: Sequence[str], interval: float = 0.3, *, only_changes: bool = True
    ) -> Iterator[dict[str, Job]]:
        """Yield the jobs by id, at once and whenever one changed, until all have ended.

        interval: seconds. only_changes: off yields at each interval, for whoever has other things to look after.
        Jobs of dead workers are taken up on the way. A job that is removed meanwhile is left out.
        """
        last: dict[str, Job] = {}
        while True:
            jobs = {job.id: job for job in self._by_id(job_ids)}
            if jobs != last or not only_changes:
                yield jobs
                last = jobs
            if all(job.is_final for job in jobs.values()):
                return
            time.sleep(interval)
            self._shop.runner.recover()

    # -- changing one's mind ------------------------------------------------------------------------------------

    def cancel(self, job_id: str) -> Job:
        """Cancel one job alone: at once if it waits, at its next step if it runs."""
        self._shop.runner.recover()
        return self._as_it_stands(job_id, self._cancel)

    def _cancel(self, job: Job) -> Job:
        if job.state == JobState.RUNNING:
            return self._change(job, "canceled", (JobState.RUNNING,), asked="cancel")
        ended: dict[str, Any] = {"state": JobState.CANCELED, "ended_at": datetime.now(UTC), "is_paused": False}
        saved = newest_order(job.operation, self._shop.quarantine.operation(job.id))
        if is_open_order(saved):  # nobody here can ask the provider to stop it; nor is it forgotten with the folder
            ended |= {"error": interrupted(job.id, saved).as_json(), "operation": saved}
        job = self._change(job, "canceled", (JobState.QUEUED,), **ended)
        with suppress(InWork), self._shop.quarantine.lock(job.id):
            if self.job(job.id).state == JobState.CANCELED:  # nobody retried it meanwhile
                self._shop.quarantine.discard(job.id)
        return job

    def pause(self, job_id: str) -> Job:
        """Keep a job from being taken up; one that runs goes back into the queue at its next step."""
        return self._as_it_stands(job_id, self._pause)

    def _pause(self, job: Job) -> Job:
        if job.state == JobState.RUNNING and not job.is_attended and job.asked != "cancel":
            # Who cancels it at this very moment has the last word.
            asked = sa.case((JobRow.asked == "cancel", "cancel"), else_="pause")
            return self._change(job, "paused", (JobState.RUNNING,), is_paused=True, asked=asked)
        return self._change(job, "paused", (JobState.QUEUED,), is_paused=True)

    def resume(self, job_id: str) -> Job:
        """Let a paused job be taken up again."""
        asked = sa.case((JobRow.asked == "pause", None), else_=JobRow.asked)
        states = (JobState.QUEUED, JobState.RUNNING)
        return self._change(self.job(job_id), "resumed", states, is_paused=False, asked=asked, error=None)

    def prioritize(self, job_id: str, priority: int) -> Job:
        """Set a job's priority. priority: -100 .. 100."""
        require_fitting(JobWish(priority=priority))
        return self._change(self.job(job_id), "moved", (JobState.QUEUED, JobState.RUNNING), priority=priority)

    def move(self, job_id: str, *, before: str | None = None, to: Literal["first", "last"] | None = None) -> Job:
        """Change a waiting job's place, and its priority to that of the jobs it comes to stand among."""
        job = self.job(job_id)
        goal = None if before is None else self.job(before)
        if goal is not None and goal.id == job.id:
            raise RequestError("a job cannot come before itself", field="before", got=goal.id)

        standing = Standing(job.id, job.priority, job.position)
        work = partial(reorder, job=standing, before=None if goal is None else goal.id, is_first=to == "first")
        if not self._store.database.retrying(work):
            raise not_now(self.job(job.id), "moved", (JobState.QUEUED,))
        return self.job(job.id)

    def change(self, job_id: str, changes: Mapping[str, Any], wish: JobWish | None = None) -> Job:
        """Change fields of a waiting job's request. Raises what is wrong with them; then the job is as it was.

        wish: priority, policy, label and most it may cost from now on; None leaves them.
        """
        job = self.job(job_id)
        if job.state != JobState.QUEUED:
            raise not_now(job, "changed", (JobState.QUEUED,))
        return self._rewrite(job, "changed", changes, {}, wish)

    def retry(
        self,
        job_id: str,
        changes: Mapping[str, Any] | None = None,
        wish: JobWish | None = None,
        *,
        order_again: bool = False,
    ) -> Job:
        """Put a job that failed or was canceled into the queue again, at its end.

        It goes on from the last stage that was kept, unless fields of its request are changed. What was ordered from a
        provider is asked for again, not ordered again, unless that order has come to nothing. wish: see `change`; it
        counts with changes alone.
        order_again: order it anew, although the first order may have been taken, and be paid for.
        """
        self._shop.runner.recover()
        job = self.job(job_id)
        again: dict[str, Any] = {"state": JobState.QUEUED, "reason": None, "error": None, "ended_at": None}
        again |= {"asked": None, "is_paused": False, "is_attended": False, "deaths": 0, "worker": None}
        again["position"] = sa.select(sa.func.coalesce(sa.func.max(JobRow.position), 0) + 1).scalar_subquery()
        if job.terms is None:  # from before there was a queue
            again["terms"] = Terms.of(JobWish(), self._shop.settings).as_json()
        allowed = (*_RETRIED, JobState.HELD) if changes else _RETRIED
        if job.state not in allowed and not self.is_gone(job):
            raise not_now(job, "retried", allowed)
        self._shop.require_ready(str((changes or {}).get("model", job.model)))
        is_moderated = job.reason == FailureReason.MODERATED or (job.error or {}).get("type") == Moderated.__name__
        if is_moderated and not changes and not order_again:
            raise moderated(job)
        if changes:
            return self._rewrite(job, "retried", changes, again, wish, order_again=order_again)
        with self._shop.quarantine.lock(job.id):
            self._shop.inputs.keep(job.id, ResolvedRequest.from_json(job.request))
            if order_again or self._is_order_over(job):
                self._shop.quarantine.forget_order(job.id)
                return self._change(job, "retried", (job.state,), is_ordered_anew=True, **again)
            return self._change(job, "retried", (job.state,), **again)

    def _is_order_over(self, job: Job) -> bool:
        """Say whether what a job ordered from a provider has come to nothing, so that nothing is paid twice."""
        saved = newest_order(job.operation, self._shop.quarantine.operation(job.id)) or {}
        is_over = (saved.get("operation") or {}).get("state") == "ended"
        return is_over or (job.error or {}).get("type") in _ORDERED_ANEW

    def is_gone(self, job: Job) -> bool:
        """Say whether a job has succeeded and its clip is no longer in the library."""
        if job.state != JobState.SUCCEEDED:
            return False
        asset = self._store.asset_of_job(job.id)
        return asset is None or not asset.is_there

    def remove(self, job_id: str) -> Job:
        """Forget a job that has ended, and what is kept of it. What it made stays in the library."""
        job = self.job(job_id)
        if not job.is_final:
            raise not_now(job, "removed", tuple(FINAL))
        with self._shop.quarantine.lock(job.id):
            if not forget_job(self._store, job.id):
                raise not_now(self.job(job.id), "removed", tuple(FINAL))
            self._shop.quarantine.discard(job.id)
        disown_gone(self._store, job.id)
        return job

    def pause_queue(self) -> None:
        """Let no worker take up another job, until `resume_queue`. What runs is not touched."""
        self._switch(is_on=True)

    def resume_queue(self) -> None:
        """Let workers take up jobs again."""
        self._switch(is_on=False)

    def is_queue_paused(self) -> bool:
        """Say whether the whole queue is paused."""
        return self._shop.queue.is_paused()

    def gc(self, *, quota_bytes: int | None = None, dry_run: bool = False) -> Reclaimed:
        """Delete what nobody needs any more; see `studio.jobs.reclaim`."""
        self._shop.runner.recover()
        return reclaim(self._shop, quota_bytes=quota_bytes, dry_run=dry_run)

    # -- inside -------------------------------------------------------------------------------------------------

    def _by_id(self, job_ids: Sequence[str]) -> list[Job]:
        found: dict[str, Job] = {}
        with self._store.database.read() as session:
            for part in in_parts(job_ids):
                query = sa.select(JobRow).where(JobRow.id.in_(part))
                found |= {row.id: job_of_row(row) for row in session.scalars(query)}
        return [found[job_id] for job_id in job_ids if job_id in found]

    def _as_it_stands(self, job_id: str, act: Callable[[Job], Job]) -> Job:
        """Do what fits a job's state, and look again where a worker took it up or let it go meanwhile."""
        while True:
            job = self.job(job_id)
            try:
                return act(job)
            except RequestError:
                if self.job(job.id).state == job.state:
                    raise

    def _change(
        self, job: Job, what: str, states: Sequence[JobState], *, is_ordered_anew: bool = False, **changes: Any
    ) -> Job:
        """Change a row that is still in one of these states. is_ordered_anew: what it cost so far is kept elsewhere."""

        def work(session: Session) -> bool:
            same = (JobRow.id == job.id) & JobRow.state.in_(states)
            if is_ordered_anew:
                row = session.scalars(sa.select(JobRow).where(same).with_for_update()).first()
                if row is None:
                    return False
                leave_orders(session, job.id)
                # What the folder on another machine may still hold of the old order is older than this.
                nothing = {"attempt": 0, "token": row.token + 1, "request": "", "operation": None}
                changes["billed"] = None
                changes["operation"] = nothing if row.pool == REMOTE or row.operation is not None else None
            return bool(session.execute(sa.update(JobRow).where(same).values(**changes)).rowcount == 1)  # type: ignore[attr-defined]

        if not self._store.database.retrying(work):
            raise not_now(self.job(job.id), what, states)
        return self.job(job.id)

    def _rewrite(
        self,
        job: Job,
        what: str,
        changes: Mapping[str, Any],
        more: Mapping[str, Any],
        wish: JobWish | None,
        *,
        order_again: bool = False,
    ) -> Job:
        """Change a job's request, and with it other columns; what was made for the old one is deleted after that.

        No worker can begin meanwhile: it finds the job's folder locked.
        """
        with self._shop.quarantine.lock(job.id):
            again = self.job(job.id)
            if again.state != job.state:
                raise not_now(again, what, (job.state,))
            saved = newest_order(again.operation, self._shop.quarantine.operation(job.id))
            if is_open_order(saved) and not order_again:
                raise ordered(again)
            job = self._rewrite_alone(again, what, changes, more, wish)
            # Should we die just here: a raw clip that was made for another request is not taken for this one.
            self._shop.quarantine.forget_stages(job.id)
        return job

    def _rewrite_alone(
        self, job: Job, what: str, changes: Mapping[str, Any], more: Mapping[str, Any], wish: JobWish | None
    ) -> Job:
        old = ResolvedRequest.from_json(job.request)
        resolved = changed(self._shop, job, old, changes)
        self._shop.require_ready(resolved.model)
        owner = {item.sha256: item.path for item in old.conditionings}
        items = (replace(item, path=owner.get(item.sha256, item.path)) for item in resolved.conditionings)
        fresh = self.new_job(resolved, wish or JobWish(on_fail=None if job.terms is None else job.terms.policy))
        columns = {**more, "model": resolved.model, "pool": fresh.pool, "estimate": fresh.estimate}
        columns["request"] = replace(resolved, conditionings=tuple(items)).as_json()
        if wish is not None:
            columns |= terms_of(job, fresh)
        self._shop.inputs.keep(job.id, resolved)
        return self._change(job, what, (job.state,), is_ordered_anew=True, **columns)

    def _switch(self, *, is_on: bool) -> None:
        def work(session: Session) -> None:
            session.merge(SwitchRow(name=QUEUE_PAUSED, is_on=is_on))

        self._store.database.retrying(work)
