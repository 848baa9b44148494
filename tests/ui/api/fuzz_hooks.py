"""Steers schemathesis: most of what is well formed names a model that is there, so that jobs come about."""

from __future__ import annotations

import json
from typing import Any

import schemathesis

from ui.api.asks import VideoRequest

DEPENDS_ON_MODEL = (
    "size", "seconds", "width", "height", "resolution", "aspect_ratio", "num_frames", "duration_seconds", "frame_rate",
    "fps", "generate_audio", "options", "task",
)  # fmt: skip


@schemathesis.hook
def map_body(context: Any, body: Any) -> Any:
    """Give a well-formed body a model, and nothing of which the model could say that it does not do it."""
    if context.operation.path not in ("/v1/videos", "/v1/estimate") or not isinstance(body, dict):
        return body
    try:
        VideoRequest.model_validate_json(json.dumps(body), strict=True)
    except (TypeError, ValueError):
        return body
    kept = {name: value for name, value in body.items() if name not in DEPENDS_ON_MODEL}
    return {**kept, "model": "scripted-moving"} if len(str(body)) % 4 else body
