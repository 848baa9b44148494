"""What became of the entries of a batch, and which error its run ends with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.batch.entry import BatchEntry
from studio.batch.outcome import AssetFacts, EntryOutcome
from studio.errors import Canceled, RequestError, StudioError
from studio.jobs.batches import Batch, BatchRows, Effort
from studio.jobs.failure import error_of_job
from studio.jobs.job import Job
from studio.jobs.states import JobState
from studio.library.asset import Asset


@dataclass(frozen=True, kw_only=True)
class Results:
    """outcomes: by entry. errors: of the entries that did not end well, by number."""

    outcomes: tuple[EntryOutcome, ...]
    errors: Mapping[int, StudioError]

    @property
    def error(self) -> StudioError | None:
        """The error of the first entry that did not end well."""
        return self.errors[min(self.errors)] if self.errors else None


def results_of(
    rows: BatchRows,
    batch: Batch,
    entries: Sequence[BatchEntry],
    *,
    copies: Mapping[int, Path] | None = None,
    copy_errors: Mapping[int, StudioError] | None = None,
) -> Results:
    """Return what became of each entry. entries: of the file; without them, those that the jobs tell of.

    copies: where the clips were copied to, and copy_errors why they were not, both by entry.
    """
    jobs = rows.jobs(batch.id)
    efforts = rows.efforts(batch.id)
    assets = rows.assets(job.id for job in jobs.values() if job.state == JobState.SUCCEEDED)
    by_number = {job.entry: job for job in jobs.values() if job.entry is not None}
    places = [(entry.number, entry.where, entry.name) for entry in entries]
    places = places or [(number, f"job {number}", None) for number in sorted(by_number)]
    outcomes, errors = [], {}
    for number, where, name in places:
        job = by_number.get(number)
        error = (copy_errors or {}).get(number) or _error_of(job)
        if error is not None:
            errors[number] = error
        outcomes.append(
            EntryOutcome(
                number=number,
                where=where,
                name=name,
                error=None if error is None else error.sentence(),
                **_facts(job, efforts, assets, (copies or {}).get(number)),
            )
        )
    return Results(outcomes=tuple(outcomes), errors=errors)


def job_facts(outcomes: Iterable[EntryOutcome]) -> list[dict[str, Any]]:
    """Return what front ends show of the jobs of a batch."""
    return [{"id": item.job_id, "entry": item.number, **_without_number(item.as_json())} for item in outcomes]


def _without_number(data: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in data.items() if name not in ("number", "job_id")}


def _facts(
    job: Job | None, efforts: Mapping[str, Effort], assets: Mapping[str, Asset], copy: Path | None
) -> dict[str, Any]:
    if job is None:
        return {"state": JobState.CANCELED.value, "request": {}}
    asset = assets.get(job.id)
    effort = efforts.get(job.id, Effort())
    return {
        "state": job.state.value,
        "reason": None if job.reason is None else job.reason.value,
        "job_id": job.id,
        "request": job.request,
        "asset": None if asset is None else AssetFacts.of(asset, copy),
        "seconds": effort.seconds,
        "attempts": effort.attempts,
        "estimate": job.estimate,
        "billed": job.billed,
    }


def _error_of(job: Job | None) -> StudioError | None:
    """Return why an entry has no clip; None where it has one, or where its job is still under way."""
    if job is None:
        return Canceled("the job was removed from the queue")
    if job.state == JobState.QUEUED and job.is_paused:
        if job.error is not None:
            return error_of_job(job)
        return RequestError("the job is paused", field="job", got=job.id,
                            fix=f"`studio queue resume {job.id}` lets it be taken up")  # fmt: skip
    return error_of_job(job) if job.is_final and job.state != JobState.SUCCEEDED else None
