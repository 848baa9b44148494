"""What the tab Create reads and hands in beside its form: models, estimates, recipes of files, clips made longer."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from studio.app import ModelEntry
from studio.errors import UnsupportedValue
from studio.people.presets import recent_prompts
from studio.people.visitor import Action, NotAllowed
from ui.api.problems import Refusal, without_home
from ui.api.uploads import MAX_VIDEO_BYTES, receive_form
from ui.web.backstage.estimating import Estimated
from ui.web.backstage.extensions import ExtensionRun
from ui.web.form.choosing import default_model
from ui.web.form.forms import defaults_of, request_of
from ui.web.here import Asked, Here
from ui.web.routes.jobs import unless_known
from ui.web.views.errors import error_view
from ui.web.views.jobs import stage_text
from ui.web.views.models import estimate_view, in_order, model_view

router = APIRouter(prefix="/studio")


@router.get("/models")
def list_models(request: Request, here: Here) -> Response:
    """Return all models, those that are ready first, with what a clip takes as far as that is known by now."""
    entries = in_order(here.studio.models())
    told = [model_view(entry, _at_defaults(entry.spec.id, here) if _is_cheap(entry) else None, here.services.home)
            for entry in entries]  # fmt: skip
    visitor = here.visitor
    me = {"name": visitor.name, "is_local": visitor.is_local, "may_make": visitor.may(Action.MAKE)}
    return unless_known({"models": told, "default": default_model(here.studio, visitor), "visitor": me}, request)


@router.get("/models/{model}/estimate")
def show_model_estimate(model: str, here: Here) -> dict[str, Any]:
    """Return what a clip takes at a model's defaults, or that it is being worked out."""
    spec = here.studio.registry.catalog.get(model[:80])
    return estimate_view(_at_defaults(spec.id, here), spec, here.services.home)


@router.get("/estimates/{model}/{key}")
def show_estimate(model: str, key: str, here: Here) -> dict[str, Any]:
    """Return what came of an earlier question."""
    spec = here.studio.registry.catalog.get(model[:80])
    found = here.site.bench.estimator.known(key)
    if found is None:
        raise Refusal(404, "nobody asked for this, or too long ago", got=key)
    return estimate_view(found, spec, here.services.home)


@router.get("/prompts")
def list_prompts(here: Here) -> dict[str, Any]:
    """Return the prompts that the visitor used last, the latest first."""
    return {"prompts": recent_prompts(here.studio.store, here.visitor)}


@router.post("/recipe")
async def read_recipe(request: Request, here: Here) -> dict[str, Any]:
    """Read how a file was made, and keep that for an hour: the errand ``restore`` puts it into the form."""
    here.require(Action.MAKE)
    services = here.services
    async with services.folder.room() as folder:
        async with services.uploads.take():
            form = await receive_form(request, folder, files=frozenset({"file"}), limit=MAX_VIDEO_BYTES)
        path = form.files.get("file")
        if path is None:
            raise UnsupportedValue("a file is needed", field="file", got="none", fix="drop a clip")
        async with services.inspections.take():
            recipe = await run_in_threadpool(here.studio.recipe, path)
    key = here.site.bench.recipes.keep(recipe)
    notes = [without_home(note, services.home) for note in recipe.notes]
    return {"id": key, "model": recipe.request.model, "notes": notes}


@router.get("/extensions")
def list_extensions(request: Request, here: Here) -> Response:
    """Return the clips that are being made longer, or were lately, as far as the visitor may look after them."""
    runs = [_run_view(run, here) for run in here.site.bench.extensions.runs() if _is_theirs(run, here)]
    return unless_known({"extensions": runs}, request)


@router.post("/extensions/{run_id}/stop")
def stop_extension(run_id: str, here: Here) -> dict[str, Any]:
    """Stop a clip that is being made longer at its next step; what is finished of it is kept."""
    extensions = here.site.bench.extensions
    here.require(Action.MAKE)
    run = extensions.run(run_id)
    if not _is_theirs(run, here):
        raise NotAllowed("this is somebody else's", field="id", got=run_id[:40], allowed="its owner and admins")
    extensions.stop(run_id)
    return {"id": run_id}


def _is_cheap(entry: ModelEntry) -> bool:
    """Say whether a row's estimate may be asked for with all others: it is ready, or a matter of prices alone."""
    spec = entry.spec
    return spec.generator is not None and spec.retirement is None and (entry.readiness.ready or spec.where == "remote")


def _at_defaults(model: str, here: Asked) -> Estimated:
    spec = here.studio.registry.catalog.get(model)
    request, _ = request_of(spec, defaults_of(spec))
    return here.site.bench.estimator.ask(spec, request, 0.0)


def _is_theirs(run: ExtensionRun, here: Asked) -> bool:
    return here.visitor.is_admin or (here.visitor.name is not None and run.owner == here.visitor.name)


def _run_view(run: ExtensionRun, here: Asked) -> dict[str, Any]:
    progress = run.progress
    return {
        "id": run.id,
        "clip": run.clip,
        "model": run.model,
        "owner": run.owner,
        "state": run.state,
        "is_stopped": run.is_stopped,
        "stage": stage_text(progress.stage, progress.detail),
        "done": progress.done,
        "total": progress.total,
        "eta_seconds": progress.eta_seconds,
        "notes": [without_home(note, here.services.home) for note in run.notes],
        "asset_id": run.asset_id,
        "error": None if run.error is None else error_view(run.error, here.services.home),
        "started_at": run.started_at.isoformat(),
    }
