"""/v1/assets: the sealed files of the library."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import Response

from studio.library.asset import Asset
from studio.library.store import MAX_SEARCH_CHARACTERS
from ui.api import schemas
from ui.api.documented import answers
from ui.api.jobs import request_json
from ui.api.services import Here

router = APIRouter(prefix="/v1/assets", tags=["assets"])

AssetId = Annotated[str, Path(max_length=80, description="Id of the asset; a clip has that of the job that made it.")]
_CONTENT = {"description": "The file.", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}}
_NOT_SHOWN = frozenset({"path", "sidecar", "master"})


@router.get("", response_model=schemas.AssetList, responses=answers(404))
def list_assets(
    here: Here,
    text: Annotated[
        str, Query(max_length=MAX_SEARCH_CHARACTERS, description="Words of the prompt, the model or the id.")
    ] = "",
    model: Annotated[str | None, Query(max_length=80)] = None,
    flagged: Annotated[bool, Query(description="Only those that failed a check.")] = False,
    after: Annotated[str | None, Query(max_length=80, description="The last id of the page before.")] = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> Any:
    """List or search the library, newest first."""
    if after is not None:
        here.asset(after)
    assets = here.studio.store.assets(text=text, model=model, flagged=flagged, limit=limit + 1, after=after)
    data = [asset_json(asset) for asset in assets[:limit]]
    ids = [asset["id"] for asset in data]
    ends = {"first_id": ids[0] if ids else None, "last_id": ids[-1] if ids else None}
    return {"data": data, "has_more": len(assets) > limit, **ends}


@router.get("/{asset_id}", response_model=schemas.Asset, responses=answers(404))
def get_asset(asset_id: AssetId, here: Here) -> Any:
    """Show a sealed file."""
    return asset_json(here.asset(asset_id))


@router.get(
    "/{asset_id}/content",
    response_class=Response,
    responses=answers(404, 416, s200=_CONTENT, s206=_CONTENT, s304={"description": "Unchanged."}),
)
def get_asset_content(asset_id: AssetId, request: Request, here: Here) -> Response:
    """Return the file, byte for byte as it was sealed; its ETag is its SHA-256."""
    return here.sealed_file(here.asset(asset_id), request.headers)


@router.get("/{asset_id}/report", response_model=schemas.ConsistencyReport, responses=answers(404))
def get_asset_report(asset_id: AssetId, here: Here) -> Any:
    """Return what the checks found in the clip before it was sealed."""
    return {"passed": None, **here.asset(asset_id).report}


@router.delete("/{asset_id}", response_model=schemas.Deleted, responses=answers(404))
def delete_asset(asset_id: AssetId, here: Here) -> Any:
    """Delete a file and its row, and the job that made it. There is no way back."""
    asset = here.studio.remove(here.asset(asset_id).id)
    return schemas.Deleted(id=asset.id, object="asset.deleted")


def asset_json(asset: Asset) -> dict[str, Any]:
    """Return what is shown of an asset: nothing of this machine's folders."""
    data = {name: value for name, value in asset.as_json().items() if name not in _NOT_SHOWN}
    master = asset.master or {}
    told = {name: master.get(name) for name in ("provider", "attribution")}
    return data | told | {"request": request_json(asset.request)}
