"""`Studio`: the one object that front ends call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from statistics import median

from studio.catalog.metrics import load_metrics
from studio.catalog.schema import ModelSpec
from studio.checking import CheckWish, Watch, check_one
from studio.comparing.comparer import Comparer
from studio.config import Settings, VisibleLabel
from studio.consistency.policy import Policy
from studio.consistency.report import Report
from studio.delivery import check_destination
from studio.discovery import Refreshed, refresh
from studio.doctor import DoctorCheck, examine
from studio.embeddings import clear_embeddings
from studio.erasing import Eraser
from studio.errors import RequestError, UnsupportedValue, VerificationFailed
from studio.export.derivation import Wish
from studio.export.gate import Gate
from studio.exports import Exported, Exports
from studio.extending.extender import Extender
from studio.extending.wish import ExtendWish, Extension
from studio.generator import Estimate
from studio.identity import IdentityDesk
from studio.inspection import Verification, verify
from studio.jobs.attendance import Attendance
from studio.jobs.context import Observer
from studio.jobs.desk import JobDesk
from studio.jobs.job import JobWish, Progress
from studio.jobs.overview import JobOverview
from studio.jobs.quarantine import Quarantine
from studio.jobs.run import JobRunner
from studio.jobs.states import FailureReason, JobState
from studio.jobs.workshop import Workshop
from studio.library.asset import Asset
from studio.library.curation import Curation
from studio.library.store import Store
from studio.library.tables import JobRow
from studio.making import Outcome, deliver_new, notices_of, work_of
from studio.people.people import People
from studio.provenance.certificates import watermark_key
from studio.provenance.prompts import PROMPT_FIELDS, prompt_digest, prompt_key
from studio.provenance.stamp_queue import StampQueue
from studio.recipe import Recipe, recipe_of
from studio.registry import Readiness, Registry, load_catalog_with_plugins
from studio.request import GenerationRequest, ResolvedRequest, Task
from studio.spending.money import Money
from studio.weights import PullProgress, WeightStore


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A catalog row and whether it would run here."""

    spec: ModelSpec
    readiness: Readiness


class Studio:
    """The services of the studio over one home folder. Cheap to construct; nothing is opened before it is needed."""

    def __init__(self, settings: Settings | None = None, *, catalog: Path | None = None) -> None:
        """catalog: folder of further rows of models; the one in the home folder by default."""
        self.settings = settings or Settings.read()
        self._catalog = catalog or self.settings.home / "catalog"

    @cached_property
    def registry(self) -> Registry:
        return Registry(load_catalog_with_plugins(self._catalog), self.settings)

    @cached_property
    def store(self) -> Store:
        return Store(self.settings)

    @cached_property
    def curation(self) -> Curation:
        """What people add to their clips, and how they find them again."""
        return Curation(self.store, self.settings, Eraser(self.settings, self.store).erase)

    @cached_property
    def identity(self) -> IdentityDesk:
        return IdentityDesk(self.settings, lambda: self.store)

    @cached_property
    def workshop(self) -> Workshop:
        return Workshop(self.settings, self.registry, self.store)

    @cached_property
    def desk(self) -> JobDesk:
        return JobDesk(self.workshop)

    @cached_property
    def people(self) -> People:
        return People(self.store)

    @cached_property
    def comparisons(self) -> Comparer:
        return Comparer(self.workshop, self.desk)

    @property
    def quarantine(self) -> Quarantine:
        return self.workshop.quarantine

    @property
    def runner(self) -> JobRunner:
        return self.workshop.runner

    # -- models -------------------------------------------------------------------------------------------------

    def models(self, task: Task | None = None) -> list[ModelEntry]:
        """Return the catalog, or the rows that serve a task."""
        specs: Iterable[ModelSpec] = self.registry.catalog if task is None else self.registry.catalog.for_task(task)
        return [ModelEntry(spec=spec, readiness=self.registry.readiness(spec)) for spec in specs]

    def pull(
        self, model: str, progress: Callable[[PullProgress], None], is_canceled: Callable[[], bool] = lambda: False
    ) -> Path:
        """Download the weights of a model, or of a learned check, and record what came. Returns their folder."""
        spec = load_metrics().find(model) or self._pullable(model)
        self.settings.create_home()
        return WeightStore(self.settings).pull(spec, progress, is_canceled)

    def refresh_models(self, provider: str) -> Refreshed:
        """Ask a provider which models it has, and write a row for each; they are read by the next `Studio`."""
        self.settings.create_home()
        return refresh(provider, self.registry, self._catalog)

    def _pullable(self, model: str) -> ModelSpec:
        spec = self.registry.catalog.get(model)
        if spec.generator is None:
            raise UnsupportedValue(spec.not_ready.rstrip("."), field="model", got=model)
        if spec.weights is None:
            raise RequestError("this model runs remotely and has no weights to pull", field="model", got=model)
        return spec

    # -- making clips -------------------------------------------------------------------------------------------

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        """Fill and check a request."""
        return self.registry.generator(request.model).resolve(request)

    def estimate(self, request: GenerationRequest) -> tuple[ResolvedRequest, Estimate]:
        """Say what a request would take."""
        generator = self.registry.generator(request.model)
        resolved = generator.resolve(request)
        return resolved, self._with_experience(resolved, generator.estimate(resolved))

    def _with_experience(self, resolved: ResolvedRequest, estimate: Estimate) -> Estimate:
        """Let runs of this model on this machine speak: their pace, scaled by pixels, frames and steps."""
        paces = [seconds / work_of(request) for request, seconds in self.store.timings(resolved.model)]
        if not paces:
            return estimate
        reference = self.registry.catalog.get(resolved.model).settings.get("reference", {})
        seconds = reference.get("load_seconds", 0.0) + median(paces) * work_of(resolved.as_json())
        runs = "1 run" if len(paces) == 1 else f"{len(paces)} runs"
        return replace(estimate, seconds=seconds, basis=f"time from {runs} here; {estimate.basis}")

    def generate(
        self,
        request: GenerationRequest,
        *,
        output: Path | None = None,
        overwrite: bool = False,
        label: VisibleLabel | None = None,
        on_fail: Policy | None = None,
        max_cost: Money | None = None,
        observe: Observer = lambda _progress: None,
        warn: Callable[[str], None] = lambda _text: None,
        is_canceled: Callable[[], bool] = lambda: False,
    ) -> Outcome:
        """Make one clip, seal it, and copy it to `output` if one is given. warn: told before the work starts.

        label: drawn into the picture. on_fail: what happens if it fails a check. None takes the setting.
        max_cost: a remote clip that is estimated to cost more, or nobody knows what, is refused.
        Raises any `StudioError`, `ChecksFailed` where the policy does not let the clip out. Whatever was generated
        before a failure of sealing stays in quarantine.
        """
        resolved = self.resolve(request)
        destination = None if output is None else self._check_destination(output, ".mp4", overwrite)
        self.workshop.require_ready(resolved.model)
        for warning in resolved.warnings:
            warn(warning)
        started = time.monotonic()
        self.runner.recover()
        for reminder in self._reminders():
            warn(reminder)
        wish = JobWish(on_fail=on_fail, label=label, max_cost=max_cost)
        asset = Attendance(self.workshop, self.desk, observe, is_canceled).make(resolved, wish)
        return self._outcome(asset, started, destination, resolved.warnings, overwrite=overwrite)

    def _outcome(
        self, asset: Asset, started: float, destination: Path | None, warnings: tuple[str, ...], *, overwrite: bool
    ) -> Outcome:
        """Deliver and verify a clip that was just sealed. warnings: told before the work started."""
        if destination is not None:
            deliver_new(asset, destination, overwrite=overwrite)
        verification = self.verify(destination or asset.path, search=False, with_checklist=False)
        if not verification.is_intact:
            raise VerificationFailed(
                f"the finished file does not verify ({verification.reason})", got=verification.path
            )
        return Outcome(
            asset=asset,
            verification=verification,
            warnings=warnings,
            notices=notices_of(asset, self.settings, warnings),
            seconds=time.monotonic() - started,
            delivered=destination,
        )

    def _reminders(self) -> Iterator[str]:
        """Yield what should be known before something is ordered: what was ordered earlier and nobody fetches."""
        orders = JobOverview(self.store).open_orders()
        if orders and not any(worker.is_alive and worker.pool in (None, "remote") for worker in self.desk.workers()):
            which = orders[0] if len(orders) == 1 else f"{orders[0]} and {len(orders) - 1} more"
            yield f"ordered and not fetched yet: {which}; `studio worker --pool remote --drain` fetches, orders nothing"

    def _check_destination(self, path: Path, suffix: str, overwrite: bool) -> Path:
        return check_destination(path, suffix=suffix, overwrite=overwrite, home=self.settings.home)

    def recipe(self, path: Path) -> Recipe:
        """Read how a clip was made: from its file, if that is intact and tells, else from this library's memory.

        Raises a `RequestError` where neither knows, or where the catalog has no such model.
        """
        verification = self.verify(path, search=False, with_checklist=False)
        recipe = recipe_of(verification.c2pa, verification.asset)
        spec = self.registry.catalog.get(recipe.request.model)
        if recipe.weights_sha256 is None or spec.weights is None or not self.registry.readiness(spec).ready:
            return recipe
        if WeightStore(self.settings).digest(spec) == recipe.weights_sha256:
            return recipe
        return replace(recipe, notes=(*recipe.notes, "recipe: it was made with other weights: frames will differ"))

    def prompt_proof(self, asset: Asset) -> dict[str, str]:
        """Return what proves an asset's prompts to others: the key of this one clip, and the digests in its file."""
        key = prompt_key(watermark_key(self.settings.identity_folder), asset.id)
        prompts = {name: str(asset.request.get(name, "")) for name in PROMPT_FIELDS}
        digests = {f"{name}_hmac_sha256": prompt_digest(key, name, words) for name, words in prompts.items() if words}
        return {"prompt_key": key, **digests}

    # -- after the fact -----------------------------------------------------------------------------------------

    def verify(self, path: Path, *, search: bool = True, with_checklist: bool = True) -> Verification:
        """Say what may be trusted about any file.

        search: where nothing else tells anything, take up to nine seconds to look for a mark in a changed picture.
        with_checklist: also look at the file itself, and at what the law wants to be disclosed.
        """
        return verify(path, self.settings, self.store, search=search, with_checklist=with_checklist)

    def check(self, path: Path, wish: CheckWish | None = None, watch: Watch = lambda _progress: None) -> Report:
        """Run the consistency checks on any video."""
        return check_one(path, self.settings, wish, watch)

    @cached_property
    def exports(self) -> Exports:
        return Exports(self.settings, self.store, Gate(self.settings, self.store), self.quarantine)

    def export(
        self,
        asset_id: str,
        destination: Path,
        wish: Wish | None = None,
        *,
        overwrite: bool = False,
        on_stage: Callable[[str], None] = lambda _stage: None,
    ) -> Exported:
        """Write a sealed file out of the library: byte for byte, or made anew as the file's ending and `wish` ask."""
        return self.exports.export(asset_id, destination, wish or Wish(), overwrite=overwrite, on_stage=on_stage)

    def extend(
        self,
        wish: ExtendWish,
        *,
        output: Path | None = None,
        overwrite: bool = False,
        observe: Observer = lambda _progress: None,
        warn: Callable[[str], None] = lambda _text: None,
        is_canceled: Callable[[], bool] = lambda: False,
    ) -> tuple[Outcome, Extension]:
        """Make a clip longer, seal the whole, and copy it to `output` if one is given; see `studio.extending`.

        Raises any `StudioError`; what was made until then is kept, and the same call again goes on from there.
        """
        destination = None if output is None else self._check_destination(output, ".mp4", overwrite)
        started = time.monotonic()
        extender = Extender(self.workshop, self.exports, self.remove)
        extension = extender.extend(wish, observe=observe, warn=warn, is_canceled=is_canceled)
        asset = extension.asset
        outcome = self._outcome(asset, started, destination, (), overwrite=overwrite)
        return outcome, extension

    def remove(self, asset_id: str) -> Asset:
        """Delete an asset for good, in the bin or not, and the request that made it; see `Curation.remove`."""
        return self.curation.remove(self.store.asset(asset_id).id)

    def waiting(self) -> list[str]:
        """Return the jobs whose clip was made and not sealed, those of processes that died included."""
        self.runner.recover()
        return self.quarantine.waiting()

    def waiting_job(self, job_id: str) -> JobRow | None:
        """Return the job of a clip that waits in quarantine; None where only the clip is left."""
        self._require_waiting(job_id)
        return self.store.job(job_id)

    def is_judged(self, job_id: str) -> bool:
        """Say whether a clip waits because its checks failed: it is held for review, or refused."""
        row = self.store.job(job_id)
        return row is not None and (row.state == JobState.HELD or row.reason == FailureReason.REFUSED)

    def retry_seal(self, job_id: str, observe: Observer = lambda _progress: None) -> Asset:
        """Seal a clip that waits in quarantine."""
        self._require_waiting(job_id)
        return self.runner.retry_seal(job_id, observe)

    def release(self, job_id: str, observe: Observer = lambda _progress: None) -> Asset:
        """Seal a clip that is held for review, whatever its checks say; file and library tell that it was released."""
        row = self.waiting_job(job_id)
        if row is None or row.state != JobState.HELD:
            fix = f"`studio quarantine retry {job_id}` checks and seals it"
            raise RequestError("this clip is not held for review", field="job", got=job_id, fix=fix)
        return self.runner.retry_seal(job_id, observe, is_released=True)

    def discard(self, job_id: str) -> None:
        """Give up a clip that waits in quarantine."""
        self._require_waiting(job_id)
        clear_embeddings(self.settings.embeddings_folder)
        self.runner.discard(job_id)
        if not self.store.has_asset(job_id):
            StampQueue(self.settings).done(job_id)

    def _require_waiting(self, job_id: str) -> None:
        waiting = self.waiting()
        if job_id not in waiting:
            raise RequestError(
                "no clip of this job waits in quarantine",
                field="job",
                got=job_id,
                allowed=", ".join(waiting) or "none waits",
            )

    def doctor(self) -> list[DoctorCheck]:
        """Examine this machine."""
        return examine(self.settings, self.registry)


__all__ = ["ModelEntry", "Outcome", "Progress", "Studio"]
