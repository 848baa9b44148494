"""The rows of batches: which file was run when, and which jobs came of it."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, defer

from studio.errors import NotFound
from studio.jobs.job import Job, Progress, job_of_row
from studio.jobs.owning import owner_rows
from studio.jobs.spending import UNPAID
from studio.jobs.states import FINAL, FailureReason, JobState
from studio.library.asset import Asset, asset_of_row
from studio.library.database import in_parts
from studio.library.store import Store
from studio.library.tables import AssetRow, AttemptRow, BatchRow, JobRow


class UnknownBatch(NotFound):
    """No batch has this id, and none was run from this file."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """One run of a batch file. path: absolute. digest: of the file as it was read last. budget: as its row holds it."""

    id: str
    path: Path
    digest: str
    budget: dict[str, Any] | None
    created_at: datetime

    def as_json(self) -> dict[str, Any]:
        """Return what front ends show."""
        return {**self.__dict__, "path": str(self.path), "created_at": self.created_at.isoformat()}


@dataclass(frozen=True, kw_only=True)
class Glance:
    """What is shown of a job of a batch while it runs: all but its request. key: of its entry."""

    id: str
    entry: int
    key: str
    model: str
    pool: str
    state: JobState
    reason: FailureReason | None
    is_paused: bool
    asked: str | None
    progress: Progress | None
    worker: str | None
    error: dict[str, Any] | None
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def is_final(self) -> bool:
        """Say whether it has come to an end."""
        return self.state in FINAL

    @property
    def is_waiting_for_a_person(self) -> bool:
        """Say whether nothing becomes of it until somebody resumes it."""
        return self.state == JobState.QUEUED and self.is_paused

    @property
    def status(self) -> str:
        """What is shown of its state."""
        if self.is_waiting_for_a_person:
            return "paused"
        if self.state == JobState.RUNNING and self.asked:
            return {"cancel": "canceling", "pause": "pausing"}[self.asked]
        return "interrupted" if self.reason == FailureReason.INTERRUPTED else self.state.value

    @property
    def seconds(self) -> float | None:
        """How long its last run took."""
        if self.started_at is None or self.ended_at is None:
            return None
        return max((self.ended_at - self.started_at).total_seconds(), 0.0)


@dataclass(frozen=True, kw_only=True)
class Effort:
    """What a job took. attempts: how often it was begun. seconds: of all of them together."""

    attempts: int = 0
    seconds: float = 0.0


def client_key(batch_id: str, entry_key: str) -> str:
    """Return the key under which an entry's job is submitted, so that it is never submitted twice."""
    return f"{_prefix(batch_id)}{entry_key}"


def same_path(path: Path) -> Path:
    """Return an absolute path that is the same for each way to write it."""
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100 (resolve would follow links)


class BatchRows:
    """Batches and their jobs in the library's database."""

    def __init__(self, store: Store) -> None:
        self._store = store

    # -- batches ------------------------------------------------------------------------------------------------

    def add(self, path: Path, digest: str, budget: dict[str, Any] | None, owner: str | None = None) -> Batch:
        """Enter a new run of a file. owner: the account whose it is."""
        now = datetime.now(UTC)
        batch_id = f"{now:%Y%m%d-%H%M%S}-b{secrets.token_hex(3)}"
        with self._store.transaction() as session:
            number = 1 + (session.scalar(sa.select(sa.func.max(BatchRow.number))) or 0)
            row = BatchRow(id=batch_id, number=number, path=str(path), digest=digest, budget=budget, created_at=now)
            session.add_all([row, *owner_rows(batch_id, owner)])
            session.flush()
            return _batch_of_row(row)

    def change(self, batch_id: str, digest: str, budget: dict[str, Any] | None) -> Batch:
        """Take note of a file that was read again, and of another budget."""
        with self._store.transaction() as session:
            row = session.get_one(BatchRow, batch_id, with_for_update=True)
            row.digest, row.budget = digest, budget
            return _batch_of_row(row)

    def latest(self, path: Path) -> Batch | None:
        """Return the last run of a file, None if it was never run."""
        query = sa.select(BatchRow).where(BatchRow.path == str(path))
        with self._store.database.read() as session:
            row = session.scalars(query.order_by(BatchRow.number.desc(), BatchRow.id.desc()).limit(1)).first()
            return None if row is None else _batch_of_row(row)

    def all(self, limit: int = 100) -> list[Batch]:
        """Return the latest runs, newest first."""
        query = sa.select(BatchRow).order_by(BatchRow.number.desc(), BatchRow.id.desc()).limit(limit)
        with self._store.database.read() as session:
            return [_batch_of_row(row) for row in session.scalars(query)]

    def find(self, words: str | None) -> Batch:
        """Return the batch with this id or beginning of one, the last run of this file, or without words the latest.

        Raises `UnknownBatch`.
        """
        found = self.all(1) if words is None else self._beginning_with(words)
        if words is not None and len(found) != 1:
            of_file = self.latest(same_path(Path(words)))
            found = found if of_file is None else [of_file]
        if len(found) == 1:
            return found[0]
        message = "several batches begin like this" if found else "no such batch, and no run of such a file"
        message = message if words is not None else "no batch was run yet"
        raise UnknownBatch(message, field="batch", got=words, fix="`studio batch list` shows the ids")

    def _beginning_with(self, words: str) -> list[Batch]:
        query = sa.select(BatchRow).where(BatchRow.id.startswith(words, autoescape=True)).limit(2)
        with self._store.database.read() as session:
            return [_batch_of_row(row) for row in session.scalars(query)] if words else []

    # -- their jobs ---------------------------------------------------------------------------------------------

    def glances(self, batch_id: str, *, with_left: bool = False) -> list[Glance]:
        """Return the jobs of a batch by entry. with_left: also those that `leave` took out of it."""
        columns = (
            JobRow.id, JobRow.entry, JobRow.client_key, JobRow.model, JobRow.pool, JobRow.state, JobRow.reason,
            JobRow.is_paused, JobRow.asked, JobRow.progress, JobRow.worker, JobRow.error, JobRow.started_at,
            JobRow.ended_at,
        )  # fmt: skip
        mine = JobRow.batch_id == batch_id
        if with_left:
            mine |= JobRow.client_key.startswith(_prefix(batch_id), autoescape=True)
        query = sa.select(*columns).where(mine).order_by(JobRow.entry, JobRow.id)
        with self._store.database.read() as session:
            return [_glance_of(row, batch_id) for row in session.execute(query)]

    def number(self, batch_id: str, entries: Mapping[str, int]) -> None:
        """Say which number in the file each job's entry has now. entries: by job id."""

        def work(session: Session) -> None:
            for job_id, entry in entries.items():
                same = sa.update(JobRow).where(JobRow.id == job_id)
                session.execute(same.values(batch_id=batch_id, entry=entry))

        if entries:
            self._store.database.retrying(work)

    def leave(self, job_ids: Sequence[str]) -> None:
        """Take jobs out of their batch whose entries are no longer in its file; they stay in the queue."""

        def work(session: Session) -> None:
            for part in in_parts(job_ids):
                session.execute(sa.update(JobRow).where(JobRow.id.in_(part)).values(batch_id=None, entry=None))

        if job_ids:
            self._store.database.retrying(work)

    def jobs(self, batch_id: str) -> dict[str, Job]:
        """Return the jobs of a batch by id, without their attempts."""
        query = sa.select(JobRow).where(JobRow.batch_id == batch_id).order_by(JobRow.entry, JobRow.id)
        with self._store.database.read() as session:
            return {row.id: job_of_row(row) for row in session.scalars(query)}

    def counts(self, batch_ids: Sequence[str]) -> dict[str, dict[str, int]]:
        """Return for each batch how many jobs it has in each state."""
        found: dict[str, dict[str, int]] = {batch_id: {} for batch_id in batch_ids}
        with self._store.database.read() as session:
            for part in in_parts(batch_ids):
                query = sa.select(JobRow.batch_id, JobRow.state, sa.func.count()).where(JobRow.batch_id.in_(part))
                for batch_id, state, number in session.execute(query.group_by(JobRow.batch_id, JobRow.state)):
                    found[str(batch_id)][str(state)] = int(number)
        return found

    def efforts(self, batch_id: str) -> dict[str, Effort]:
        """Return what each job of a batch took; those that were never begun are left out."""
        query = (
            sa.select(AttemptRow.job_id, AttemptRow.timings)
            .join(JobRow, JobRow.id == AttemptRow.job_id)
            .where(JobRow.batch_id == batch_id, sa.func.coalesce(AttemptRow.outcome, "") != UNPAID)
        )
        found: dict[str, Effort] = {}
        with self._store.database.read() as session:
            for job_id, timings in session.execute(query):
                before = found.get(job_id, Effort())
                seconds = before.seconds + sum((timings or {}).values())
                found[job_id] = Effort(attempts=before.attempts + 1, seconds=round(seconds, 3))
        return found

    def assets(self, job_ids: Iterable[str]) -> dict[str, Asset]:
        """Return what these jobs made, by job; a clip is named after its job."""
        found: dict[str, Asset] = {}
        with self._store.database.read() as session:
            for part in in_parts(list(job_ids)):
                query = sa.select(AssetRow).options(defer(AssetRow.manifest_store)).where(AssetRow.id.in_(part))
                found |= {row.id: asset_of_row(row, self._store.shelf) for row in session.scalars(query)}
        return found


def _prefix(batch_id: str) -> str:
    return f"batch:{batch_id}:"


def _batch_of_row(row: BatchRow) -> Batch:
    return Batch(id=row.id, path=Path(row.path), digest=row.digest, budget=row.budget, created_at=row.created_at)


def _glance_of(row: sa.Row[Any], batch_id: str) -> Glance:
    data = row._asdict()
    key = str(data.pop("client_key") or "").removeprefix(_prefix(batch_id))
    reason, progress, entry = data.pop("reason"), data.pop("progress"), data.pop("entry")
    return Glance(
        **{**data, "state": JobState(data["state"])},
        key=key,
        entry=entry or 0,
        reason=None if reason is None else FailureReason(reason),
        progress=None if progress is None else Progress.from_json(progress),
    )
