"""Places in the queue: by priority, higher first, and among equals by position, smaller first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


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
