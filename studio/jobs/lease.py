"""The right to work on a job, and to write what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from studio.errors import EnvironmentFault, StudioError


class LeaseLost(EnvironmentFault):
    """Another worker took the job over; whatever this one still has to say about it is not wanted."""


class Stopped(StudioError):
    """The worker is asked to stop, or the job to pause: it goes back into the queue with its checkpoints."""

    def __init__(self) -> None:
        super().__init__("stopped before the end; the job goes on later from its last checkpoint")


@dataclass(frozen=True, kw_only=True)
class Lease:
    """A worker's hold on a job. token: of this one claim; it goes up with every claim of the job."""

    job_id: str
    worker: str
    token: int
