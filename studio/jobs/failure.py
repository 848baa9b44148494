"""The error that a job ended with, as if it had happened here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from studio.errors import Canceled, GenerationFailed, StudioError
from studio.jobs.job import Job
from studio.jobs.states import JobState


def error_of_job(job: Job) -> StudioError:
    """Return an error of the kind that ended the job, so that front ends treat it like one of their own.

    A kind with more to it than a sentence becomes the nearest one above it in the tree.
    """
    if job.state == JobState.CANCELED:
        return _canceled(job)
    parts = dict(job.error or {"message": "the process that ran it ended", "fix": f"`studio queue retry {job.id}`"})
    return error_from(parts)


def _canceled(job: Job) -> Canceled:
    told = job.error or {}
    error = Canceled(str(told.get("message") or "canceled"), fix=told.get("fix"))
    error.details = told.get("details") or {}
    return error


def error_from(told: Mapping[str, Any]) -> StudioError:
    """Return the error that `StudioError.as_json` told of."""
    parts = dict(told)
    known = {kind.__name__: kind for kind in _kinds(StudioError)}
    kind = known.get(str(parts.pop("type", "")), GenerationFailed)
    plain: type[StudioError] = next(item for item in kind.__mro__ if item.__init__ is StudioError.__init__)  # type: ignore[misc]
    names = ("field", "got", "allowed", "fix")
    error = plain(str(parts.get("message", "")), **{name: parts.get(name) for name in names})
    error.details = parts.get("details") or {}
    return error


def _kinds(kind: type[StudioError]) -> Iterator[type[StudioError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _kinds(below)
