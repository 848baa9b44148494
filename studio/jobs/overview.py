"""What front ends that many look at ask of the queue again and again: pages, signs of change, a job by its key."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from studio.errors import UnsupportedValue
from studio.jobs.job import Job, has_open_order, job_of_row
from studio.jobs.states import JobState
from studio.library.database import in_parts
from studio.library.people_tables import OwnerRow
from studio.library.store import Store
from studio.library.tables import JobRow

# Jobs that began and ended between two looks are among the latest.
_LATEST = 200
_OPEN = (JobState.QUEUED, JobState.RUNNING)
_SHOWN = (JobState.RUNNING, JobState.QUEUED, JobState.HELD)
_ENDED = (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELED)
_MOST_WAITING, _MOST_IN_WORK, _MOST_OWN, _MOST_ENDED = 200, 500, 50, 40
_SIGNS = (
    JobRow.id, JobRow.state, JobRow.reason, JobRow.is_paused, JobRow.asked, JobRow.model, JobRow.priority,
    JobRow.progress,
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class JobSign:
    """What of a job changes while people watch. progress: as `Progress.as_json` writes it."""

    id: str
    state: JobState
    reason: str | None
    is_paused: bool
    asked: str | None
    model: str
    priority: int
    progress: dict[str, Any] | None

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {**self.__dict__, "state": self.state.value}


class JobOverview:
    """Looks at the jobs of a library without their requests, or at a page of them at a time. Changes nothing."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def open_orders(self) -> list[str]:
        """Return the jobs that wait for a worker although something was ordered for them at a provider."""
        waits = (JobRow.pool == "remote") & (JobRow.state == JobState.QUEUED) & JobRow.operation.is_not(None)
        with self._store.database.read() as session:
            return [row.id for row in session.scalars(sa.select(JobRow).where(waits)) if has_open_order(row)]

    def page(
        self,
        *states: JobState,
        after: str | None = None,
        limit: int,
        oldest_first: bool = False,
        batch_id: str | None = None,
    ) -> list[Job]:
        """Return jobs by the time of their submission, without their attempts.

        after: id of the job that the page follows. Raises `UnsupportedValue` if there is no such job.
        """
        order = (JobRow.created_at, JobRow.id)
        query = sa.select(JobRow).order_by(*(column if oldest_first else column.desc() for column in order))
        if states:
            query = query.where(JobRow.state.in_(states))
        if batch_id is not None:
            query = query.where(JobRow.batch_id == batch_id)
        with self._store.database.read() as session:
            if after is not None:
                query = query.where(_beyond(session.get(JobRow, after), after, oldest_first=oldest_first))
            return [job_of_row(row) for row in session.scalars(query.limit(limit))]

    def board(self, owner: str | None) -> list[Job]:
        """Return what a page shows of the queue, each job once: running, waiting in the line's order, held, ended.

        Up to 500 that run, 500 that are held, 200 that wait and 40 that ended, and besides these the newest 50 open and
        40 ended ones of an account, however many others stand before them. owner: None takes the newest of all.
        """
        line = (JobRow.priority.desc(), JobRow.position, JobRow.id)
        newest = (JobRow.created_at.desc(), JobRow.id.desc())
        theirs = sa.select(OwnerRow.thing_id).where(OwnerRow.account == owner)
        mine = sa.true() if owner is None else JobRow.id.in_(theirs)
        is_open, is_ended = JobRow.state.in_(_SHOWN), JobRow.state.in_(_ENDED)
        # What a worker takes up between two queries is found by the later one.
        queries = [
            sa.select(JobRow).where(JobRow.state == JobState.QUEUED).order_by(*line).limit(_MOST_WAITING),
            sa.select(JobRow).where(mine, is_open).order_by(*newest).limit(_MOST_OWN),
            *(sa.select(JobRow).where(JobRow.state == state).order_by(*line).limit(_MOST_IN_WORK)
              for state in (JobState.RUNNING, JobState.HELD)),
            sa.select(JobRow).where(is_ended).order_by(*newest).limit(_MOST_ENDED),
            sa.select(JobRow).where(mine, is_ended).order_by(*newest).limit(_MOST_ENDED),
        ]  # fmt: skip
        found: dict[str, Job] = {}
        for query in queries:
            with self._store.database.read() as session:
                found |= {row.id: job_of_row(row) for row in session.scalars(query)}
        waiting = [job for job in found.values() if job.state in _SHOWN]
        ended = [job for job in found.values() if job.state in _ENDED]
        waiting.sort(key=lambda job: (_SHOWN.index(job.state), -job.priority, job.position, job.id))
        ended.sort(key=lambda job: (job.created_at, job.id), reverse=True)
        return [*waiting, *ended]

    def signs(self, watched: Collection[str] = ()) -> dict[str, JobSign]:
        """Return the signs, by id, of the jobs that are not finished, of the latest, and of those `watched`."""
        latest = sa.select(*_SIGNS).order_by(JobRow.created_at.desc(), JobRow.id.desc()).limit(_LATEST)
        queries = [sa.select(*_SIGNS).where(JobRow.state.in_(_OPEN)), latest]
        found: dict[str, JobSign] = {}
        with self._store.database.read() as session:
            for query in queries:
                found |= {row.id: _sign(row) for row in session.execute(query)}
            others = sorted(set(watched) - set(found))
            for part in in_parts(others):
                query = sa.select(*_SIGNS).where(JobRow.id.in_(part))
                found |= {row.id: _sign(row) for row in session.execute(query)}
        return found

    def waiting_pools(self) -> list[str]:
        """Return the kinds of workers, local or remote, that jobs wait for."""
        waits = (JobRow.state == JobState.QUEUED) & JobRow.is_paused.is_(False) & JobRow.is_attended.is_(False)
        with self._store.database.read() as session:
            return list(session.scalars(sa.select(JobRow.pool).where(waits).distinct()))

    def keyed(self, beginning: str) -> Job | None:
        """Return the job whose client key begins like this, or None."""
        query = sa.select(JobRow).where(JobRow.client_key.startswith(beginning, autoescape=True)).limit(1)
        with self._store.database.read() as session:
            row = session.scalars(query).first()
            return None if row is None else job_of_row(row)


def _beyond(row: JobRow | None, after: str, *, oldest_first: bool) -> sa.ColumnElement[bool]:
    if row is None:
        raise UnsupportedValue("no such job", field="after", got=after, allowed="the id of a job")
    this, that = (JobRow.created_at, JobRow.id), (row.created_at, row.id)
    if oldest_first:
        return (this[0] > that[0]) | ((this[0] == that[0]) & (this[1] > that[1]))
    return (this[0] < that[0]) | ((this[0] == that[0]) & (this[1] < that[1]))


def _sign(row: sa.Row[Any]) -> JobSign:
    values = dict(row._mapping)
    return JobSign(**{**values, "state": JobState(values["state"])})
