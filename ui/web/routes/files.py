"""The page's own scripts, styles and sentences, and the sealed files that it shows."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import resources

from fastapi import APIRouter, Request
from starlette.responses import Response

from ui.api.problems import Refusal
from ui.web.here import Here
from ui.web.words import words

router = APIRouter(prefix="/studio")

_FRAME = "studio.css"
_NOT_OF_THE_PAGE = frozenset({"login.css"})
_TYPES = {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}


@router.get("/static/{name}")
def static(name: str, request: Request) -> Response:
    """Return one of the page's own files."""
    found = _files().get(name)
    if found is None:
        raise Refusal(404, "the page has no such file", got=name)
    return _unless_known(*found, request)


@router.get("/page.css")
def styles(request: Request) -> Response:
    """Return all styles of the page as one file: the frame's, then those of its parts."""
    parts = sorted(name for name in _files() if name.endswith(".css") and name not in _NOT_OF_THE_PAGE)
    parts.sort(key=lambda name: name != _FRAME)
    return _unless_known(b"\n".join(_files()[name][0] for name in parts), "text/css", request)


@router.get("/words.json")
def sentences(request: Request) -> Response:
    """Return everything that the scripts say."""
    return _unless_known(json.dumps(words()).encode(), "application/json", request)


@router.get("/media/{asset_id}")
@router.head("/media/{asset_id}")
def media(asset_id: str, request: Request, here: Here) -> Response:
    """Return a sealed file, byte for byte; its ETag is its SHA-256. Nothing else serves clips."""
    return here.services.sealed_file(here.services.asset(asset_id), request.headers)


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    folder = resources.files("ui.web").joinpath("static")
    kept = (item for item in folder.iterdir() if item.name.rpartition(".")[2] in _TYPES)
    return {item.name: (item.read_bytes(), _TYPES[item.name.rpartition(".")[2]]) for item in kept}


def _unless_known(content: bytes, media_type: str, request: Request) -> Response:
    """Return the content, or that the browser has it already: it asks each time, so that an update is seen at once."""
    tag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
    headers = {"etag": tag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)
