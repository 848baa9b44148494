"""What a form is filled with, and whence: ids alone, the rest is read from the library again and again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa

from studio.app import Studio
from studio.catalog.schema import ModelSpec
from studio.errors import StudioError, UnsupportedValue
from studio.jobs.job import Job
from studio.library.asset import Asset
from studio.library.tables import AssetRow
from studio.people.presets import Presets, last_job
from studio.people.visitor import Action, Visitor, require
from studio.request import ResolvedRequest, Role
from ui.web.backstage.bench import Bench
from ui.web.form.choosing import can_be_chosen, default_model
from ui.web.form.forms import values_of
from ui.web.words import say

Mode = Literal["new", "edit", "extend"]
Source = Literal["last", "empty", "asset", "job", "recipe", "preset"]


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A picture or video that needs no upload. asset: of the library, whose file it is. job: it was handed in with.

    number: its place among the files of that job.
    """

    role: str
    asset: str | None = None
    job: str | None = None
    number: int = 0


@dataclass(frozen=True, kw_only=True)
class FormState:
    """model: None takes the visitor's usual. fill: goes up where fields are filled anew, and not kept as they are.

    source, source_id: whence the values come. mode, subject: job that is edited, or asset that is made longer.
    missing: roles of pictures that have to be added again. draft: what was typed and not handed in yet, by field.
    """

    model: str | None = None
    fill: int = 0
    source: Source = "last"
    source_id: str = ""
    mode: Mode = "new"
    subject: str = ""
    kept: tuple[Kept, ...] = ()
    missing: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    draft: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return what the page's session holds."""
        draft = {"draft": dict(self.draft)}
        lists = {"missing": list(self.missing), "notes": list(self.notes), "kept": [vars(item) for item in self.kept]}
        return {**vars(self), **lists, **draft}

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> FormState:
        """Return what `as_json` wrote."""
        if not data:
            return cls()
        kept = tuple(Kept(**item) for item in data["kept"])
        return cls(**{**data, "kept": kept, "missing": tuple(data["missing"]), "notes": tuple(data["notes"])})

    def without(self, kept: Kept) -> FormState:
        """Return it without one of the pictures."""
        return replace(self, kept=tuple(item for item in self.kept if item != kept))


@dataclass(frozen=True)
class Filler:
    """Reads for one visitor what forms are filled with."""

    studio: Studio
    bench: Bench
    visitor: Visitor

    def spec(self, state: FormState) -> ModelSpec:
        """Return the row of the form; another one where the catalog no longer has it."""
        rows = {spec.id: spec for spec in self.studio.registry.catalog}
        chosen = state.model if state.model in rows else default_model(self.studio, self.visitor)
        return rows[chosen] if chosen in rows else next(iter(rows.values()))

    def values(self, state: FormState, spec: ModelSpec) -> dict[str, Any]:
        """Return what stands in the form at first, by field; what is left out stands at the row's default."""
        return self._values(state, spec) | dict(state.draft)

    def _values(self, state: FormState, spec: ModelSpec) -> dict[str, Any]:
        match state.source:
            case "last":
                return self._last(spec)
            case "asset":
                return values_of(spec, _resolved(self.studio.store.asset(state.source_id).request))
            case "job":
                return self._job_values(spec, self.studio.desk.job(state.source_id))
            case "recipe":
                return values_of(spec, self.bench.recipes.recipe(state.source_id).request)
            case "preset":
                return Presets(self.studio.store).preset(self.visitor, state.source_id).values
            case "empty":
                return {}

    def paths(self, kept: Sequence[Kept]) -> dict[str, list[str]]:
        """Return where the files of kept pictures lie, by role. Raises a `StudioError` for one that is gone."""
        found: dict[str, list[str]] = {}
        for item in kept:
            found.setdefault(item.role, []).append(str(self._path(item)))
        return found

    def _path(self, kept: Kept) -> Path:
        if kept.asset is not None:
            return self.studio.store.asset(kept.asset).path
        job = self.studio.desk.job(kept.job or "")
        inputs = self.studio.workshop.inputs.of(job.id, _resolved(job.request)).conditionings
        return inputs[kept.number].path

    def _last(self, spec: ModelSpec) -> dict[str, Any]:
        job = last_job(self.studio.store, self.visitor, spec.id)
        values = {} if job is None else values_of(spec, _resolved(job.request))
        values.pop("seed", None)
        return values

    def _job_values(self, spec: ModelSpec, job: Job) -> dict[str, Any]:
        values = values_of(spec, _resolved(job.request)) | {"priority": job.priority}
        if job.terms is not None:
            policy, _, retries = str(job.terms.policy).partition(":")
            values |= {"on_fail": policy, "label": job.terms.label}
            values |= {"retries": int(retries)} if retries else {}
        return values

    # -- errands --------------------------------------------------------------------------------------------------

    def of_errand(self, errand: Mapping[str, Any], old: FormState) -> FormState:
        """Return the form that an errand asks for. Raises a `StudioError` for what is not there."""
        fresh = FormState(model=old.model, fill=old.fill + 1)
        match errand.get("do"):
            case "again":
                return self._again(self.studio.store.asset(_id(errand, "asset")), fresh)
            case "restore":
                return self._restore(_id(errand, "recipe"), fresh)
            case "first-frame":
                return self._first_frame(self.studio.store.asset(_id(errand, "asset")), old)
            case "extend":
                return self._extend(self.studio.store.asset(_id(errand, "asset")), fresh)
            case "edit":
                return self._edit(self.studio.desk.job(_id(errand, "job")), fresh)
        raise UnsupportedValue("nobody knows this errand", field="do", got=str(errand.get("do"))[:40])

    def _again(self, asset: Asset, fresh: FormState) -> FormState:
        if asset.derivation is not None and asset.parent_id is not None:  # a still or a trim: its clip is meant
            asset = self.studio.store.asset(asset.parent_id)
        is_own = asset.job_id is not None and self.studio.people.may_change(self.visitor, asset.job_id)
        kept, missing = self._inputs(_resolved(asset.request), asset.job_id if is_own else None)
        note = say("create.recipe.again", asset=asset.id)
        return replace(fresh, model=asset.model, source="asset", source_id=asset.id, kept=kept, missing=missing,
                       notes=(note,))  # fmt: skip

    def _restore(self, recipe_id: str, fresh: FormState) -> FormState:
        recipe = self.bench.recipes.recipe(recipe_id)
        found = [(item, self._asset_with(item.sha256)) for item in recipe.inputs]
        kept = tuple(Kept(role=item.role.value, asset=asset) for item, asset in found if asset is not None)
        missing = tuple(item.role.value for item, asset in found if asset is None)
        notes = [say("create.recipe.title"), *(note.removeprefix("recipe: ") for note in recipe.notes)]
        notes += [say("create.recipe.no_prompt")] if recipe.keeps_prompt else []
        notes += [] if missing or recipe.keeps_prompt or recipe.notes else [say("create.recipe.same")]
        return replace(fresh, model=recipe.request.model, source="recipe", source_id=recipe_id, kept=kept,
                       missing=missing, notes=tuple(notes))  # fmt: skip

    def _first_frame(self, asset: Asset, old: FormState) -> FormState:
        spec = self.spec(old)
        roles = {Role.FIRST_FRAME.value}
        model = spec.id if _takes_first_frame(spec) else self._model_for_pictures()
        others = tuple(item for item in old.kept if item.role not in roles) if old.mode == "new" else ()
        draft = {name: value for name, value in old.draft.items() if name not in roles}
        return replace(old, model=model, mode="new", draft=draft, subject="", notes=(), missing=(), fill=old.fill + 1,
                       kept=(*others, Kept(role=Role.FIRST_FRAME.value, asset=asset.id)))  # fmt: skip

    def _extend(self, asset: Asset, fresh: FormState) -> FormState:
        return replace(fresh, model=asset.model, mode="extend", subject=asset.id, source="empty")

    def _edit(self, job: Job, fresh: FormState) -> FormState:
        require(self.visitor, Action.CHANGE, job.id, self.studio.people)
        kept, missing = self._inputs(_resolved(job.request), job.id)
        return replace(fresh, model=job.model, mode="edit", subject=job.id, source="job", source_id=job.id, kept=kept,
                       missing=missing)  # fmt: skip

    def _inputs(self, request: ResolvedRequest, job_id: str | None) -> tuple[tuple[Kept, ...], tuple[str, ...]]:
        """Return the pictures of a request that are still here, and the roles of those that are not."""
        kept: list[Kept] = []
        missing: list[str] = []
        for number, item in enumerate(request.conditionings):
            asset = None if item.sha256 is None else self._asset_with(item.sha256)
            of_job = Kept(role=item.role.value, job=job_id, number=number)
            if asset is not None:
                kept.append(Kept(role=item.role.value, asset=asset))
            elif job_id is not None and self._is_there(of_job):
                kept.append(of_job)
            else:
                missing.append(item.role.value)
        return tuple(kept), tuple(missing)

    def _is_there(self, kept: Kept) -> bool:
        try:
            return self._path(kept).is_file()
        except (StudioError, OSError):
            return False

    def _asset_with(self, sha256: str) -> str | None:
        with self.studio.store.database.read() as session:
            return session.scalar(sa.select(AssetRow.id).where(AssetRow.sha256 == sha256).limit(1))

    def _model_for_pictures(self) -> str | None:
        rows = [item.spec for item in self.studio.models() if item.readiness.ready and can_be_chosen(item.spec)]
        return next((spec.id for spec in rows if _takes_first_frame(spec)), None)


def _takes_first_frame(spec: ModelSpec) -> bool:
    from ui.web.form.fields import fields_of

    return any(field.name == Role.FIRST_FRAME.value for field in fields_of(spec))


def _resolved(request: Mapping[str, Any]) -> ResolvedRequest:
    return ResolvedRequest.from_json(request)


def _id(errand: Mapping[str, Any], name: str) -> str:
    found = errand.get(name)
    if not isinstance(found, str) or not 0 < len(found) <= 40:
        raise UnsupportedValue("an errand names what it is about", field=name, got=str(found)[:40])
    return found
