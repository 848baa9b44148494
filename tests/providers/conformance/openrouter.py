"""OpenRouter's video interface, as its documentation and its SDK's types say it."""

from __future__ import annotations

import uuid
from typing import Any

from studio.request import GenerationRequest
from tests.providers.conformance.contract import (
    DATA_URI,
    Contract,
    Golden,
    Jobs,
    Pictures,
    Refusal,
    Request,
    Response,
    Route,
    only_fields,
)

RATIOS = ("16:9", "9:16", "1:1", "4:3", "3:4", "3:2", "2:3", "21:9", "9:21")
RESOLUTIONS = ("360p", "480p", "720p", "768p", "1080p", "1K", "2K", "4K")


def listed(**changes: Any) -> dict[str, Any]:
    """Return one entry of the list of models, with changes."""
    return {
        "id": "google/veo-3.1",
        "canonical_slug": "google/veo-3.1",
        "name": "Google: Veo 3.1",
        "description": "Text and pictures to video, with sound.",
        "created": 1760000000,
        "allowed_passthrough_parameters": ["negativePrompt"],
        "creativity": None,
        "generate_audio": True,
        "hugging_face_id": None,
        "pricing_skus": {"duration_seconds_with_audio": "0.40", "duration_seconds_without_audio": "0.20"},
        "seed": True,
        "supported_aspect_ratios": ["16:9", "9:16"],
        "supported_durations": [4, 6, 8],
        "supported_frame_images": ["first_frame", "last_frame"],
        "supported_resolutions": ["720p", "1080p"],
        "supported_sizes": ["1280x720", "720x1280", "1920x1080", "1080x1920"],
        "upscale_factor": None,
        **changes,
    }


class OpenRouterContract(Contract):
    """POST /videos, GET /videos/{id} and its content, GET /videos/models. models: what the last one lists."""

    name = "openrouter"
    model = "openrouter-any"
    root = "/api/v1"
    base_url_variable = "OPENROUTER_BASE_URL"
    keys = {"OPENROUTER_API_KEY": "sk-or-v1-canary-0f1e2d3c4b5a69788796a5b4c3d2e1f0"}  # noqa: RUF012
    options = {"model": "google/veo-3.1"}  # noqa: RUF012
    walk = ("pending", "in_progress")
    endings = {"done": "completed", "failed": "failed", "moderated": "failed"}  # noqa: RUF012

    def __init__(self) -> None:
        self.models: Any = {"data": [listed()]}

    def routes(self) -> tuple[Route, ...]:
        """Return the calls."""
        return (
            Route("GET /videos/models", self._models),
            Route("POST /videos", self._create, "create"),
            Route("GET /videos/{id}", self._poll, "poll"),
            Route("GET /videos/{id}/content", self._content, "result"),
        )

    def refusal(self, refusal: Refusal) -> Response:
        """Return ``{"error": {"code": the HTTP status, "message", "metadata"}}``."""
        error: dict[str, Any] = {"code": refusal.status, "message": refusal.message}
        if refusal.code == "flagged":
            error["metadata"] = {"reasons": ["violence"], "flagged_input": "...", "provider_name": "Maker"}
        return Response(status=refusal.status, body={"error": error})

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        """Return one order of each kind."""
        model = {"model": "google/veo-3.1"}
        sent = {
            "model": "google/veo-3.1",
            "prompt": "a fox in the snow",
            "duration": 5,
            "resolution": "720p",
            "aspect_ratio": "16:9",
            "seed": 7,
            "generate_audio": False,
        }
        first = {"type": "image_url", "image_url": {"url": DATA_URI}, "frame_type": "first_frame"}
        last = {**first, "frame_type": "last_frame"}
        asked: dict[str, Any] = {"model": self.model, "prompt": "a fox in the snow", "seed": 7, "options": model}
        tall = {"width": 1080, "height": 1920, "num_frames": 192, "generate_audio": True}
        passed_on = '{"options": {"google-vertex": {"negativePrompt": "rain"}}}'
        return (
            Golden(
                name="text to video",
                request=GenerationRequest(**asked | tall | {"options": model | {"provider": passed_on}}),
                path="/videos",
                json=sent
                | {"duration": 8, "resolution": "1080p", "aspect_ratio": "9:16", "generate_audio": True}
                | {"provider": {"options": {"google-vertex": {"negativePrompt": "rain"}}}},
            ),
            Golden(
                name="image to video",
                request=GenerationRequest(**asked, conditionings=pictures.as_first_frame()),
                path="/videos",
                json=sent | {"frame_images": [first]},
            ),
            Golden(
                name="first and last frame",
                request=GenerationRequest(**asked, conditionings=pictures.as_first_and_last_frame()),
                path="/videos",
                json=sent | {"frame_images": [first, last]},
            ),
            Golden(
                name="reference",
                request=GenerationRequest(**asked, conditionings=pictures.as_reference()),
                path="/videos",
                json=sent | {"input_references": [{"type": "image_url", "image_url": {"url": DATA_URI}}]},
            ),
        )

    def _models(self, _request: Request, _jobs: Jobs) -> Response:
        return Response(body=self.models)

    def _create(self, request: Request, jobs: Jobs) -> Response:
        body = request.json
        only_fields(
            body,
            {"model": lambda value: isinstance(value, str) and "/" in value},
            {
                "prompt": str,
                "duration": lambda value: type(value) is int and 1 <= value <= 60,
                "resolution": RESOLUTIONS,
                "aspect_ratio": RATIOS,
                "size": lambda value: isinstance(value, str) and value.count("x") == 1,
                "seed": int,
                "generate_audio": bool,
                "frame_images": list,
                "input_references": list,
                "provider": lambda value: isinstance(value, dict) and set(value) == {"options"},
            },
        )
        for item in body.get("frame_images", []):
            only_fields(item, {"type": ("image_url",), "image_url": dict, "frame_type": ("first_frame", "last_frame")})
            only_fields(item["image_url"], {"url": DATA_URI})
        for item in body.get("input_references", []):
            only_fields(item, {"type": ("image_url",), "image_url": dict})
            only_fields(item["image_url"], {"url": DATA_URI})
        if body.get("prompt") == "flagged":
            raise Refusal(403, "flagged", "the input was flagged")
        if body["model"] == "nobody/nothing":
            raise Refusal(404, "", "no endpoints found for the model")
        job = jobs.create(id=f"gen-vid-1795000000-{uuid.uuid4().hex[:20]}")
        return Response(status=202, body=_job(jobs, job.id, "pending"))

    def _poll(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        body = _job(jobs, job.id, job.step())
        match job.outcome:
            case "done":
                body |= {
                    "generation_id": job.id,
                    "urls": [job.url()],
                    "unsigned_urls": [f"{jobs.base_url}/videos/{job.id}/content?index=0"],
                    "expires_at": job.created_at + 3600,
                    "usage": {"cost": 0.4, "is_byok": False},
                }
            case "failed":
                body |= {"error": "the maker's server failed", "usage": {"cost": 0}}
            case "moderated":
                body |= {"error": "the output was flagged by the maker's content moderation"}
        return Response(body=body)

    def _content(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        if job.outcome != "done" or request.query != {"index": "0"}:
            raise Refusal(404, "", "there is no such output")
        return Response(headers={"content-type": "video/mp4"})


def _job(jobs: Jobs, id: str, word: str) -> dict[str, Any]:  # noqa: A002
    return {"id": id, "polling_url": f"{jobs.base_url}/videos/{id}", "status": word}
