"""One file of the library: all that is known of it, whether its seal holds, and new files made out of it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from studio.errors import StoreFault, UnsupportedValue
from studio.export.derivation import Wish
from studio.library.asset import Asset
from studio.library.lineage import sources_of
from studio.people.visitor import Action
from ui.api.problems import Refusal
from ui.web.here import Asked, Here
from ui.web.routes.jobs import unless_known
from ui.web.views.clips import ClipSurroundings, clip_view

router = APIRouter(prefix="/studio/clips")

_PICTURE = "png"
_SECONDS = Field(default=None, ge=0, le=10**6)


class ExportWish(BaseModel):
    """What is to be made of a clip. start, end: seconds. frame: 0 is the first, -1 the last. width: pixels."""

    model_config = ConfigDict(extra="forbid")

    format: Literal["mp4", "mov", "webm", "mkv", "gif", "webp", "png", "jpg", "wav"]
    frame: int | None = Field(default=None, ge=-1, le=10**7)
    start: float | None = _SECONDS
    end: float | None = _SECONDS
    width: int | None = Field(default=None, ge=1, le=10**5)
    frame_rate: float | None = Field(default=None, gt=0, le=1000)

    def wish(self) -> Wish:
        """Return it as the studio knows it."""
        return Wish(
            frame=self.frame,
            start=_exact(self.start),
            end=_exact(self.end),
            width=self.width,
            frame_rate=_exact(self.frame_rate),
        )


@router.get("/{asset_id}")
def show_clip(asset_id: str, request: Request, here: Here) -> Response:
    """Return everything that a page shows of an asset; 304 where nothing changed."""
    return unless_known(told(here.services.asset(asset_id), here), request)


@router.get("/{asset_id}/verification")
async def verify_clip(asset_id: str, here: Here) -> dict[str, Any]:
    """Return whether the seal of an asset's file holds now. Looked at once for each state that the file is in."""
    asset, seals = await run_in_threadpool(here.services.asset, asset_id), here.site.seals
    if (known := await run_in_threadpool(seals.known, asset)) is not None:
        return known
    async with here.services.inspections.take():
        return await run_in_threadpool(seals.look, asset)


@router.get("/{asset_id}/sidecar")
def sidecar(asset_id: str, here: Here) -> Response:
    """Return the Content Credentials of a file that cannot hold them."""
    asset = here.services.asset(asset_id)
    path = asset.sidecar
    if path is None:
        raise Refusal(404, "its Content Credentials are inside the file", field="id", got=asset_id)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise StoreFault(
            f"the record cannot be read ({error.strerror or error})", field="asset", got=asset_id
        ) from error
    name = f'attachment; filename="{asset.id}{path.suffix}"'
    return Response(content, media_type="application/c2pa", headers={"content-disposition": name})


@router.post("/{asset_id}/last-frame")
async def last_frame(asset_id: str, here: Here) -> dict[str, Any]:
    """Make a sealed picture of a clip's last frame, or find the one that the visitor has made before."""
    here.require(Action.MAKE)
    asset = await run_in_threadpool(here.services.asset, asset_id)
    made = await run_in_threadpool(_picture_of_last_frame, asset, here)
    if made is not None:
        return _told_of(made) | {"notes": []}
    return await _exported(asset, ExportWish(format="png", frame=-1), here)


@router.post("/{asset_id}/export")
async def export(asset_id: str, wish: ExportWish, here: Here) -> dict[str, Any]:
    """Make another file of an asset, seal it and keep it; it is downloaded from ``url``, with ``sidecar`` beside it."""
    here.require(Action.MAKE)
    return await _exported(await run_in_threadpool(here.services.asset, asset_id), wish, here)


def told(asset: Asset, here: Asked) -> dict[str, Any]:
    """Return what a page shows of an asset."""
    studio = here.studio
    children = studio.store.children(asset.id)
    items = {item.id: item for item in studio.curation.items([asset.id, *(child.id for child in children)])}
    job = None if asset.job_id is None else studio.store.job(asset.job_id)
    with studio.store.database.read() as session:
        sources = sources_of(session, [asset.id]).get(asset.id, [])
    around = ClipSurroundings(
        model_name=here.model_names.get(asset.model, asset.model),
        item=items.get(asset.id),
        children=[items[child.id] for child in children if child.id in items and items[child.id].binned_at is None],
        sources=sources,
        terms=None if job is None else job.terms,
        cost=None if job is None else job.billed or job.estimate,
        is_billed=job is not None and job.billed is not None,
    )
    return clip_view(asset, around, here.visitor)


async def _exported(asset: Asset, wish: ExportWish, here: Asked) -> dict[str, Any]:
    async with here.site.exports.take():
        made = await run_in_threadpool(_export, asset, wish, here)
    return _told_of(made) | {"notes": list((made.derivation or {}).get("notes", ()))}


def _export(asset: Asset, wish: ExportWish, here: Asked) -> Asset:
    made = here.studio.exports.make(asset.id, f".{wish.format}", wish.wish())
    if made.id != asset.id:
        here.site.people.own(made.id, here.visitor.name)
    return made


def _picture_of_last_frame(asset: Asset, here: Asked) -> Asset | None:
    """Return the picture of a clip's last frame that the visitor has in the library, None if there is none."""
    found = [child for child in here.studio.store.children(asset.id) if _is_last_frame(child, asset)]
    items = {item.id: item for item in here.studio.curation.items([child.id for child in found])}
    own = here.visitor.name or ""
    kept = (child for child in found if items[child.id].binned_at is None and items[child.id].owner == own)
    return next((child for child in kept if child.is_there), None)


def _is_last_frame(child: Asset, parent: Asset) -> bool:
    is_whole = (child.width, child.height) == (parent.width, parent.height)
    derivation = child.derivation or {}
    is_last = child.num_frames == 1 and derivation.get("frame") == parent.num_frames - 1
    return is_whole and is_last and child.mime_type == f"image/{_PICTURE}"


def _told_of(asset: Asset) -> dict[str, Any]:
    return {
        "asset": asset.id,
        "kind": asset.kind,
        "name": f"{asset.id}{Path(asset.name).suffix}",
        "url": f"/studio/media/{asset.id}",
        "sidecar": f"/studio/clips/{asset.id}/sidecar" if asset.sidecar is not None else None,
    }


def _exact(value: float | None) -> Fraction | None:
    if value is None:
        return None
    try:
        return Fraction(str(value))
    except ValueError:  # "inf" and "nan" are floats too
        raise UnsupportedValue("this is no number", field="start", got=value, allowed="seconds") from None
