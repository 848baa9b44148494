"""The joined clip on its way through the gate: a job of the queue whose raw clip waits in quarantine to be sealed.

So a crash between joining and sealing loses nothing, the checks' policy holds for it as for any clip, and
`studio quarantine retry` seals it too.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sqlalchemy.orm import Session

from studio.consistency.policy import Action, Policy
from studio.consistency.seam_drift import WindowDrift, drift_lines
from studio.disk import write_durably
from studio.extending.course import Course
from studio.extending.joining import Joined
from studio.extending.parent import Parent
from studio.extending.wish import ExtendWish, Window
from studio.jobs.context import Observer
from studio.jobs.failure import error_of_job
from studio.jobs.job import JobWish, Terms, job_of_row
from studio.jobs.quarantine import RawMaterial
from studio.jobs.queue import NewJob
from studio.jobs.roll import WorkerCard
from studio.jobs.states import FailureReason, JobState
from studio.jobs.workshop import Workshop
from studio.library.asset import Asset
from studio.library.tables import AssetRow
from studio.making import provenance_of
from studio.provenance.manifest import Ingredient, Provenance
from studio.provenance.origin import Origin
from studio.request import ResolvedRequest, Task
from studio.spending.ledger import LOCAL

_CLIP_ROLE, _WINDOW_ROLE = "clip", "window"


@dataclass(frozen=True, kw_only=True)
class Finisher:
    """Seals one finished clip. job_id: its id, in the queue and in the library. seed: of the first window."""

    shop: Workshop
    wish: ExtendWish
    parent: Parent
    course: Course
    job_id: str
    seed: int

    @property
    def is_joined(self) -> bool:
        """Whether an earlier call came as far as the joined clip, which waits to be sealed."""
        return self.shop.quarantine.holds(self.job_id)

    def drift(self) -> tuple[WindowDrift, ...]:
        """Return what was measured when the clip that waits was joined. Raises `StoreFault` where it is damaged."""
        told = self.shop.quarantine.get(self.job_id).request.extension or {}
        return tuple(WindowDrift.from_json(item) for item in told.get("drift", ()))

    def keep(self, joined: Joined, windows: Sequence[Window]) -> None:
        """Put the joined clip into quarantine. Raises `DiskFull` or `StoreFault`."""
        request = self._request(joined, windows)
        material = RawMaterial(
            clip=joined.clip,
            provenance=self._provenance(request, windows),
            request=request,
            seconds=sum(window.asset.generation_seconds for window in windows),
            policy=self._terms().policy,
        )
        self.shop.quarantine.put(self.job_id, material)

    def seal(self, observe: Observer) -> Asset:
        """Seal the clip that waits in quarantine. Raises `ChecksFailed`, `SealFailed`, an `EnvironmentFault`."""
        row = self.shop.store.job(self.job_id)
        if row is None:
            self._enter(self.shop.quarantine.get(self.job_id).request)
        elif row.state == JobState.HELD or row.reason == FailureReason.REFUSED:
            raise error_of_job(job_of_row(row))
        asset = self.shop.runner.retry_seal(self.job_id, observe)
        with self.shop.store.transaction() as session:
            self._link(session)
        return self.shop.store.asset(asset.id)

    def _enter(self, request: ResolvedRequest) -> None:
        """Enter the job as one whose clip is made and not sealed: should we die now, it says what is true."""
        wish = JobWish(owner=self.wish.owner)
        new = NewJob(id=self.job_id, resolved=request, terms=self._terms(), pool=LOCAL, wish=wish)
        told = {"type": "SealFailed", "message": "joined, and not sealed yet", "field": None, "got": None,
                "allowed": None, "fix": f"`studio quarantine retry {self.job_id}`"}  # fmt: skip
        with self.shop.roll.enlist(WorkerCard(device="cpu", is_resident=False)) as badge:
            lease = self.shop.queue.begin(new, badge.row)
            self.shop.queue.end(lease, JobState.FAILED, reason=FailureReason.UNSEALED, error=told, outcome="joined")

    def _link(self, session: Session) -> None:
        """Say in the library what the clip was made from."""
        row = session.get(AssetRow, self.job_id)
        if row is None:
            return
        parent = self.parent.asset
        if parent is not None and session.get(AssetRow, parent.id) is not None:
            row.parent_id = parent.id
        row.derivation = {"origin": Origin.TIMELINE.value, "mime_type": row.mime_type, "notes": []}

    def _terms(self) -> Terms:
        """A clip that is put together from windows cannot be made again with another seed; they were."""
        terms = Terms.of(JobWish(on_fail=self.wish.on_fail, label=self.wish.label), self.shop.settings)
        return replace(terms, policy=Policy()) if terms.policy.action is Action.RETRY else terms

    def _request(self, joined: Joined, windows: Sequence[Window]) -> ResolvedRequest:
        extension: dict[str, Any] = {
            "parent": {"id": self.parent.asset and self.parent.asset.id, "sha256": self.parent.sha256},
            "overlap": self.course.overlap,
            "windows": [window.as_json() for window in windows],
            "drift": [drift.as_json() for drift in joined.drift],
        }
        told = dict.fromkeys(text for window in windows for text in window.asset.request.get("warnings", ()))
        return replace(
            self.course.window,
            seed=self.seed,
            num_frames=len(joined.clip.frames),
            conditionings=(),
            warnings=(*told, *joined.notes, *self._remarks(joined, windows)),
            extension=extension,
        )

    def _remarks(self, joined: Joined, windows: Sequence[Window]) -> list[str]:
        """Return what the signed file tells of the extension, in sentences."""
        first = self.parent.num_frames
        end = "last frame" if self.course.overlap == 1 else f"last {self.course.overlap} frames"
        many = f"{len(windows)} windows, each made" if len(windows) > 1 else "one window, made"
        added = f"extended: frames {first} to {len(joined.clip.frames) - 1} come from {many} from the {end} before it"
        return [added, *(f"drift: {line}" for line in drift_lines(joined.drift))]

    def _provenance(self, request: ResolvedRequest, windows: Sequence[Window]) -> Provenance:
        settings, generator = self.shop.settings, self.shop.registry.generator(request.model)
        plain = replace(request, task=Task.IMAGE_TO_VIDEO)
        base = provenance_of(self.job_id, plain, generator=generator, label=self._terms().label, settings=settings)
        masters = [window.asset.master for window in windows if window.asset.master is not None]
        return replace(
            base,
            origin=Origin.TIMELINE,
            task=request.task.value,
            provider=masters[0]["provider"] if masters else None,
            ingredients=(self._clip(), *(_ingredient(window) for window in windows)),
            created_at=datetime.now(UTC),
        )

    def _clip(self) -> Ingredient:
        """A file from elsewhere is copied: its owner may move it before the clip is sealed."""
        path = self.parent.path
        if self.parent.asset is None:
            kept = self.shop.quarantine.folder(self.job_id) / f"clip{path.suffix.lower()}"
            with open(path, "rb") as source:
                write_durably(kept, lambda target: shutil.copyfileobj(source, target))
            path = kept
        title = path.name
        return Ingredient(path=path, title=title, mime_type=self.parent.mime_type, relationship="componentOf",
                          role=_CLIP_ROLE, sha256=self.parent.sha256)  # fmt: skip


def _ingredient(window: Window) -> Ingredient:
    path: Path = window.asset.path
    return Ingredient(path=path, title=f"window-{window.number}{path.suffix}", mime_type=window.asset.mime_type,
                      relationship="componentOf", role=_WINDOW_ROLE, sha256=window.asset.sha256)  # fmt: skip
