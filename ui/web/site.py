"""Serves the page: gradio within a FastAPI app of the studio's own routes, behind a door that decides who comes in."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

# Read when gradio is imported: it asks nobody for anything, and tells nobody that it runs.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
import gradio as gr

from studio.app import Studio
from studio.errors import StudioError
from ui.api.bodies import refusal_of_errors
from ui.api.problems import Refusal, refusal_of
from ui.api.services import Services
from ui.web.app import build_app
from ui.web.entrance.door import Door
from ui.web.frame.theme import theme
from ui.web.here import Site
from ui.web.routes import batches, clips, compare, create, files, inspect, jobs, library, people, settings, voting
from ui.web.uploaded import UploadedOnly
from ui.web.uploading import Uploads

ROUTES = (files, jobs, batches, create, clips, compare, voting, library, inspect, settings, people)
MAX_UPLOAD_BYTES = 64 * 2**20
_HEAD = """
<link rel="icon" href="/studio/static/mark.svg" type="image/svg+xml">
<link rel="stylesheet" href="/studio/page.css">
<link rel="modulepreload" href="/studio/static/studio.js">
<link rel="modulepreload" href="/studio/static/header.js">
<script type="module" src="/studio/static/studio.js"></script>
"""
_log = logging.getLogger("studio.web")


def create_site(studio: Studio, *, needs_login: bool = False, is_https: bool = False) -> FastAPI:
    """Return the whole site over a studio, whose database is opened.

    needs_login: every visitor has to log in; else whoever reaches this machine's loopback is its owner.
    """
    site = Site.of(Services.of(studio))

    app = FastAPI(title="Local video studio", lifespan=site.lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.services, app.state.site = site.services, site
    for module in ROUTES:
        app.include_router(module.router)
    _answer_problems(app)
    uploads = _upload_folder(studio)
    page = build_app(studio, site.bench)
    gr.mount_gradio_app(app, page, path="/", **_gradio())
    page.has_launched = True  # else gradio does not ask where a file lies that it is told of; nor is that left to it
    app.add_middleware(UploadedOnly, folder=uploads)
    app.add_middleware(Uploads, folder=uploads)
    app.add_middleware(
        Door, people=studio.people, needs_login=needs_login, is_https=is_https, home=studio.settings.home
    )
    return app


def _upload_folder(studio: Studio) -> Path:
    """Return where gradio is to put uploads: in the home, which nobody else on this machine can look into."""
    studio.settings.create_home()
    folder = studio.settings.home / "uploads" / "page"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    return folder


def _gradio() -> dict[str, Any]:
    """Return how gradio serves the page. It serves no file of the library: `/studio/media` does, byte for byte."""
    return {
        "allowed_paths": [],
        "max_file_size": MAX_UPLOAD_BYTES,
        "theme": theme(),
        "head": _HEAD,
        "footer_links": [],
        "run_history": False,
        "show_error": False,  # its own words quote what was sent; ours come as `answering` tells them
        "ssr_mode": False,
        "enable_monitoring": False,
        "pwa": False,
        "mcp_server": False,
    }


def _answer_problems(app: FastAPI) -> None:
    """Let everything that goes wrong have one shape, that of the REST API."""

    def of_studio(request: Request, error: Exception) -> Response:
        assert isinstance(error, StudioError)  # noqa: S101 - what it is registered for
        return refusal_of(error, request.app.state.services.home).as_response()

    def of_refusal(_request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)  # noqa: S101
        return error.as_response()

    def of_schema(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101
        return refusal_of_errors(error.errors(), skip=1).as_response()

    def of_framework(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        return Refusal(error.status_code, str(error.detail), headers=error.headers).as_response()

    def of_others(_request: Request, error: Exception) -> Response:
        _log.error("unforeseen: %s", type(error).__name__)
        return Refusal(500, "something unforeseen went wrong; the server's log says where").as_response()

    for kind, answer in (
        (StudioError, of_studio),
        (Refusal, of_refusal),
        (RequestValidationError, of_schema),
        (HTTPException, of_framework),
        (Exception, of_others),
    ):
        app.add_exception_handler(kind, answer)
