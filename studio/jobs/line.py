"""Places in the queue: by priority, higher first, and among equals by position, smaller first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from studio.errors import RequestError
from studio.jobs.states import JobState
from studio.library.tables import JobRow


@dataclass(frozen=True)
class Standing:
    """Where a waiting job stands."""

    job_id: str
    priority: int
    position: float


def standings_after(line: Sequence[Standing], job: Standing, place: int) -> list[Standing]:
    """Return the standings that change when a job comes to stand in front of the one at `place`, its own the last.

    line: all other waiting jobs, in order. place: 0 .. len(line). The job takes the priority of its new neighbour.
    Only where two neighbours leave no number between their positions do others change too.
    """
    if not line:
        return [job]
    if place == len(line):
        return [Standing(job.job_id, line[-1].priority, line[-1].position + 1)]
    right = line[place]
    left = line[place - 1] if place else None
    if left is None or left.priority != right.priority:
        return [Standing(job.job_id, right.priority, right.position - 1)]
    middle = (left.position + right.position) / 2
    if left.position < middle < right.position:
        return [Standing(job.job_id, right.priority, middle)]
    # Halves have become too small for a number: everybody from here to the end of this priority takes a step back.
    behind = [item for item in line[place:] if item.priority == right.priority]
    moved = [Standing(item.job_id, item.priority, item.position + 2) for item in behind]
    return [*moved, Standing(job.job_id, right.priority, left.position + 1)]


def reorder(session: Session, *, job: Standing, before: str | None, is_first: bool) -> bool:
    """Move a waiting job before another, or to the front, or to the end. Returns False if it does not wait any more.

    Raises `RequestError` if the other does not wait.
    """
    waits = (JobRow.state == JobState.QUEUED) & (JobRow.id != job.job_id)
    query = sa.select(JobRow.id, JobRow.priority, JobRow.position).where(waits)
    query = query.order_by(JobRow.priority.desc(), JobRow.position, JobRow.id)
    line = [Standing(*row) for row in session.execute(query)]
    place = 0 if is_first else len(line)
    if before is not None:
        place = next((number for number, item in enumerate(line) if item.job_id == before), -1)
    if place < 0:
        fix = "`studio queue list --state queued` shows those that do"
        raise RequestError("this job does not wait in the queue", field="before", got=before, fix=fix)
    is_moved = False
    for item in standings_after(line, job, place):
        same = (JobRow.id == item.job_id) & (JobRow.state == JobState.QUEUED)
        change = sa.update(JobRow).where(same).values(priority=item.priority, position=item.position)
        is_moved = session.execute(change).rowcount == 1  # type: ignore[attr-defined]
    return is_moved
