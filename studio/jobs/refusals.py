"""What the desk answers to wishes that cannot be granted."""

from __future__ import annotations

from collections.abc import Sequence

from studio.errors import RequestError, UnsupportedValue
from studio.jobs.job import MAX_PRIORITY, MIN_PRIORITY, Job, JobWish
from studio.jobs.states import JobState


def require_fitting(wish: JobWish) -> None:
    """Refuse a wish that makes no sense. Raises `UnsupportedValue`."""
    if not MIN_PRIORITY <= wish.priority <= MAX_PRIORITY:
        allowed = f"{MIN_PRIORITY} .. {MAX_PRIORITY}, higher first"
        raise UnsupportedValue("no such priority", field="priority", got=wish.priority, allowed=allowed)
    if wish.client_key is not None and not 0 < len(wish.client_key) <= 200:
        length = f"{len(wish.client_key)} characters"
        raise UnsupportedValue("not a key", field="client_key", got=length, allowed="1 to 200 characters")


def moderated(job: Job) -> RequestError:
    """Return the refusal to order again what a provider does not show."""
    return RequestError(
        "the provider's rules forbid this clip: the same request would end the same way, and may cost again",
        field="job",
        got=job.id,
        fix="change its prompt or pictures with the options of a request, or add --order-again",
    )


def ordered(job: Job) -> RequestError:
    """Return the refusal to change a job whose clip was ordered from a provider as it was."""
    return RequestError(
        "its clip was ordered from a provider as it is, and may be paid for: changed, it would be paid again",
        field="job",
        got=job.id,
        fix=f"let a worker fetch it; or cancel it, then `studio queue retry {job.id} --order-again` with the changes",
    )


def not_now(job: Job, what: str, states: Sequence[JobState]) -> RequestError:
    """Return the refusal of what a job's state does not allow. what: such as ``retried``. states: that would."""
    allowed = ", ".join(sorted(state.value for state in states))
    fix = {
        JobState.HELD: f"`studio quarantine release {job.id}` or discard it",
        JobState.SUCCEEDED: f"`studio library show {job.id}` shows what it made",
    }.get(job.state)
    return RequestError(
        f"a job that is {job.status} cannot be {what}",
        field="job",
        got=job.id,
        allowed=f"jobs that are {allowed}",
        fix=fix,
    )
