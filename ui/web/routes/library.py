"""The Library: pages of assets, what people add to them, the bin, collections, and many in one ZIP."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.concurrency import run_in_threadpool
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from starlette.responses import Response

from studio.library.asset import Asset
from studio.library.query import LibraryQuery, Order
from studio.people.visitor import Action, NotAllowed
from ui.api.problems import Refusal, refusal_of
from ui.web.backstage.bundling import Download
from ui.web.here import Asked, Here
from ui.web.routes.jobs import unless_known
from ui.web.views.assets import facets_view, lineage_view, notes_view, page_view

router = APIRouter(prefix="/studio/library")

MAX_PAGE = 200
MAX_CHOSEN = 10_000
AssetIds = Annotated[list[str], Field(min_length=1, max_length=MAX_CHOSEN)]


class Filter(BaseModel):
    """What is looked for, as `LibraryQuery` knows it; empty words are as good as none."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(default="", max_length=2000)
    model: str = ""
    tag: str = ""
    collection: str = ""
    rating: int | None = None
    standing: str = ""
    kind: str = ""
    since: AwareDatetime | None = None
    until: AwareDatetime | None = None
    in_bin: bool = False
    order: Order = Order.NEWEST

    def query(self) -> LibraryQuery:
        """Return it as the library knows it. Raises `UnsupportedValue`."""
        return LibraryQuery(
            text=self.text,
            model=self.model or None,
            tag=self.tag or None,
            collection_id=self.collection or None,
            rating=self.rating,
            standing=self.standing or None,
            kind=self.kind or None,
            since=self.since,
            until=self.until,
            in_bin=self.in_bin,
            order=self.order,
        )


class Part(Filter):
    """A part of what is found."""

    offset: int = Field(default=0, ge=0)
    limit: int = Field(default=100, ge=1, le=MAX_PAGE)


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Chosen(_Body):
    """Assets that something is to be done with."""

    ids: AssetIds


class Rating(Chosen):
    """How good they are; None takes it back."""

    rating: int | None


class Caption(_Body):
    """What one shows."""

    id: str
    caption: str = Field(max_length=10_000)


class Tags(Chosen):
    """Tags to put on and to take off."""

    add: list[str] = Field(default=[], max_length=100)
    remove: list[str] = Field(default=[], max_length=100)


class Emptying(_Body):
    """What is to be deleted for good of what is in the bin; None for all that the visitor may delete."""

    ids: AssetIds | None = None


class Name(_Body):
    """Of a collection."""

    name: str = Field(max_length=1000)


# -- looking ------------------------------------------------------------------------------------------------------


@router.get("")
def list_assets(part: Annotated[Part, Query()], request: Request, here: Here) -> Response:
    """Return a part of what is found; 304 where nothing changed."""
    page = here.studio.curation.page(part.query(), part.offset, part.limit)
    return unless_known(page_view(page, part.offset, here.visitor, here.model_names), request)


@router.get("/ids")
def list_ids(wanted: Annotated[Filter, Query()], here: Here) -> dict[str, Any]:
    """Return the ids of what is found, in order, as many as may be chosen at once."""
    ids = here.studio.curation.ids(wanted.query())
    return {"ids": ids[:MAX_CHOSEN], "total": len(ids)}


@router.get("/facets")
def facets(request: Request, here: Here) -> Response:
    """Return what there is to choose from; 304 where nothing changed."""
    found = here.studio.curation.facets()
    owners = here.site.people.owners([item.id for item in found.collections])
    return unless_known(facets_view(found, here.visitor, owners, here.model_names), request)


@router.get("/assets/{asset_id}")
def show_notes(asset_id: str, here: Here) -> dict[str, Any]:
    """Return what people say of an asset."""
    return _notes(here.services.asset(asset_id), here)


@router.get("/assets/{asset_id}/lineage")
def show_lineage(asset_id: str, here: Here) -> dict[str, Any]:
    """Return what an asset was made from, and what was made from it."""
    return lineage_view(here.studio.curation.lineage(here.services.asset(asset_id).id))


# -- notes --------------------------------------------------------------------------------------------------------


@router.post("/rate")
def rate(wish: Rating, here: Here) -> dict[str, Any]:
    """Rate assets."""
    _require_own(here, wish.ids)
    here.studio.curation.rate(wish.ids, wish.rating)
    return {"ids": wish.ids}


@router.post("/caption")
def caption(wish: Caption, here: Here) -> dict[str, Any]:
    """Say in words what an asset shows."""
    _require_own(here, [wish.id])
    here.studio.curation.caption(wish.id, wish.caption)
    return _notes(here.services.asset(wish.id), here)


@router.post("/tag")
def tag(wish: Tags, here: Here) -> dict[str, Any]:
    """Put tags on assets and take tags off them."""
    _require_own(here, wish.ids)
    here.studio.curation.tag(wish.ids, wish.add, wish.remove)
    return {"ids": wish.ids}


# -- the bin ------------------------------------------------------------------------------------------------------


@router.post("/bin")
def put_into_bin(wish: Chosen, here: Here) -> dict[str, Any]:
    """Put assets into the bin; their files stay. Returns those that were not in it."""
    _require_own(here, wish.ids)
    return {"ids": here.studio.curation.bin(wish.ids)}


@router.post("/restore")
def restore(wish: Chosen, here: Here) -> dict[str, Any]:
    """Take assets out of the bin. Returns those that were in it."""
    _require_own(here, wish.ids)
    return {"ids": here.studio.curation.restore(wish.ids)}


@router.post("/empty")
def empty(wish: Emptying, here: Here) -> dict[str, Any]:
    """Delete for good what is in the bin, as far as it is the visitor's."""
    here.require(Action.CHANGE)
    curation = here.studio.curation
    if wish.ids is not None:
        _require_own(here, wish.ids)
        ids = wish.ids
    else:
        ids = curation.ids(LibraryQuery(in_bin=True))
        owners = {} if here.visitor.is_admin else here.site.people.owners(ids)
        ids = [asset_id for asset_id in ids if here.visitor.owns(owners.get(asset_id))]
    emptied = curation.empty_bin(ids)
    failed = [refusal_of(error, here.services.home).message for error in emptied.failed.values()]
    return {"removed": len(emptied.removed), "failed": failed}


# -- collections --------------------------------------------------------------------------------------------------


@router.post("/collections")
def create_collection(wish: Name, here: Here) -> dict[str, Any]:
    """Make an empty collection, which is the visitor's own."""
    here.require(Action.CHANGE)
    made = here.studio.curation.collections.create(wish.name)
    here.site.people.own(made.id, here.visitor.name)
    return {"id": made.id, "name": made.name}


@router.post("/collections/{collection_id}")
def rename_collection(collection_id: str, wish: Name, here: Here) -> dict[str, Any]:
    """Give a collection another name."""
    here.require(Action.CHANGE, collection_id)
    here.studio.curation.collections.rename(collection_id, wish.name)
    return {"id": collection_id}


@router.delete("/collections/{collection_id}")
def delete_collection(collection_id: str, here: Here) -> dict[str, Any]:
    """Delete a collection; what was in it stays."""
    here.require(Action.CHANGE, collection_id)
    here.studio.curation.collections.delete(collection_id)
    here.site.people.own(collection_id, None)
    return {"id": collection_id}


@router.post("/collections/{collection_id}/add")
def add_to_collection(collection_id: str, wish: Chosen, here: Here) -> dict[str, Any]:
    """Put assets, anybody's, into a collection."""
    here.require(Action.CHANGE, collection_id)
    here.studio.curation.collections.add(collection_id, wish.ids)
    return {"id": collection_id}


@router.post("/collections/{collection_id}/remove")
def remove_from_collection(collection_id: str, wish: Chosen, here: Here) -> dict[str, Any]:
    """Take assets out of a collection."""
    here.require(Action.CHANGE, collection_id)
    here.studio.curation.collections.remove(collection_id, wish.ids)
    return {"id": collection_id}


# -- many in one ZIP ----------------------------------------------------------------------------------------------


@router.post("/bundles")
def prepare_bundle(wish: Chosen, here: Here) -> dict[str, Any]:
    """Look whether assets can be put into one ZIP, and tell where it is downloaded from in the next ten minutes."""
    here.require(Action.LOOK)
    assets = here.studio.curation.bundles.chosen(wish.ids)
    missing = next((asset.id for asset in assets if not asset.is_there), None)
    if missing is not None:
        raise Refusal(409, "a file of the library is gone", field="ids", got=missing, fix="leave it out")
    ticket = here.site.tickets.give([asset.id for asset in assets], here.visitor.name)
    size_bytes = sum(asset.size_bytes for asset in assets)
    return {"url": f"/studio/library/bundles/{ticket}", "number": len(assets), "size_bytes": size_bytes}


@router.get("/bundles/{ticket}")
async def send_bundle(ticket: str, here: Here) -> Response:
    """Send the ZIP: the sealed files byte for byte, and a manifest."""
    ids = here.site.tickets.take(ticket, here.visitor.name)
    bundles = here.studio.curation.bundles
    assets = await run_in_threadpool(bundles.chosen, ids)
    name = f"studio-clips-{datetime.now(UTC):%Y%m%d-%H%M%S}.zip"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "private, no-store"}
    return Download(bundles, assets, here.site.tickets.slots, headers)


def _notes(asset: Asset, here: Asked) -> dict[str, Any]:
    curation = here.studio.curation
    found = curation.items([asset.id])
    if not found:
        raise Refusal(404, "no such asset in the library", field="id", got=asset.id)
    return notes_view(found[0], curation.collections.of(asset.id), here.visitor, here.model_names)


def _require_own(here: Asked, ids: Iterable[str]) -> None:
    """Raise `NotAllowed` unless the visitor may change all of these, and say how many are somebody else's."""
    here.require(Action.CHANGE)
    if here.visitor.is_admin:
        return
    wanted = list(dict.fromkeys(ids))
    owners = here.site.people.owners(wanted)
    others = [asset_id for asset_id in wanted if not here.visitor.owns(owners.get(asset_id))]
    if others:
        raise NotAllowed(
            "some of these are somebody else's, and you may only look at them",
            field="ids",
            got=f"{len(others)} of {len(wanted)}",
            allowed="your own",
            fix="choose your own alone",
        )
