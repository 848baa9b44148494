"""Runway's side (https://docs.dev.runwayml.com/api, version 2024-11-06)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

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
    Upload,
    only_fields,
)
from tests.providers.conformance.jobs import Job

_RATIOS = ("1280:720", "720:1280")
_MORE_RATIOS = (*_RATIOS, "1104:832", "960:960", "832:1104", "1584:672")
_WIDE_RATIOS = (*_RATIOS, "1920:1080", "1080:1920")
CREDITS = 60


def _is_seed(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**32


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value.encode("utf-16-le")) // 2 <= 1000


def _is_moderation(value: Any) -> bool:
    return value in ({"publicFigureThreshold": "auto"}, {"publicFigureThreshold": "low"})


def _are_frames(value: Any) -> bool:
    if not isinstance(value, list):
        return bool(value == DATA_URI)
    return [item.get("position") for item in value] == ["first", "last"] and all(
        set(item) == {"uri", "position"} and item["uri"] == DATA_URI for item in value
    )


def _are_references(value: Any) -> bool:
    return isinstance(value, list) and all(set(item) == {"uri"} and item["uri"] == DATA_URI for item in value)


def _is_upload(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("runway://")


_PLAIN = {"seed": _is_seed, "contentModeration": _is_moderation}
_VEO = {
    "audio": bool,
    "duration": (4, 6, 8),
    "negativePrompt": str,
    "seed": _is_seed,
}
_SEEDANCE = {
    "promptText": str,
    "audio": bool,
    "duration": int,
    "seed": _is_seed,
    "ratio": str,
    "references": _are_references,
}
_TO_10 = tuple(range(2, 11))
# For each call and model: required fields, optional fields.
_BODIES: Mapping[tuple[str, str], tuple[Mapping[str, object], Mapping[str, object]]] = {
    ("text_to_video", "gen4.5"): ({"promptText": _is_prompt, "ratio": _RATIOS, "duration": _TO_10}, _PLAIN),
    ("image_to_video", "gen4.5"): (
        {"promptText": _is_prompt, "promptImage": DATA_URI, "ratio": _MORE_RATIOS, "duration": _TO_10},
        _PLAIN,
    ),
    ("image_to_video", "gen4_turbo"): (
        {"promptImage": DATA_URI, "ratio": _MORE_RATIOS},
        {**_PLAIN, "promptText": _is_prompt, "duration": _TO_10},
    ),
    ("text_to_video", "veo3.1_fast"): ({"promptText": _is_prompt, "ratio": _WIDE_RATIOS}, _VEO),
    ("image_to_video", "veo3.1_fast"): (
        {"promptImage": _are_frames, "ratio": _WIDE_RATIOS},
        {**_VEO, "promptText": _is_prompt},
    ),
    ("text_to_video", "seedance2_5"): ({}, _SEEDANCE),
    ("video_to_video", "aleph2"): (
        {"videoUri": _is_upload},
        {**_PLAIN, "promptText": _is_prompt, "targetAspectRatio": str},
    ),
}


class RunwayContract(Contract):
    """Tasks that are ordered, asked for and deleted. uploads: what was handed over, by its name at Runway."""

    name = "runway"
    model = "runway-gen4.5"
    base_url_variable = "RUNWAYML_BASE_URL"
    keys: ClassVar[Mapping[str, str]] = {"RUNWAYML_API_SECRET": "key_canary0123456789abcdefrunway"}
    walk = ("PENDING", "THROTTLED", "RUNNING")
    endings: ClassVar[Mapping[str, str]] = {
        "done": "SUCCEEDED",
        "failed": "FAILED",
        "moderated": "FAILED",
        "canceled": "CANCELLED",
    }
    moderation_charged = "yes"
    cancels = True
    expires = True

    def __init__(self) -> None:
        self.uploads: dict[str, bytes] = {}

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("POST /v1/text_to_video", self._create, does="create"),
            Route("POST /v1/image_to_video", self._create, does="create"),
            Route("POST /v1/video_to_video", self._create, does="create"),
            Route("GET /v1/tasks/{id}", self._query, does="poll"),
            Route("DELETE /v1/tasks/{id}", self._delete, does="cancel"),
            Route("POST /v1/uploads", self._open_upload),
            Route("POST /presigned/{id}", self._take_upload),
        )

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        text = GenerationRequest(
            model=self.model, prompt="a red fox in the snow", duration_seconds=4, aspect_ratio="9:16", seed=7
        )
        image = GenerationRequest(
            model=self.model,
            prompt="it turns its head",
            duration_seconds=10,
            aspect_ratio="21:9",
            seed=2**32 - 1,
            options={"public_figure_threshold": "low"},
            conditionings=pictures.as_first_frame(),
        )
        return (
            self._golden(
                "text to video",
                text,
                "text_to_video",
                {"model": "gen4.5", "ratio": "720:1280", "duration": 4},
            ),
            self._golden(
                "image to video",
                image,
                "image_to_video",
                {
                    "model": "gen4.5",
                    "ratio": "1584:672",
                    "duration": 10,
                    "promptImage": DATA_URI,
                    "contentModeration": {"publicFigureThreshold": "low"},
                },
            ),
        )

    def other_goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        """Return such for other rows of this provider."""
        frames = GenerationRequest(
            model="runway-veo3.1-fast",
            prompt="from one to the other",
            negative_prompt="text",
            duration_seconds=6,
            resolution="1080p",
            seed=0,
            generate_audio=True,
            conditionings=pictures.as_first_and_last_frame(),
        )
        reference = GenerationRequest(
            model="runway-seedance2.5",
            prompt="the same in the rain",
            aspect_ratio="1:1",
            resolution="480p",
            seed=5,
            conditionings=pictures.as_reference(),
        )
        return (
            self._golden(
                "first and last frame",
                frames,
                "image_to_video",
                {
                    "model": "veo3.1_fast",
                    "ratio": "1920:1080",
                    "duration": 6,
                    "audio": True,
                    "negativePrompt": "text",
                    "promptImage": [{"uri": DATA_URI, "position": "first"}, {"uri": DATA_URI, "position": "last"}],
                },
            ),
            self._golden(
                "reference to video",
                reference,
                "text_to_video",
                {
                    "model": "seedance2_5",
                    "ratio": "640:640",
                    "duration": 5,
                    "audio": False,
                    "references": [{"uri": DATA_URI}],
                },
            ),
        )

    def refusal(self, refusal: Refusal) -> Response:
        body: dict[str, Any] = {"error": refusal.message, "docUrl": "https://docs.dev.runwayml.com/api"}
        if refusal.field:
            body["issues"] = [{"code": refusal.code, "path": [refusal.field], "message": refusal.message}]
        return Response(status=refusal.status, body=body)

    def authorize(self, request: Request) -> None:
        if request.path.startswith("/presigned/"):
            if "authorization" in request.headers:
                raise Refusal(400, "", "a presigned address takes no key")
            return
        super().authorize(request)
        if request.headers.get("x-runway-version") != "2024-11-06":
            raise Refusal(400, "", "the header X-Runway-Version is missing")

    def _golden(self, name: str, request: GenerationRequest, path: str, body: dict[str, Any]) -> Golden:
        headers = {"authorization": f"Bearer {self.key}", "x-runway-version": "2024-11-06"}
        json = {"promptText": request.prompt, "seed": request.seed, **body}
        return Golden(name=name, request=request, path=f"/v1/{path}", headers=headers, json=json)

    def _create(self, request: Request, jobs: Jobs) -> Response:
        body, call = request.json, request.path.rpartition("/")[2]
        rules = _BODIES.get((call, str(body.get("model"))))
        if rules is None:
            raise Refusal(403, "", f"Model variant {body.get('model')} is not available")
        only_fields(body, {"model": str, **rules[0]}, rules[1])
        if (uri := body.get("videoUri")) is not None and uri not in self.uploads:
            raise Refusal(400, "", "there is no such upload", "videoUri")
        job = jobs.create(**body)
        return Response(body={"id": job.id, "estimatedCost": {"credits": CREDITS}})

    def _query(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        return Response(body=self._task(job, job.step()))

    def _task(self, job: Job, word: str) -> dict[str, Any]:
        told: dict[str, Any] = {"id": job.id, "createdAt": "2026-11-22T10:00:00.000Z", "status": word}
        match job.outcome:
            case "done":
                return told | {"output": [job.url()], "cost": {"credits": CREDITS}}
            case "moderated":
                failure = {"failure": "the prompt is not allowed", "failureCode": "SAFETY.INPUT.TEXT"}
                return told | failure | {"cost": {"credits": CREDITS}}
            case "failed":
                failure = {"failure": "something went wrong", "failureCode": "INTERNAL.BAD_OUTPUT.CODE01"}
                return told | failure | {"cost": {"credits": 0}}
            case "canceled":
                return told | {"cost": {"credits": CREDITS}}
        told["estimatedCost"] = {"credits": CREDITS}
        return told | ({"progress": 0.5} if word == "RUNNING" else {})

    def _delete(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        if job.is_running:
            job.cancel()
        else:
            jobs.delete(job.id)  # and its clip with it
        return Response(status=204)

    def _open_upload(self, request: Request, jobs: Jobs) -> Response:
        only_fields(request.json, {"filename": str, "type": ("ephemeral",)})
        number = f"upload-{len(self.uploads)}"
        self.uploads[f"runway://{number}"] = b""
        fields = {"key": f"ephemeral/{number}", "policy": "a policy"}
        url = f"{jobs.base_url}/presigned/{number}"
        return Response(body={"runwayUri": f"runway://{number}", "uploadUrl": url, "fields": fields})

    def _take_upload(self, request: Request, jobs: Jobs) -> Response:
        number = request.values["id"]
        only_fields(request.form, {"key": (f"ephemeral/{number}",), "policy": ("a policy",), "file": Upload})
        file = request.form["file"]
        assert isinstance(file, Upload)
        self.uploads[f"runway://{number}"] = file.content
        return Response(status=204)
