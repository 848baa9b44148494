"""Puts the routes together: `create_app(studio, access)` is the whole API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import Response, StreamingResponse

from studio import __version__
from studio.app import Studio
from ui.api import asks, assets, costs, jobs, models, schemas, verification, videos
from ui.api.access import Access
from ui.api.bodies import refusal_of_errors
from ui.api.documented import answers
from ui.api.doorman import Doorman
from ui.api.problems import Refusal
from ui.api.services import Here, Services

_DESCRIPTION = """Clips from prompts and pictures, made by the studio's workers: checked, watermarked, signed, verified.

`/v1/videos` speaks the shape that engines and gateways for video share; the other paths are the studio's own.
Every answer that is not what was asked for has one shape: `{"error": {"code", "message", "field", "got", "allowed",
"fix"}}`.
"""
_READ_BY_HAND = (asks.VideoRequest, asks.JobPatch, asks.JobChanges, asks.Move)
_STREAM = {
    "description": "Events `job`, `removed` and `queue`, each with an id and JSON data; a comment each 15 seconds.",
    "content": {"text/event-stream": {"schema": {"type": "string"}}},
}


def create_app(studio: Studio, access: Access) -> FastAPI:
    """Return the API over a studio, whose database is opened. Raises what opening it does."""
    services = Services.of(studio, root="/v1")

    app = FastAPI(
        title="Local video studio",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=services.lifespan,
        # The pages that show the document load scripts from elsewhere; the document itself is enough.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    app.state.services = services
    for module in (videos, jobs, assets, models, costs, verification):
        app.include_router(module.router)
    _add_small_routes(app)
    _answer_problems(app)
    _describe(app, access)
    app.add_middleware(Doorman, access=access, document=app.openapi(), home=services.home)
    return app


def _add_small_routes(app: FastAPI) -> None:
    @app.get("/v1/events", tags=["jobs"], response_class=StreamingResponse, responses=answers(404, s200=_STREAM))
    async def listen(
        here: Here,
        job: Annotated[
            list[str] | None, Query(max_length=100, description="Only these jobs; the stream ends when they have.")
        ] = None,
    ) -> Response:
        """Tell what happens to jobs, as server-sent events."""
        here.hub.require_room()
        for job_id in job or ():
            await run_in_threadpool(here.job, job_id)
        return StreamingResponse(here.hub.stream(job or ()), media_type="text/event-stream")

    @app.get("/healthz", tags=["server"], responses=answers())
    async def healthz() -> schemas.Health:
        """Say that the server answers. Needs no token."""
        return schemas.Health()


def _answer_problems(app: FastAPI) -> None:
    """Let the framework's own refusals have the shape of all others; everything else is the doorman's."""

    def of_schema(_request: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)  # noqa: S101 - what it is registered for
        return refusal_of_errors(error.errors(), skip=1).as_response()

    def of_framework(_request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)  # noqa: S101
        return Refusal(error.status_code, str(error.detail), headers=error.headers).as_response()

    app.add_exception_handler(RequestValidationError, of_schema)
    app.add_exception_handler(HTTPException, of_framework)


def _describe(app: FastAPI, access: Access) -> None:
    """Complete the OpenAPI document: bodies that are read by hand, who is let in, no answers that there are not."""
    document = app.openapi()
    components: dict[str, Any] = document.setdefault("components", {})
    known: dict[str, Any] = components.setdefault("schemas", {})
    for model in _READ_BY_HAND:
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        known |= schema.pop("$defs", {})
        known[model.__name__] = schema
    known.pop("HTTPValidationError", None)
    known.pop("ValidationError", None)
    components["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    document["security"] = [{"token": []}] if access.token else [{}, {"token": []}]
    document["paths"]["/healthz"]["get"]["security"] = []
    document["paths"]["/openapi.json"] = {"get": _document_operation()}


def _document_operation() -> dict[str, Any]:
    content = {"application/json": {"schema": {"type": "object"}}}
    refused = {"$ref": "#/components/schemas/ErrorAnswer"}
    problems: dict[str, Any] = {
        str(status): {"description": told["description"], "content": {"application/json": {"schema": refused}}}
        for status, told in answers().items()
    }
    own = {"200": {"description": "This document.", "content": content}}
    return {"tags": ["server"], "operationId": "get_document", "summary": "This document.", "responses": own | problems}


def _operation_id(route: APIRoute) -> str:
    return route.name


__all__: Sequence[str] = ["create_app"]
