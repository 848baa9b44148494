"""A job as front ends see it, and what may be wished of one apart from its request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from studio.config import Settings, VisibleLabel
from studio.consistency.policy import Policy
from studio.errors import NotFound
from studio.jobs.states import FINAL, FailureReason, JobState
from studio.library.tables import AttemptRow, JobRow
from studio.media import Preview
from studio.spending.money import Money

MIN_PRIORITY, MAX_PRIORITY = -100, 100


class UnknownJob(NotFound):
    """The queue has no job by this id."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a job is. stage: loading, encoding, sampling, decoding, checking, marking, signing, verifying or retrying.

    done, total: steps of the stage; 0 of 0 where it has none. eta_seconds: None until the first step is done.
    retrying: a check failed and the clip is made again with another seed, for the time of `done`, of at most `total`.
    preview: a cheap picture of the clip as it is now; never kept.
    detail: what else there is to say of the stage, in a few words, such as the place in a provider's line.
    """

    stage: str
    done: int = 0
    total: int = 0
    eta_seconds: float | None = None
    preview: Preview | None = None
    detail: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return what is kept in the job's row."""
        told = {"stage": self.stage, "done": self.done, "total": self.total, "eta_seconds": self.eta_seconds}
        return told | ({"detail": self.detail} if self.detail else {})

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Progress:
        """Return what `as_json` wrote."""
        return cls(**data)


@dataclass(frozen=True, kw_only=True)
class JobWish:
    """How a job is to be run, apart from the request itself.

    priority: -100 .. 100, higher first. client_key: the same key twice is the same job.
    on_fail: what happens if the clip fails a check, label: what is drawn into it; None takes the setting.
    batch_id, entry: the batch it belongs to, and its number there, from 1.
    max_cost: one that is estimated to cost more, or nobody knows what, is not taken.
    owner: name of the account whose the job is; None for whoever sits at this machine. A known client key's job keeps
    its own.
    """

    priority: int = 0
    client_key: str | None = None
    on_fail: Policy | None = None
    label: VisibleLabel | None = None
    batch_id: str | None = None
    entry: int | None = None
    max_cost: Money | None = None
    owner: str | None = None


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What was decided when the job was submitted, so that every worker makes the same file of it."""

    policy: Policy
    label: VisibleLabel
    prompt_policy: str
    training_use: str

    @classmethod
    def of(cls, wish: JobWish, settings: Settings) -> Terms:
        """Return a wish's terms; what it leaves open is taken from the settings."""
        return cls(
            policy=wish.on_fail or settings.check_policy,
            label=wish.label or settings.visible_label,
            prompt_policy=settings.prompt_policy.value,
            training_use=settings.training_use,
        )

    def renewed(self, fresh: Terms) -> Terms:
        """Return the terms of a job whose policy and label somebody changed; the rest stays as it was decided."""
        return replace(self, policy=fresh.policy, label=fresh.label)

    def as_json(self) -> dict[str, Any]:
        """Return what is kept in the job's row."""
        return {
            "policy": str(self.policy),
            "label": self.label,
            "prompt_policy": self.prompt_policy,
            "training_use": self.training_use,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Terms:
        """Return what `as_json` wrote."""
        return cls(**{**data, "policy": Policy.parse(data["policy"])})


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """One time that a worker took a job up. timings: seconds by stage. outcome: None while it lasts."""

    number: int
    worker: str
    host: str
    device: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    error: dict[str, Any] | None
    timings: dict[str, float]

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        times = {"started_at": _iso(self.started_at), "ended_at": _iso(self.ended_at)}
        return {**self.__dict__, **times}


@dataclass(frozen=True, kw_only=True)
class Job:
    """A frozen view of a job. request: as `ResolvedRequest.as_json` writes it. pool: local or remote.

    asked: what people ask of the worker that runs it, cancel or pause. position: smaller first among equal priorities.
    error: as `StudioError.as_json` writes it. estimate, billed: amount and currency. operation: a provider's own.
    attempts: empty where they were not asked for.
    """

    id: str
    state: JobState
    reason: FailureReason | None
    is_paused: bool
    asked: str | None
    model: str
    pool: str
    request: dict[str, Any]
    priority: int
    position: float
    batch_id: str | None
    entry: int | None
    client_key: str | None
    progress: Progress | None
    error: dict[str, Any] | None
    estimate: dict[str, Any] | None
    billed: dict[str, Any] | None
    operation: dict[str, Any] | None
    terms: Terms | None
    worker: str | None
    is_attended: bool
    attempts: tuple[Attempt, ...]
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Say whether it has come to an end."""
        return self.state in FINAL

    @property
    def asset_id(self) -> str | None:
        """The id of the clip it made; a clip is named after its job."""
        return self.id if self.state == JobState.SUCCEEDED else None

    @property
    def status(self) -> str:
        """What is shown of its state: a job that waits says whether it is paused, one that runs what is asked of it."""
        if self.state == JobState.QUEUED and self.is_paused:
            return "paused"
        if self.state == JobState.RUNNING and self.asked:
            return {"cancel": "canceling", "pause": "pausing"}[self.asked]
        return self.state.value

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {
            "id": self.id,
            "state": self.state.value,
            "status": self.status,
            "reason": None if self.reason is None else self.reason.value,
            "is_paused": self.is_paused,
            "asked": self.asked,
            "model": self.model,
            "pool": self.pool,
            "priority": self.priority,
            "batch_id": self.batch_id,
            "entry": self.entry,
            "client_key": self.client_key,
            "progress": None if self.progress is None else self.progress.as_json(),
            "error": self.error,
            "estimate": self.estimate,
            "billed": self.billed,
            "worker": self.worker,
            "asset_id": self.asset_id,
            "attempts": [attempt.as_json() for attempt in self.attempts],
            "request": self.request,
            "created_at": _iso(self.created_at),
            "started_at": _iso(self.started_at),
            "ended_at": _iso(self.ended_at),
        }


# What a remote generator says of an order that has not come to its end, or may not have.
OPEN_ORDER = ("submitting", "submitted", "unknown")


def has_open_order(row: JobRow) -> bool:
    """Say whether something was ordered from a provider, or may have been, that has not come to its end."""
    return is_open_order(row.operation)


def is_open_order(saved: Mapping[str, Any] | None) -> bool:
    """Say so of what a row or a folder keeps of an order."""
    return ((saved or {}).get("operation") or {}).get("state") in OPEN_ORDER


def newest_order(in_row: Mapping[str, Any] | None, in_folder: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Return what was written last of an order, in the job's row or in its folder on this machine; None of none.

    One of them may be older: written on another machine, or before the order was forgotten. The row wins a tie.
    """
    known = [saved for saved in (in_row, in_folder) if saved is not None]
    return max(known, key=lambda saved: (int(saved["token"]), int(saved.get("serial", 0))), default=None)


def job_of_row(row: JobRow, attempts: Sequence[AttemptRow] = ()) -> Job:
    """Return the job that a database row describes."""
    same = (
        "id", "is_paused", "asked", "model", "pool", "request", "priority", "position", "batch_id", "entry",
        "client_key", "error", "estimate", "billed", "operation", "worker", "is_attended", "created_at", "started_at",
        "ended_at",
    )  # fmt: skip
    return Job(
        **{name: getattr(row, name) for name in same},
        state=JobState(row.state),
        reason=None if row.reason is None else FailureReason(row.reason),
        progress=None if row.progress is None else Progress.from_json(row.progress),
        terms=None if row.terms is None else Terms.from_json(row.terms),
        attempts=tuple(_attempt_of_row(item) for item in attempts),
    )


def _attempt_of_row(row: AttemptRow) -> Attempt:
    same = ("number", "worker", "host", "device", "started_at", "ended_at", "outcome", "error")
    return Attempt(**{name: getattr(row, name) for name in same}, timings=row.timings or {})


def _iso(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat()
