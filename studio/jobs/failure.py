"""The error that a job ended with, as if it had happened here."""

from __future__ import annotations

from collections.abc import Iterator

from studio.errors import Canceled, GenerationFailed, StudioError
from studio.jobs.job import Job
from studio.jobs.states import JobState


def error_of_job(job: Job) -> StudioError:
    """Return an error of the kind that ended the job, so that front ends treat it like one of their own.

    A kind with more to it than a sentence becomes the nearest one above it in the tree.
    """
    if job.state == JobState.CANCELED:
        return Canceled()
    parts = dict(job.error or {"message": "the process that ran it ended", "fix": f"`studio queue retry {job.id}`"})
    known = {kind.__name__: kind for kind in _kinds(StudioError)}
    kind = known.get(str(parts.pop("type", "")), GenerationFailed)
    plain: type[StudioError] = next(item for item in kind.__mro__ if item.__init__ is StudioError.__init__)  # type: ignore[misc]
    names = ("field", "got", "allowed", "fix")
    return plain(str(parts.get("message", "")), **{name: parts.get(name) for name in names})


def _kinds(kind: type[StudioError]) -> Iterator[type[StudioError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)
