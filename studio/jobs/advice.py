"""What a person can do about a job that did not end well, from what is kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio.errors import (
    Canceled,
    EnvironmentFault,
    Moderated,
    ProviderFailed,
    RequestError,
    StudioError,
    SubmitUnknown,
)
from studio.jobs.job import is_open_order
from studio.jobs.quarantine import Quarantine
from studio.jobs.states import FailureReason

_PAID = {"yes": "it is paid for all the same", "unknown": "it may be paid for all the same"}


def advise(quarantine: Quarantine, job_id: str, error: StudioError) -> StudioError:
    """Return the error with advice about the clip or the stages that are kept."""
    if quarantine.holds(job_id):
        error.advise(f"the clip is kept: `studio quarantine retry {job_id}` seals it without generating again")
    elif quarantine.has_checkpoints(job_id):
        error.advise(f"what was sampled is kept: `studio queue retry {job_id}` goes on from there")
    elif isinstance(error, ProviderFailed):
        error.advise(_after_order(job_id, error))
    return error


def _after_order(job_id: str, error: ProviderFailed) -> str:
    """Return what a provider's failure advises, with the job's id, and whether what failed is paid for."""
    retry = f"studio queue retry {job_id}"
    fix = (error.fix or "").replace("`studio queue retry` the job", f"`{retry}`")
    words = [fix.replace("`studio queue retry`", f"`{retry}`").replace("studio queue retry JOB", retry)]
    if isinstance(error, SubmitUnknown) and retry not in words[0]:
        words.append(f"`{retry}` asks once more what became of it, `{retry} --order-again` orders anew")
    paid = _PAID.get(str(error.details.get("charged")), "") if error.details.get("ended") else ""
    if paid not in words[0]:
        words.append(paid)
    return "; ".join(item for item in words if item)


def interrupted(job_id: str, saved: Mapping[str, Any] | None) -> Canceled:
    """Return what is told to somebody who stops a job without its provider: an order there is not stopped by it.

    saved: what is kept of the order. The error has `details` only where there is one.
    """
    if saved is None or not is_open_order(saved):
        return Canceled()
    if saved["operation"].get("state") == "submitted":
        error = Canceled("canceled here; what was ordered goes on at the provider, and costs what it costs")
        error.advise(f"`studio queue retry {job_id}` waits for it, and orders nothing")
    else:
        error = Canceled("canceled here, while the order was sent: nobody knows whether it was taken, and costs")
        error.advise(f"`studio queue retry {job_id}` asks the provider if it can tell, and orders nothing")
    error.details = {"provider": saved["operation"].get("provider"), "charged": "unknown"}
    return error


def strange_order(operation: Mapping[str, Any]) -> SubmitUnknown:
    """Return the error of a job for which something else was ordered than its request says now."""
    error = SubmitUnknown(
        "something was ordered for this job that does not fit its request as this version of the studio reads it",
        fix="look for the clip at the provider; `studio queue retry JOB --order-again` orders anew",
    )
    error.details = {"provider": operation.get("provider"), "charged": "unknown"}
    return error


def reason_of(error: StudioError) -> FailureReason:
    """Return why a job failed that ended with this."""
    if isinstance(error, Moderated):
        return FailureReason.MODERATED
    if isinstance(error, SubmitUnknown):
        return FailureReason.SUBMIT_UNKNOWN
    if isinstance(error, RequestError):
        return FailureReason.REQUEST
    return FailureReason.ENVIRONMENT if isinstance(error, EnvironmentFault) else FailureReason.GENERATION


def advice_after_checks(job_id: str, *, is_held: bool) -> str:
    """Return what to do about a clip that its checks keep from being sealed."""
    release = f", `studio quarantine release {job_id}` seals it all the same" if is_held else ""
    return f"`studio quarantine show {job_id}` says more{release}, `studio quarantine discard {job_id}` deletes it"
