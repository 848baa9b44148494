"""The asynchronous jobs of LTX, as its documentation says them (https://docs.ltx.video/async-jobs)."""

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
    only_fields,
)
from tests.providers.conformance.jobs import SIGNATURE

_SIZES = tuple(f"{a}x{b}" for pair in ((1920, 1080), (2560, 1440), (3840, 2160)) for a, b in (pair, pair[::-1]))
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_funds_error",
    404: "not_found_error",
    413: "request_too_large",
    422: "content_filtered_error",
    429: "rate_limit_error",
    503: "service_unavailable",
}
_FAILURES = {
    "failed": {"type": "api_error", "message": "Unexpected error while the video was generated"},
    "moderated": {"type": "content_filtered_error", "message": "Content is filtered due to policy restrictions"},
}
_SECONDS = {"ltx-2-3-fast": tuple(range(6, 21, 2)), "ltx-2-3-pro": (6, 8, 10)}


class LtxContract(Contract):
    """Text, pictures, extension and retake; each asked for below its own address.

    uploads: what was handed over, by what stands for it.
    """

    name: ClassVar[str] = "ltx"
    model: ClassVar[str] = "ltx-api-2.3-fast"
    base_url_variable: ClassVar[str] = "LTX_BASE_URL"
    keys: ClassVar[Mapping[str, str]] = {"LTXV_API_KEY": "ltxv_canary0123456789abcdef"}
    walk: ClassVar[tuple[str, ...]] = ("pending", "processing")
    endings: ClassVar[Mapping[str, str]] = {"done": "completed", "failed": "failed", "moderated": "failed"}

    def __init__(self) -> None:
        self.uploads: dict[str, bytes] = {}

    def routes(self) -> tuple[Route, ...]:
        """Return the calls."""
        return (
            Route("POST /v2/text-to-video", self._from_text, does="create"),
            Route("POST /v2/image-to-video", self._from_image, does="create"),
            Route("POST /v2/extend", self._extend, does="create"),
            Route("POST /v2/retake", self._retake, does="create"),
            Route("GET /v2/{operation}/{id}", self._query, does="poll"),
            Route("POST /v1/upload", self._open_upload),
            Route("PUT /presigned/{id}", self._take_upload),
        )

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        """Return one order of each kind that needs no video."""
        headers = {"authorization": f"Bearer {self.key}"}
        asked: dict[str, Any] = {"model": self.model, "prompt": "a fox in the snow"}
        sent: dict[str, Any] = {
            "model": "ltx-2-3-fast",
            "prompt": "a fox in the snow",
            "duration": 6,
            "resolution": "1920x1080",
            "fps": 25,
            "generate_audio": False,
        }
        more: dict[str, Any] = {"resolution": "4K", "aspect_ratio": "9:16", "frame_rate": 50, "generate_audio": True}
        return (
            Golden(
                name="text to video",
                request=GenerationRequest(**asked),
                path="/v2/text-to-video",
                headers=headers,
                json=sent,
            ),
            Golden(
                name="image to video",
                request=GenerationRequest(**asked, conditionings=pictures.as_first_frame()),
                path="/v2/image-to-video",
                headers=headers,
                json=sent | {"image_uri": DATA_URI},
            ),
            Golden(
                name="first and last frame",
                request=GenerationRequest(**asked, conditionings=pictures.as_first_and_last_frame()),
                path="/v2/image-to-video",
                json=sent | {"image_uri": DATA_URI, "last_frame_uri": DATA_URI},
            ),
            Golden(
                name="4K with sound at 50 frames per second",
                request=GenerationRequest(**asked, **more, duration_seconds=10),
                path="/v2/text-to-video",
                json=sent | {"resolution": "2160x3840", "fps": 50, "generate_audio": True, "duration": 10},
            ),
        )

    def authorize(self, request: Request) -> None:
        """Refuse a request without the key; a presigned address takes none."""
        if not request.path.startswith("/presigned/"):
            super().authorize(request)
        elif "authorization" in request.headers:
            raise Refusal(400, message="a presigned address takes no key")

    def refusal(self, refusal: Refusal) -> Response:
        """Return an error with its type."""
        kind = refusal.code or _TYPES.get(refusal.status, "api_error")
        return Response(
            status=refusal.status, body={"type": "error", "error": {"type": kind, "message": refusal.message}}
        )

    def _from_text(self, request: Request, jobs: Jobs) -> Response:
        return self._generate(request, jobs, {"prompt": _is_prompt}, {})

    def _from_image(self, request: Request, jobs: Jobs) -> Response:
        return self._generate(
            request, jobs, {"prompt": _is_prompt, "image_uri": DATA_URI}, {"last_frame_uri": DATA_URI}
        )

    def _generate(
        self, request: Request, jobs: Jobs, required: dict[str, object], optional: dict[str, object]
    ) -> Response:
        body = request.json
        needed = {"model": tuple(_SECONDS), "duration": int, "resolution": _SIZES}
        only_fields(body, {**needed, **required}, {"fps": (24, 25, 48, 50), "generate_audio": bool, **optional})
        if body["duration"] not in _SECONDS[body["model"]]:
            raise Refusal(400, "invalid_request_error", f"duration {body['duration']} is not supported by this model")
        is_plain = body["resolution"] in _SIZES[:2] and body.get("fps", 25) in (24, 25)
        if body["duration"] > 10 and not is_plain:
            raise Refusal(400, "invalid_request_error", "more than 10 seconds need 1080p at 24 or 25 fps")
        return self._take(request, jobs)

    def _extend(self, request: Request, jobs: Jobs) -> Response:
        rules = {"prompt": _is_prompt, "mode": ("end", "start"), "model": ("ltx-2-3-pro",)}
        only_fields(request.json, {"video_uri": self.uploads.__contains__, "duration": _is_length}, rules)
        return self._take(request, jobs)

    def _retake(self, request: Request, jobs: Jobs) -> Response:
        modes = ("replace_audio", "replace_video", "replace_audio_and_video")
        rules = {"prompt": _is_prompt, "mode": modes, "model": ("ltx-2-3-pro",)}
        needed = {"duration": _is_length, "start_time": lambda value: value >= 0}
        only_fields(request.json, {"video_uri": self.uploads.__contains__, **needed}, rules)
        return self._take(request, jobs)

    def _open_upload(self, request: Request, jobs: Jobs) -> Response:
        number = f"upload-{len(self.uploads)}"
        url = f"{jobs.base_url}/presigned/{number}?{SIGNATURE}"
        headers = {"x-goog-content-length-range": "0,104857600"}
        body = {"upload_url": url, "storage_uri": f"storage://{number}", "expires_at": "2026-11-22T11:00:00.000Z"}
        return Response(body=body | {"required_headers": headers})

    def _take_upload(self, request: Request, jobs: Jobs) -> Response:
        if "x-goog-content-length-range" not in request.headers:
            raise Refusal(403, message="a signed header is missing")
        self.uploads[f"storage://{request.values['id']}"] = request.body
        return Response(status=200, body=b"")

    def _take(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.create(path=request.path)
        return Response(status=202, body={"id": job.id, "created_at": "2026-11-22T10:00:00.000Z"})

    def _query(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        if job.facts["path"] != f"/v2/{request.values['operation']}":
            raise Refusal(404, message="Job not found")
        body: dict[str, Any] = {"id": job.id, "status": job.step(), "created_at": "2026-11-22T10:00:00.000Z"}
        if job.outcome == "done":
            body |= {"result": {"video_url": job.url()}, "completed_at": "2026-11-22T10:02:30.000Z"}
        if job.outcome in _FAILURES:
            body["error"] = _FAILURES[job.outcome]
        return Response(body=body)


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 5000


def _is_length(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 2 <= value <= 20
