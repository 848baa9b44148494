"""Jobs of the queue, line by line for the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from ui.cli.console import print_note

if TYPE_CHECKING:
    from studio.jobs.job import Attempt, Job, Progress

_SHOWN_FIRST = ("model", "prompt", "negative_prompt", "seed")


def job_row(job: Job) -> tuple[str, ...]:
    """Return what a table shows of a job: id, status, priority, model, how far it is, prompt."""
    return job.id, job.status, str(job.priority), job.model, progress_text(job.progress), job.request["prompt"] or "-"


def progress_text(progress: Progress | None) -> str:
    """Return how far a job is, such as "sampling 3/30, 40 s left"."""
    if progress is None:
        return "-"
    steps = f" {progress.done}/{progress.total}" if progress.total else ""
    left = "" if progress.eta_seconds is None else f", {progress.eta_seconds:.0f} s left"
    return f"{progress.stage}{steps}{left}"


def job_lines(job: Job) -> Iterator[str]:
    """Yield everything about a job, its request and its attempts."""
    facts: dict[str, Any] = {
        "job": job.id,
        "state": job.status if job.reason is None else f"{job.status} ({job.reason})",
        "priority": job.priority,
        "progress": progress_text(job.progress),
        "worker": job.worker,
        "batch": job.batch_id and f"{job.batch_id}, entry {job.entry}",
        "key": job.client_key,
        "order": _order(job.operation),
        "estimate": _money(job.estimate),
        "billed": _money(job.billed),
        "submitted": _moment(job.created_at),
        "started": _moment(job.started_at),
        "ended": _moment(job.ended_at),
    }
    for name, value in facts.items():
        if value not in (None, "-"):
            yield f"{name:<14} {value}"
    yield from _request_lines(job.request)
    for attempt in job.attempts:
        yield _attempt_line(attempt)
    if job.error is not None:
        yield f"{'error':<14} {job.error.get('message')}"
        if job.error.get("fix"):
            yield f"{'':<14} -> {job.error['fix']}"


def _order(saved: Mapping[str, Any] | None) -> str | None:
    """Return by what a provider knows a job: its own id, our name for it, and when it was sent."""
    operation = (saved or {}).get("operation") or {}
    handle = operation.get("handle") or {}
    parts = (operation.get("provider"), operation.get("state"), handle.get("id"), operation.get("tag"))
    told = [str(part) for part in (*parts, operation.get("sent_at")) if part]
    return ", ".join(told) or None


def _request_lines(request: dict[str, Any]) -> Iterator[str]:
    others = [name for name in request if name not in (*_SHOWN_FIRST, "conditionings", "options", "warnings")]
    for name in (*_SHOWN_FIRST, *others):
        if request[name] not in (None, "", False):
            yield f"{name:<19} {request[name]}"
    for item in request["conditionings"]:
        yield f"{item['role']:<19} {item['path']}"
    for name, value in request["options"].items():
        yield f"{'option':<19} {name}={value}"


def _attempt_line(attempt: Attempt) -> str:
    stages = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in attempt.timings.items())
    message = f": {attempt.error['message']}" if attempt.error and attempt.error.get("message") else ""
    where = f"{attempt.host} ({attempt.device})"
    shown = f"; {stages}" if stages else ""
    name = f"attempt {attempt.number}"
    return f"{name:<14} {_moment(attempt.started_at)} on {where}: {attempt.outcome or 'goes on'}{message}{shown}"


def _money(sum_: dict[str, Any] | None) -> str | None:
    return None if sum_ is None else f"{sum_['amount']:.2f} {sum_['currency']}"


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"


class JobNotes:
    """Says on stderr what becomes of jobs: a line for each state, each stage and each tenth of its steps."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, str, int]] = {}

    def show(self, jobs: Iterable[Job]) -> None:
        """Say what is new since the last call."""
        for job in jobs:
            progress = job.progress
            tenth = 10 * progress.done // progress.total if progress is not None and progress.total else 0
            now = (job.status, "" if progress is None else progress.stage, tenth)
            if self._last.get(job.id) != now:
                self._last[job.id] = now
                print_note(f"{job.id}  {job.status if progress is None else progress_text(progress)}")
