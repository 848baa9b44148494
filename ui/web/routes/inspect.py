"""The tab Inspect: any file from anywhere is verified at once, and a video is checked in the background."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from studio.errors import UnsupportedValue
from studio.people.visitor import Action
from studio.provenance.shown import one_line
from studio.recipe import recipe_of
from ui.api.problems import Refusal
from ui.api.uploads import MAX_VIDEO_BYTES, Form, receive_form
from ui.web.here import Here
from ui.web.routes.jobs import unless_known
from ui.web.views.inspections import inspection_view
from ui.web.views.reports import report_view

router = APIRouter(prefix="/studio/inspect")

_FILES = frozenset({"file", "sidecar"})
_MAX_NAME = 200


@router.post("", status_code=202)
async def inspect(request: Request, here: Here) -> dict[str, Any]:
    """Take a file, and a ``.c2pa`` record from beside it if there is one; what is found is read from its own path.

    It lies in a folder of its own until it is verified and checked, and nothing of it is ever served.
    """
    here.require(Action.LOOK)
    inspections, services = here.site.inspections, here.services
    inspections.require_place(here.visitor)
    async with AsyncExitStack() as stack:
        folder = await stack.enter_async_context(services.folder.room())
        async with services.uploads.take():
            form = await receive_form(request, folder, files=_FILES, limit=MAX_VIDEO_BYTES)
        path = form.files.get("file")
        if path is None:
            raise UnsupportedValue("a file is needed", field="file", got="none", fix="choose a video or a picture")
        if "sidecar" in form.files:
            form.files["sidecar"].rename(path.with_name(path.name + ".c2pa"))
        inspection = inspections.begin(path, _name(form), here.visitor, stack.pop_all())
    return inspection_view(inspection, services.home)


@router.get("/asset/{asset_id}")
async def inspect_asset(asset_id: str, here: Here) -> dict[str, Any]:
    """Return everything about a file of the library: looked at once for each state that it is in."""
    asset, seals = await run_in_threadpool(here.services.asset, asset_id), here.site.seals
    verification = await run_in_threadpool(seals.known_whole, asset)
    if verification is None:
        async with here.services.inspections.take():
            verification = await run_in_threadpool(seals.look_whole, asset)
    return {
        "asset": asset.id,
        "kind": asset.kind,
        "num_frames": asset.num_frames,
        "frame_rate": float(asset.frame_rate),
        "verification": verification,
        "consistency": report_view(asset.report),
    }


@router.get("/{inspection_id}")
async def show(inspection_id: str, request: Request, here: Here) -> Response:
    """Return how far an inspection is and what it has found; 304 where nothing changed."""
    found = here.site.inspections.get(inspection_id, here.visitor)
    return unless_known(inspection_view(found, here.services.home), request)


@router.post("/{inspection_id}/cancel")
async def cancel(inspection_id: str, here: Here) -> dict[str, Any]:
    """Stop the checks; what the verification found stays."""
    return inspection_view(here.site.inspections.cancel(inspection_id, here.visitor), here.services.home)


@router.post("/{inspection_id}/recipe")
async def keep_recipe(inspection_id: str, here: Here) -> dict[str, Any]:
    """Keep how an inspected file was made for an hour: the errand ``restore`` puts it into the form."""
    here.require(Action.MAKE)
    found = here.site.inspections.get(inspection_id, here.visitor).found
    if found is None:
        raise Refusal(409, "the file is not verified yet", field="inspection", got=inspection_id)
    recipe = recipe_of(found.c2pa, found.asset)
    here.studio.registry.catalog.get(recipe.request.model)
    return {"id": here.site.bench.recipes.keep(recipe), "model": recipe.request.model}


@router.delete("/{inspection_id}")
async def remove(inspection_id: str, here: Here) -> dict[str, Any]:
    """Stop an inspection and forget what it found."""
    await here.site.inspections.remove(inspection_id, here.visitor)
    return {"id": inspection_id, "removed": True}


def _name(form: Form) -> str:
    """Return what the file is called where it comes from: for people, never for a path."""
    return one_line(form.fields.get("name", ""), _MAX_NAME) or form.files["file"].name
