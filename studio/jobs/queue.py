"""The queue as workers see it: who may take which job, and what they may write about one they hold."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.errors import StoreTaken
from studio.jobs.advice import interrupted
from studio.jobs.job import JobWish, Progress, Terms, UnknownJob, has_open_order
from studio.jobs.lease import Lease, LeaseLost
from studio.jobs.owning import owner_rows
from studio.jobs.states import FINAL, FailureReason, JobState
from studio.library.database import in_parts
from studio.library.store import Store
from studio.library.tables import AttemptRow, JobRow, SwitchRow, WorkerRow
from studio.request import ResolvedRequest

QUEUE_PAUSED = "queue-paused"
# A job whose worker dies again and again is likely what kills it: by want of memory, or a crash in native code.
MAX_DEATHS = 5


@dataclass(frozen=True, kw_only=True)
class NewJob:
    """A job to be put into the queue. pool: local or remote. estimate: amount and currency of one clip, if known."""

    id: str
    resolved: ResolvedRequest
    terms: Terms
    pool: str
    wish: JobWish = field(default_factory=JobWish)
    estimate: dict[str, Any] | None = None


@dataclass(frozen=True, kw_only=True)
class Scope:
    """Which jobs a worker takes. None: no matter which.

    prefer: the model whose weights it holds; among jobs of equal priority those of this model come first.
    """

    pool: str | None = None
    batch_id: str | None = None
    job_id: str | None = None
    prefer: str | None = None


class JobQueue:
    """Jobs in the library's database. Every change of state is one committed transaction."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # -- in -----------------------------------------------------------------------------------------------------

    def add(self, jobs: Sequence[NewJob]) -> list[str]:
        """Put jobs at the end of the queue, all or none. Returns their ids, an old one for a known client key."""
        for _ in range(2):
            with suppress(StoreTaken):  # somebody submitted the same client key at the same moment
                return self._add(jobs)
        return self._add(jobs)

    def _add(self, jobs: Sequence[NewJob]) -> list[str]:
        with self._store.transaction() as session:
            known = _known_keys(session, jobs)
            position = _last_position(session)
            for job in jobs:
                if job.wish.client_key in known:
                    continue
                position += 1
                session.add_all([_row_of(job, position), *owner_rows(job.id, job.wish.owner)])
                if job.wish.client_key is not None:
                    known[job.wish.client_key] = job.id
        return [known.get(job.wish.client_key or "", job.id) for job in jobs]

    def begin(self, job: NewJob, worker: WorkerRow) -> Lease:
        """Enter a job that somebody waits for, already taken by the worker of that process."""
        with self._store.transaction() as session:
            row = _row_of(job, _last_position(session) + 1)
            row.is_attended = True
            session.add_all([row, *owner_rows(job.id, job.wish.owner)])
            session.flush()
            return _take(session, row, worker)

    # -- taking -------------------------------------------------------------------------------------------------

    def claim(self, worker: WorkerRow, scope: Scope) -> Lease | None:
        """Take the next job that this worker may run, or None. No two workers get the same one."""
        if not self.has_claimable(scope, worker):
            return None
        with self._store.transaction() as session:
            if _is_paused(session):
                return None
            row = _left_over(session, scope, worker) or _next(session, scope)
            return None if row is None else _take(session, row, worker)

    def take(self, job_id: str, worker: WorkerRow) -> Lease:
        """Take up a job that has ended, for what a person wants of its clip. Raises `LeaseLost` if it has not ended."""
        with self._store.transaction() as session:
            row = session.get(JobRow, job_id, with_for_update=True)
            if row is None:
                raise UnknownJob("the queue does not know this job any more", field="job", got=job_id,
                                 fix=f"`studio quarantine discard {job_id}` deletes its clip")  # fmt: skip
            if row.state not in FINAL:
                raise LeaseLost("another process works on this job", got=job_id, fix="wait for it")
            row.is_attended = True
            return _take(session, row, worker)

    def dismiss(self, job_id: str) -> None:
        """Write that people gave up a job that had ended; nothing happens to one that has not."""
        has_ended = (JobRow.id == job_id) & JobRow.state.in_(FINAL - {JobState.SUCCEEDED})
        change = sa.update(JobRow).where(has_ended).values(state=JobState.CANCELED, ended_at=datetime.now(UTC))
        with self._store.transaction() as session:
            session.execute(change)

    def is_paused(self) -> bool:
        """Say whether nobody may take anything."""
        with self._store.database.read() as session:
            return _is_paused(session)

    def has_claimable(self, scope: Scope, worker: WorkerRow) -> bool:
        """Say whether there is a job to take. Locks nothing."""
        with self._store.database.read() as session:
            if _is_paused(session):
                return False
            takable = ((_is_left_over(worker) & _in_scope(scope)), _waits(scope))
            return any(session.scalar(sa.select(JobRow.id).where(which).limit(1)) is not None for which in takable)

    def count_open(self, scope: Scope) -> int:
        """Return how many jobs in a worker's scope are not finished, those that are paused left out."""
        waits = (JobRow.state == JobState.QUEUED) & JobRow.is_paused.is_(False)
        is_open = (waits | (JobRow.state == JobState.RUNNING)) & JobRow.is_attended.is_(False)
        with self._store.database.read() as session:
            return session.scalar(sa.select(sa.func.count()).where(is_open & _in_scope(scope))) or 0

    # -- what the holder of a job writes ------------------------------------------------------------------------

    def report(self, session: Session, lease: Lease, progress: Progress | None) -> None:
        """Write how far a job is. Raises `LeaseLost`."""
        _write(session, lease, progress=None if progress is None else progress.as_json())

    def asked(self, lease: Lease) -> str | None:
        """Return what people ask of this job: cancel, pause or nothing. Raises `LeaseLost`."""
        with self._store.database.read() as session:
            row = session.execute(sa.select(JobRow.asked).where(_held(lease))).first()
        if row is None:
            raise _lost(lease)
        return None if row[0] is None else str(row[0])

    def save_operation(self, lease: Lease, operation: dict[str, Any]) -> None:
        """Keep a remote operation, so that a restart polls it instead of paying again. Raises `LeaseLost`."""
        with self._store.transaction() as session:
            _write(session, lease, operation=operation)

    def succeed(self, session: Session, lease: Lease, timings: dict[str, float]) -> None:
        """End a job well, in the transaction that admits its clip. Raises `LeaseLost`."""
        self._close(session, lease, JobState.SUCCEEDED, None, None, timings)

    def end(
        self,
        lease: Lease,
        state: JobState,
        *,
        reason: FailureReason | None = None,
        error: dict[str, Any] | None = None,
        timings: dict[str, float] | None = None,
        outcome: str | None = None,
    ) -> None:
        """Write a final state. outcome: of the attempt, if it is another word. Raises `LeaseLost`."""
        with self._store.transaction() as session:
            self._close(session, lease, state, reason, error, timings, outcome)

    def put_back(
        self,
        lease: Lease,
        outcome: str,
        *,
        error: dict[str, Any] | None = None,
        timings: dict[str, float] | None = None,
        is_refused: bool = False,
    ) -> JobState:
        """Let a job go that is not finished; it keeps its place. is_refused: paused, for the error that it shows.

        One that people canceled or paused meanwhile is canceled or paused. Returns its state.
        """
        with self._store.transaction() as session:
            asked = session.scalar(sa.select(JobRow.asked).where(_held(lease)).with_for_update())
            if asked == "cancel":
                how = outcome if is_refused else None
                self._close(session, lease, JobState.CANCELED, None, None, timings, how)
                return JobState.CANCELED
            back: dict[str, Any] = dict.fromkeys(("worker", "process", "asked", "progress"))
            back |= {"state": JobState.QUEUED, "is_attended": False}
            if asked == "pause" or is_refused:
                back["is_paused"] = True
            if is_refused:
                back["error"] = error
            _write(session, lease, **back)
            _close_attempt(session, lease, outcome, error, timings)
        return JobState.QUEUED

    def _close(
        self,
        session: Session,
        lease: Lease,
        state: JobState,
        reason: FailureReason | None,
        error: dict[str, Any] | None,
        timings: dict[str, float] | None,
        outcome: str | None = None,
    ) -> None:
        if state not in FINAL:
            raise ValueError(f"{state} is not a final state")
        end = {"state": state, "reason": reason, "error": error, "ended_at": datetime.now(UTC)}
        _write(session, lease, **end, asked=None, progress=None, is_attended=False)
        _close_attempt(session, lease, outcome or state, error, timings)

    # -- after a worker's death ---------------------------------------------------------------------------------

    def orphans(self) -> list[JobRow]:
        """Return the jobs in work whose worker is not on the roll."""
        living = sa.select(WorkerRow.id)
        is_left = sa.or_(JobRow.worker.is_(None), JobRow.worker.not_in(living))
        with self._store.database.read() as session:
            rows = list(session.scalars(sa.select(JobRow).where((JobRow.state == JobState.RUNNING) & is_left)))
            session.expunge_all()
        return rows

    def take_back(self, orphan: JobRow) -> JobState | None:
        """Put a dead worker's job into the queue again, or end it. Returns its state; None if somebody else was faster.

        A job that people canceled is canceled, one that killed `MAX_DEATHS` workers has failed.
        """
        fix = f"`studio queue retry {orphan.id}`"
        died = {"type": "WorkerDied", "message": "the process that ran it ended", "fix": fix}
        with self._store.transaction() as session:
            row = _still_orphaned(session, orphan)
            if row is None:
                return None
            state, row.deaths = JobState.QUEUED, row.deaths + 1
            if row.asked == "cancel":
                state = JobState.CANCELED
                row.error = interrupted(row.id, row.operation).as_json() if has_open_order(row) else None
            elif row.deaths >= MAX_DEATHS:
                state = JobState.FAILED
                many = f"{MAX_DEATHS} processes ended while they ran it, perhaps for want of memory"
                row.reason, row.error = FailureReason.INTERRUPTED, died | {"message": many}
            row.is_paused, row.is_attended = row.is_paused or row.asked == "pause", False
            _let_go(session, row, state, died)
        return state

    def end_orphan(
        self, orphan: JobRow, state: JobState, reason: FailureReason | None, error: dict[str, Any] | None
    ) -> bool:
        """End the job of a person whose process died. Returns False if somebody else was faster."""
        with self._store.transaction() as session:
            row = _still_orphaned(session, orphan)
            if row is None:
                return False
            row.reason, row.error, row.is_attended = reason, error, False
            _let_go(session, row, state, error)
        return True


def _still_orphaned(session: Session, orphan: JobRow) -> JobRow | None:
    same = (JobRow.id == orphan.id) & (JobRow.token == orphan.token) & (JobRow.state == JobState.RUNNING)
    return session.scalars(sa.select(JobRow).where(same).with_for_update()).first()


def _let_go(session: Session, row: JobRow, state: JobState, error: dict[str, Any] | None) -> None:
    """Take a job from a worker that died; should that one live after all, its token is no longer good."""
    _close_attempt(session, Lease(job_id=row.id, worker=row.worker or "", token=row.token), "died", error, None)
    row.state, row.token = state, row.token + 1
    row.worker = row.process = row.asked = row.progress = None
    if state in FINAL:
        row.ended_at = datetime.now(UTC)


def _row_of(job: NewJob, position: float) -> JobRow:
    wish = job.wish
    return JobRow(
        id=job.id,
        state=JobState.QUEUED,
        model=job.resolved.model,
        request=job.resolved.as_json(),
        pool=job.pool,
        priority=wish.priority,
        position=position,
        is_paused=False,
        is_attended=False,
        batch_id=wish.batch_id,
        entry=wish.entry,
        client_key=wish.client_key,
        terms=job.terms.as_json(),
        token=0,
        deaths=0,
        estimate=job.estimate,
        created_at=datetime.now(UTC),
    )


def _known_keys(session: Session, jobs: Sequence[NewJob]) -> dict[str | None, str]:
    keys = [job.wish.client_key for job in jobs if job.wish.client_key is not None]
    known: dict[str | None, str] = {}
    for part in in_parts(keys):
        query = sa.select(JobRow.client_key, JobRow.id).where(JobRow.client_key.in_(part))
        known.update((row[0], row[1]) for row in session.execute(query))
    return known


def _last_position(session: Session) -> float:
    return session.scalar(sa.select(sa.func.max(JobRow.position))) or 0.0


def _is_paused(session: Session) -> bool:
    switch = session.get(SwitchRow, QUEUE_PAUSED)
    return switch is not None and switch.is_on


def _in_scope(scope: Scope) -> sa.ColumnElement[bool]:
    conditions: list[sa.ColumnElement[bool]] = [sa.true()]
    if scope.pool is not None:
        conditions.append(JobRow.pool == scope.pool)
    if scope.batch_id is not None:
        conditions.append(JobRow.batch_id == scope.batch_id)
    if scope.job_id is not None:
        conditions.append(JobRow.id == scope.job_id)
    return sa.and_(*conditions)


def _waits(scope: Scope) -> sa.ColumnElement[bool]:
    is_free = JobRow.is_paused.is_(False) & JobRow.is_attended.is_(False)
    return (JobRow.state == JobState.QUEUED) & is_free & _in_scope(scope)


def _is_left_over(worker: WorkerRow) -> sa.ColumnElement[bool]:
    """A worker asks only while it works on nothing: what still has its name is left from a write that failed."""
    is_own = (JobRow.worker == worker.id) & (JobRow.state == JobState.RUNNING)
    return is_own & JobRow.is_attended.is_(False)


def _left_over(session: Session, scope: Scope, worker: WorkerRow) -> JobRow | None:
    query = sa.select(JobRow).where(_is_left_over(worker) & _in_scope(scope)).limit(1)
    return session.scalars(query.with_for_update(skip_locked=True)).first()


def _next(session: Session, scope: Scope) -> JobRow | None:
    """Return the first job in line, or the first of the loaded model among those of the same priority."""
    line = sa.select(JobRow).where(_waits(scope)).order_by(JobRow.priority.desc(), JobRow.position, JobRow.id).limit(1)
    first = session.scalars(line.with_for_update(skip_locked=True)).first()
    if first is None or scope.prefer in (None, first.model):
        return first
    same = line.where(JobRow.model == scope.prefer, JobRow.priority == first.priority)
    return session.scalars(same.with_for_update(skip_locked=True)).first() or first


def _take(session: Session, row: JobRow, worker: WorkerRow) -> Lease:
    now = datetime.now(UTC)
    open_still = (AttemptRow.job_id == row.id) & AttemptRow.outcome.is_(None)  # a write of its end came to nothing
    session.execute(sa.update(AttemptRow).where(open_still).values(outcome="lost", ended_at=now))
    row.token += 1
    row.state, row.worker, row.process = JobState.RUNNING, worker.id, str(worker.pid)
    row.started_at, row.ended_at, row.reason, row.error, row.progress = now, None, None, None, None
    session.add(
        AttemptRow(
            job_id=row.id, number=row.token, worker=worker.id, host=worker.host, device=worker.device, started_at=now
        )
    )
    session.flush()
    return Lease(job_id=row.id, worker=worker.id, token=row.token)


def _held(lease: Lease) -> sa.ColumnElement[bool]:
    return (JobRow.id == lease.job_id) & (JobRow.token == lease.token) & (JobRow.state == JobState.RUNNING)


def _write(session: Session, lease: Lease, **changes: Any) -> None:
    if session.execute(sa.update(JobRow).where(_held(lease)).values(**changes)).rowcount != 1:  # type: ignore[attr-defined]
        raise _lost(lease)


def _close_attempt(
    session: Session, lease: Lease, outcome: str, error: dict[str, Any] | None, timings: dict[str, float] | None
) -> None:
    same = (AttemptRow.job_id == lease.job_id) & (AttemptRow.number == lease.token)
    values = {"outcome": outcome, "error": error, "timings": timings, "ended_at": datetime.now(UTC)}
    session.execute(sa.update(AttemptRow).where(same).values(**values))


def _lost(lease: Lease) -> LeaseLost:
    return LeaseLost("another worker took this job over", field="job", got=lease.job_id, fix="leave it to that one")
