"""What the OpenAPI document says of every route: all answers there can be, and the bodies that are read by hand."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ui.api.asks import MAX_REFERENCES, VideoRequest
from ui.api.schemas import ErrorAnswer

_MEANINGS = {
    400: "The request cannot be read.",
    401: "A token is needed, or this one is wrong.",
    403: "Refused: a page of another site asks, or the server is called by a foreign name.",
    404: "There is no such thing.",
    405: "The path is there, the method is not.",
    408: "The body stopped arriving.",
    409: "What stands in the way is the state of something; `fix` says how to change it.",
    413: "Too large.",
    415: "The body is of another kind.",
    416: "The file has no such range.",
    422: "A value is not allowed; `allowed` says what is.",
    500: "Something unforeseen.",
    502: "A remote provider failed.",
    503: "Busy, or the machine is at fault; `retry-after` says when to ask again.",
    507: "The disk is full.",
}
_ALWAYS = (400, 401, 403, 405, 422, 500, 503, 507)
WITH_BODY = (408, 413, 415)


def answers(*statuses: int, **others: Any) -> dict[int | str, dict[str, Any]]:
    """Return the answers of a route besides its own: those that any may give, and these. others: by ``sNNN``."""
    told: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorAnswer, "description": _MEANINGS[status]} for status in sorted({*_ALWAYS, *statuses})
    }
    return told | {int(name[1:]): content for name, content in others.items()}


def json_body(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """Return the part of a route's description that says which JSON it reads."""
    return {"requestBody": {"required": required, "content": {"application/json": _ref(model)}}}


def form_body(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """Return the part of a route's description that says which form it reads."""
    return {"requestBody": {"required": True, "content": {"multipart/form-data": form_schema(properties, required)}}}


def form_schema(properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    """Return the description of a form."""
    schema = {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    return {"schema": schema}


def file_part(description: str) -> dict[str, Any]:
    """Return the description of a file in a form."""
    return {"type": "string", "format": "binary", "minLength": 1, "description": description}


def video_body() -> dict[str, Any]:
    """Return what is read as JSON or as a form: the fields of a request, in a form with pictures as files."""
    schema = VideoRequest.model_json_schema(ref_template="#/components/schemas/{model}")
    properties = dict(schema["properties"])
    properties |= {
        "input_reference": file_part("The first frame: a picture."),
        "last_frame": file_part("The last frame: a picture."),
        "references": {
            "type": "array",
            "items": file_part("A picture."),
            "maxItems": MAX_REFERENCES,
            "description": "Pictures of who or what is to appear, each a part of this name.",
        },
        "source_video": file_part("A video to be changed or gone on from."),
        "options": {"type": "string", "contentMediaType": "application/json", "description": "A JSON object."},
    }
    form = form_schema({name: _of_form(item) for name, item in properties.items()}, schema["required"])
    content = {"application/json": _ref(VideoRequest), "multipart/form-data": form}
    return {"requestBody": {"required": True, "content": content}}


def _of_form(item: dict[str, Any]) -> dict[str, Any]:
    """Return a property without null, which a form cannot hold."""
    if "anyOf" not in item:
        return item
    kinds = [kind for kind in item["anyOf"] if kind != {"type": "null"}]
    rest = {key: value for key, value in item.items() if key not in ("anyOf", "default")}
    return rest | (kinds[0] if len(kinds) == 1 else {"anyOf": kinds})


def _ref(model: type[BaseModel]) -> dict[str, Any]:
    return {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}
