"""What is shown of a job: how far it is, what may be done with it, and in plain words why it failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from studio.consistency.wording import failure_lines
from studio.jobs.job import Attempt, Job, is_open_order
from studio.jobs.roll import WorkerView
from studio.jobs.states import FailureReason, JobState
from studio.people.visitor import Visitor
from studio.spending.ledger import REMOTE
from ui.api.jobs import request_json
from ui.api.problems import usable_fix, without_paths
from ui.web.views.errors import PARTS
from ui.web.words import say, words

# Where each stage begins and ends, in percent of the whole; sampling is nearly all of it.
_SPANS = {
    "waiting": (0, 1), "loading": (1, 6), "encoding": (6, 9), "uploading": (6, 8), "ordering": (8, 9),
    "sampling": (9, 85), "generating": (9, 85), "downloading": (85, 90), "decoding": (85, 90), "checking": (90, 93),
    "marking": (93, 96), "signing": (96, 98), "verifying": (98, 99),
}  # fmt: skip


def job_view(
    job: Job, visitor: Visitor, home: Path, *, owner: str | None = None, glimpse: int | None = None, name: str = ""
) -> dict[str, Any]:
    """Return what a page shows of a job. name: of its model. owner: account whose it is. glimpse: its picture's number.

    home: its path is told to nobody.
    """
    is_mine = visitor.owns(owner)
    progress = job.progress if job.state is JobState.RUNNING else None
    error = None if job.error is None else without_paths(job.error, home)
    return {
        "id": job.id,
        "state": job.state.value,
        "status": job.status,
        "status_text": say(f"queue.status.{job.status}"),
        "stage": None if progress is None else stage_text(progress.stage, progress.detail),
        "done": progress.done if progress else 0,
        "total": progress.total if progress else 0,
        "eta_seconds": progress.eta_seconds if progress else None,
        "percent": percent(job),
        "model": job.model,
        "model_name": name or job.model,
        "pool": job.pool,
        "priority": job.priority,
        "batch_id": job.batch_id,
        "entry": job.entry,
        "owner": owner,
        "is_mine": is_mine,
        "can": list(actions(job)) if is_mine else [],
        "request": request_json(job.request),
        "error": None if error is None else for_the_page(error),
        "reason": None if job.reason is None else job.reason.value,
        "advice": advice(job),
        "estimate": job.estimate,
        "billed": job.billed,
        "is_ordered": is_ordered(job),
        "provider": (order_view(job) or {}).get("provider"),
        "glimpse": glimpse,
        "asset_id": job.asset_id,
        "created_at": job.created_at.isoformat(),
        "started_at": None if job.started_at is None else job.started_at.isoformat(),
        "ended_at": None if job.ended_at is None else job.ended_at.isoformat(),
    }


def for_the_page(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of an error that a page shows; what to type at a command line helps nobody there."""
    told = {key: error.get(key) for key in PARTS}
    fix = usable_fix(told["fix"])
    told["fix"] = None if "`studio " in (fix or "") else fix  # the page has buttons for what these commands do
    return told | ({"where": error["where"]} if "where" in error else {})


def is_ordered(job: Job) -> bool:
    """Say whether a provider works on it, or may, so that it may cost something although it is canceled."""
    return is_open_order(job.operation) or (
        job.pool == REMOTE
        and job.state is JobState.RUNNING
        and job.progress is not None
        and job.progress.stage in ("ordering", "generating", "downloading")
    )


def detail_view(job: Job, home: Path, reports: Sequence[Mapping[str, Any]] = ()) -> dict[str, Any]:
    """Return what else is shown of one job alone: its attempts, what was ordered, and what the checks found.

    reports: of the raw clips that its checks did not let pass, oldest first.
    """
    return {
        "attempts": [_attempt_view(attempt, home) for attempt in job.attempts],
        "order": order_view(job),
        # A seed may be beyond what a script counts exactly.
        "seed": None if job.request.get("seed") is None else str(job.request["seed"]),
        "findings": [line for report in reports for line in failure_lines(report)],
        "terms": None if job.terms is None else {"on_fail": str(job.terms.policy), "label": job.terms.label},
        "is_attended": job.is_attended,
    }


def order_view(job: Job) -> dict[str, Any] | None:
    """Return what was ordered from a provider: who, the number of the order there, and how it stands."""
    saved = (job.operation or {}).get("operation")
    if not saved:
        return None
    handle = saved.get("handle") or {}
    names = ("id", "request_id", "name", "task_id", "operation")
    number = next((handle[name] for name in names if isinstance(handle.get(name), str)), None)
    return {"provider": saved.get("provider"), "state": saved.get("state"), "number": number}


def worker_view(worker: WorkerView, models: Mapping[str, str]) -> dict[str, Any]:
    """Return what is shown of somebody who takes jobs. models: names by id."""
    return {
        "id": worker.id,
        "host": worker.host,
        "device": worker.device,
        "pool": worker.pool,
        "model_name": None if worker.model is None else models.get(worker.model, worker.model),
        "job_id": worker.job_id,
    }


def _attempt_view(attempt: Attempt, home: Path) -> dict[str, Any]:
    error = None if attempt.error is None else for_the_page(without_paths(attempt.error, home))
    return {**attempt.as_json(), "error": error}


def percent(job: Job) -> int:
    """Return how much of a job is done, 0 .. 100."""
    if job.state is JobState.SUCCEEDED:
        return 100
    if job.state is not JobState.RUNNING or job.progress is None:
        return 0
    start, end = _SPANS.get(job.progress.stage, (0, 0))
    share = min(job.progress.done / job.progress.total, 1.0) if job.progress.total else 0.0
    return start + int((end - start) * share)


def stage_text(stage: str, detail: str = "") -> str:
    """Return what a job does now, in words."""
    told = words().get(f"queue.stage.{stage}", stage)
    return f"{told}: {detail}" if detail else told


def actions(job: Job) -> tuple[str, ...]:
    """Return what may be done with a job in its state, by name."""
    match job.state:
        case JobState.QUEUED:
            return ("cancel", "resume" if job.is_paused else "pause", "move", "edit")
        case JobState.RUNNING:
            is_free = not job.is_attended and not job.asked
            return ("cancel", "pause") if is_free else ("cancel",) if job.asked != "cancel" else ()
        case JobState.HELD:
            return ("release", "discard", "edit")
        case JobState.FAILED | JobState.CANCELED:
            return _after_an_end(job)
        case _:
            return ("remove",)


def _after_an_end(job: Job) -> tuple[str, ...]:
    """A clip that is made and not sealed is sealed by a retry; nothing is made or paid again.

    What a provider does not show would end the same way, and whether an unknown order was taken is for a person to say.
    """
    match job.reason:
        case FailureReason.MODERATED:
            return ("edit", "remove")
        case FailureReason.SUBMIT_UNKNOWN:
            return ("retry", "order_again", "edit", "remove")
        case _:
            return ("retry", "edit", "remove")


def advice(job: Job) -> str | None:
    """Return in plain words what a person can do about a job that did not come to its end."""
    if job.state is JobState.HELD:
        return say("queue.advice.held")
    if job.state is not JobState.FAILED:
        return None
    reason = job.reason or FailureReason.INTERRUPTED
    return say(f"queue.advice.{reason.value}")


def summary_view(counts: Mapping[JobState, int], *, is_paused: bool) -> dict[str, Any]:
    """Return how the whole queue stands, with one sentence of it."""
    running, waiting = counts[JobState.RUNNING], counts[JobState.QUEUED]
    if is_paused:
        sentence = say("queue.summary.paused", waiting=waiting)
    elif running or waiting:
        sentence = say("queue.summary.busy", running=running, waiting=waiting)
    else:
        sentence = say("queue.summary.idle")
    by_state = {state.value: number for state, number in counts.items()}
    return {"is_paused": is_paused, "counts": by_state, "sentence": sentence}
