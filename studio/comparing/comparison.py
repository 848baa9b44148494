"""A comparison as front ends see it: the contestants, and what has become of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from studio.comparing.differences import Difference
from studio.jobs.job import Job, Progress
from studio.library.asset import Asset

# What is shown of an entry beside the states of jobs.
REFUSED = "refused"  # its model could not make it, so that it has no job
REMOVED = "removed"  # it was made, and its clip is in the library no more


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One contestant. number: from 1. changes: what was set otherwise for it on purpose.

    differences: what it does otherwise than was asked. error: why it could not be made, as `StudioError.as_json` writes
    it; that of its job comes first. job: None where it has none, or was forgotten. asset: its clip, None while there is
    none, or none any more. A clip is named after its job: job_id is the id of both.
    """

    number: int
    label: str
    model: str
    job_id: str | None
    changes: dict[str, Any]
    differences: tuple[Difference, ...]
    error: dict[str, Any] | None
    job: Job | None
    asset: Asset | None

    @property
    def state(self) -> str:
        """A state of its job such as queued or held, or ``refused`` without one, or ``removed`` without its clip."""
        if self.asset is not None:
            return "succeeded"
        if self.job_id is None:
            return REFUSED
        return REMOVED if self.job is None or self.job.asset_id is not None else self.job.status

    @property
    def is_finished(self) -> bool:
        """Whether there is a clip to be looked at."""
        return self.asset is not None

    @property
    def is_over(self) -> bool:
        """Whether nothing more becomes of it by itself."""
        return self.asset is not None or self.job is None or self.job.is_final

    @property
    def progress(self) -> Progress | None:
        """How far its job is."""
        return None if self.job is None or self.is_over else self.job.progress

    @property
    def seconds(self) -> float | None:
        """How long its job took, or where that was forgotten how long its clip took to generate."""
        job = self.job
        if job is not None and job.started_at is not None and job.ended_at is not None:
            return round(max((job.ended_at - job.started_at).total_seconds(), 0.0), 3)
        return None if self.asset is None else round(self.asset.generation_seconds, 3)

    @property
    def cost(self) -> dict[str, Any] | None:
        """Amount and currency: what a provider billed, or else what it was estimated at; None where nobody knows."""
        return None if self.job is None else self.job.billed or self.job.estimate

    @property
    def is_billed(self) -> bool:
        """Whether `cost` is what a provider said that it charged."""
        return self.job is not None and bool(self.job.billed)

    @property
    def checks(self) -> str | None:
        """How its clip stands with its checks, such as passed or flagged."""
        return None if self.asset is None else self.asset.standing

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {
            "number": self.number,
            "label": self.label,
            "model": self.model,
            "job_id": self.job_id,
            "state": self.state,
            "progress": None if self.progress is None else self.progress.as_json(),
            "error": self.error,
            "changes": self.changes,
            "differences": [item.as_json() for item in self.differences],
            "estimate": None if self.job is None else self.job.estimate,
            "billed": None if self.job is None else self.job.billed,
            "seconds": self.seconds,
            "checks": self.checks,
            "request": None if self.job is None else self.job.request,
            "asset": None if self.asset is None else self.asset.as_json(),
        }


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One request on several generators. request: what all were asked for, as `base_as_json` writes it.

    num_votes: that were cast on it, by whomever.
    """

    id: str
    title: str
    tags: tuple[str, ...]
    request: Mapping[str, Any]
    entries: tuple[Entry, ...]
    num_votes: int
    created_at: datetime

    @property
    def prompt(self) -> str:
        """What all were asked to show."""
        return str(self.request.get("prompt") or "")

    @property
    def is_over(self) -> bool:
        """Whether every contestant is made, or will not be."""
        return all(entry.is_over for entry in self.entries)

    @property
    def finished(self) -> tuple[Entry, ...]:
        """The contestants whose clips are there."""
        return tuple(entry for entry in self.entries if entry.is_finished)

    @property
    def job_ids(self) -> tuple[str, ...]:
        """The jobs that make it."""
        return tuple(entry.job_id for entry in self.entries if entry.job_id is not None)

    def entry(self, number: int) -> Entry | None:
        """Return the contestant with this number, or None."""
        return next((entry for entry in self.entries if entry.number == number), None)

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {
            "id": self.id,
            "title": self.title,
            "tags": list(self.tags),
            "request": dict(self.request),
            "entries": [entry.as_json() for entry in self.entries],
            "num_votes": self.num_votes,
            "is_over": self.is_over,
            "created_at": self.created_at.isoformat(),
        }
