"""Comparisons as the page shows them: planned, made, voted on, ranked, and taken along as one file."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import FileResponse, Response
from starlette.types import Receive, Scope, Send

from studio.comparing.comparison import Comparison
from studio.comparing.rows import UnknownComparison
from studio.comparing.wish import CompareWish
from studio.library.asset import Asset
from studio.library.lineage import sources_of
from studio.people.visitor import Action
from studio.request import Conditioning
from ui.api import asks
from ui.api.problems import Refusal
from ui.api.uploads import Form
from ui.web.here import Asked, Here
from ui.web.routes.compare_asks import CompareAsk, kept_pictures, pictures_of_form, received
from ui.web.routes.jobs import unless_known
from ui.web.views.comparisons import (
    base_view,
    card_view,
    comparison_view,
    entry_label,
    model_view,
    plan_view,
    ranking_view,
)

router = APIRouter(prefix="/studio/comparisons")

MAX_LISTED = 60
MAX_IN_REPORT = 50


class LabelAsk(asks.Ask):
    """Another title or other tags of a comparison; what is left out stays."""

    title: str | None = None
    tags: list[str] | None = None


class OnceFile(FileResponse):
    """A file whose place is given back as soon as it was sent, or whoever asked for it went away.

    place: what keeps the file there, such as an upload folder's room.
    """

    def __init__(self, path: Path, place: AsyncExitStack) -> None:
        super().__init__(path, media_type="text/html", filename=path.name, headers={"cache-control": "no-store"})
        self._place = place

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        async with self._place:
            await super().__call__(scope, receive, send)


@router.get("/models")
def list_models(request: Request, here: Here) -> Response:
    """Return what can be compared: every model of the catalog, with the rules of its parameters."""
    return unless_known({"models": [model_view(entry) for entry in here.studio.models()]}, request)


@router.get("/base/{asset_id}")
def show_base(asset_id: str, here: Here) -> dict[str, Any]:
    """Return a clip's own request, to begin a comparison with."""
    asset = here.services.asset(asset_id)
    if asset.derivation is not None or "num_frames" not in asset.request:
        raise Refusal(422, "this file was made out of a clip", field="asset", got=asset_id,
                      fix="compare the clip that it was made from")  # fmt: skip
    return base_view(asset, len(kept_pictures(asset, _files_of(asset, here))))


@router.post("/plan")
async def plan(request: Request, here: Here) -> dict[str, Any]:
    """Return what would be made of each contestant, how it differs from what was asked, and what it costs."""
    here.require(Action.MAKE)
    async with received(request, here) as (asked, form):

        def work() -> dict[str, Any]:
            planned = here.studio.comparisons.plan(_wish(asked, form, here))
            return plan_view(planned, here.model_names, here.services.home)

        return await run_in_threadpool(work)


@router.post("")
async def start(request: Request, here: Here) -> dict[str, Any]:
    """Enter a comparison and put its jobs into the queue. They belong to whoever asks."""
    here.require(Action.MAKE)
    async with received(request, here) as (asked, form):

        def work() -> dict[str, Any]:
            wish = replace(_wish(asked, form, here), owner=here.visitor.name)
            return view(here.studio.comparisons.start(wish), here)

        return await run_in_threadpool(work)


@router.get("")
def list_comparisons(
    request: Request, here: Here, after: Annotated[str | None, Query(max_length=80)] = None
) -> Response:
    """Return comparisons, the newest first. after: only those that follow the one with this id."""
    found = here.studio.comparisons.list(MAX_LISTED, None if after is None else one(after, here).id)
    owners = here.site.people.owners([item.id for item in found])
    names = here.model_names
    told = {
        "comparisons": [card_view(item, names, owners.get(item.id)) for item in found],
        "has_more": len(found) == MAX_LISTED,
        "tags": list(here.studio.comparisons.tags()),
        "can_make": here.visitor.may(Action.MAKE),
    }
    return unless_known(told, request)


@router.get("/ranking")
def show_ranking(
    request: Request,
    here: Here,
    by: Literal["model", "entry"] = "model",
    comparison: Annotated[str | None, Query(max_length=80)] = None,
    tag: Annotated[str | None, Query(max_length=200)] = None,
) -> Response:
    """Return who is better, as far as the votes allow to say."""
    found = None if comparison is None else one(comparison, here)
    ranking = here.studio.comparisons.ranking(by, comparison_id=None if found is None else found.id, tag=tag or None)
    names = here.model_names
    if found is not None and by == "entry":
        names = {str(entry.number): entry_label(entry, names) for entry in found.entries}
    tags = list(here.studio.comparisons.tags())
    return unless_known(ranking_view(ranking, names) | {"tags": tags}, request)


@router.get("/report")
async def take_along(
    here: Here, ids: Annotated[list[str], Query(min_length=1, max_length=MAX_IN_REPORT, alias="id")]
) -> Response:
    """Return one self-contained page about comparisons, with their sealed clips in it."""

    def work(folder: Path) -> Path:
        found = [one(item, here) for item in dict.fromkeys(ids)]
        name = f"comparison-{found[0].id}.html" if len(found) == 1 else f"comparisons-{len(found)}.html"
        return here.studio.comparisons.write_report([item.id for item in found], folder / name).path

    async with AsyncExitStack() as stack:
        async with here.site.exports.take():
            folder = await stack.enter_async_context(here.services.folder.room())
            path = await run_in_threadpool(work, folder)
        return OnceFile(path, stack.pop_all())


@router.get("/{comparison_id}")
def show(comparison_id: str, request: Request, here: Here) -> Response:
    """Return a comparison with what has become of its contestants."""
    return unless_known(view(one(comparison_id, here), here), request)


@router.post("/{comparison_id}/label")
def relabel(comparison_id: str, asked: LabelAsk, here: Here) -> dict[str, Any]:
    """Give a comparison another title, or other tags."""
    found = _own(comparison_id, here)
    return view(here.studio.comparisons.relabel(found.id, title=asked.title, tags=asked.tags), here)


@router.post("/{comparison_id}/cancel")
def cancel(comparison_id: str, here: Here) -> dict[str, Any]:
    """Cancel whatever of a comparison is not made yet; what is made stays."""
    found = _own(comparison_id, here)
    for entry in found.entries:
        if entry.job is not None and not entry.is_over:
            here.require(Action.CHANGE, entry.job.id)
            here.studio.desk.cancel(entry.job.id)
    return view(one(found.id, here), here)


@router.post("/{comparison_id}/remove")
def remove(comparison_id: str, here: Here) -> dict[str, Any]:
    """Forget a comparison and its votes; its jobs and clips stay."""
    found = here.studio.comparisons.remove(_own(comparison_id, here).id)
    return {"id": found.id, "removed": True}


def one(comparison_id: str, here: Asked) -> Comparison:
    """Return the comparison with exactly this id. Raises a `Refusal` with 404."""
    try:
        found = here.studio.comparisons.get(comparison_id)
    except UnknownComparison:
        found = None
    if found is None or found.id != comparison_id:
        raise Refusal(404, "there is no such comparison", field="comparison", got=comparison_id)
    return found


def view(found: Comparison, here: Asked) -> dict[str, Any]:
    """Return what a page shows of a comparison."""
    return comparison_view(
        found,
        here.visitor,
        here.services.home,
        here.model_names,
        owner=here.site.people.owners([found.id]).get(found.id),
        my_votes=here.studio.comparisons.count_votes(found.id, here.visitor.name or ""),
    )


def _own(comparison_id: str, here: Asked) -> Comparison:
    found = one(comparison_id, here)
    here.require(Action.CHANGE, found.id)
    return found


def _wish(asked: CompareAsk, form: Form, here: Asked) -> CompareWish:
    return asked.wish(pictures_of_form(form) or _pictures_of(asked, here))


def _pictures_of(asked: CompareAsk, here: Asked) -> tuple[Conditioning, ...]:
    if asked.pictures_of is None:
        return ()
    asset = here.services.asset(asked.pictures_of)
    return kept_pictures(asset, _files_of(asset, here))


def _files_of(asset: Asset, here: Asked) -> dict[str, Path]:
    """Return the files of the library that a clip was made from, by SHA-256."""
    with here.studio.store.database.read() as session:
        sources = sources_of(session, [asset.id]).get(asset.id, [])
    known = {str(item["sha256"]): str(item["id"]) for item in sources if item["id"] and item["sha256"]}
    return {sha256: here.services.asset(asset_id).path for sha256, asset_id in known.items()}
