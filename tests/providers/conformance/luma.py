"""Luma's side: generations and files of the Agents API (https://docs.agents.lumalabs.ai/)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from studio.request import GenerationRequest
from tests.providers.conformance.contract import (
    RAW_BASE64,
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
from tests.providers.conformance.jobs import Job

_RATIOS = ("9:16", "3:4", "1:1", "4:3", "16:9", "21:9")
_TIERS = ("360p", "540p", "720p", "1080p")
_PICTURE = {"data": RAW_BASE64, "media_type": "image/png"}
_MORE = {"X-Request-Id": "550e8400-e29b-41d4-a716-446655440000", "X-API-Version": "2026-04-01"}
_VIDEOS = ("video/mp4", "video/quicktime", "video/webm")


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) and 1 <= len(value) <= 6000


def _is_picture(value: Any) -> bool:
    return isinstance(value, dict) and value in (_PICTURE, _PICTURE | {"media_type": "image/jpeg"})


def _are_pictures(value: Any) -> bool:
    return isinstance(value, list) and 1 <= len(value) <= 64 and all(_is_picture(item) for item in value)


def _are_places(value: Any) -> bool:
    return isinstance(value, list) and len(set(value)) == len(value) and all(0 <= item <= 240 for item in value)


_VIDEO: Mapping[str, object] = {
    "loop": bool,
    "hdr": bool,
    "start_frame": _is_picture,
    "end_frame": _is_picture,
    "keyframes": _are_pictures,
    "keyframe_indexes": _are_places,
}


class LumaContract(Contract):
    """Generations, which cannot be stopped, and files that are handed over before.

    failure: code and words of jobs that fail. states: what is said of a file, one after the other, the last one stays.
    uploads: what was handed over, by its id.
    """

    name = "luma"
    model = "luma-ray-3.2"
    root = "/v1"
    base_url_variable = "LUMA_BASE_URL"
    keys: ClassVar[Mapping[str, str]] = {"LUMA_AGENTS_API_KEY": "luma-api-canary0123456789abcdef01234567"}
    walk = ("queued", "processing")
    endings: ClassVar[Mapping[str, str]] = {"done": "completed", "failed": "failed", "moderated": "failed"}
    cancels = False
    expires = True

    def __init__(self) -> None:
        self.failure = ("generation_failed", "the model could not make it")
        self.states: tuple[str, ...] = ("pending", "ready")
        self.uploads: dict[str, bytes] = {}
        self._slots: dict[str, dict[str, Any]] = {}
        self._asked: dict[str, int] = {}

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("POST /generations", self._create, does="create"),
            Route("GET /generations/{id}", self._query, does="poll"),
            Route("POST /files", self._open_upload),
            Route("PUT /presigned/{id}", self._take_upload),
            Route("POST /files/{id}/complete", self._complete),
            Route("GET /files/{id}", self._file),
        )

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        text = GenerationRequest(
            model=self.model, prompt="a red fox in the snow", aspect_ratio="21:9", resolution="540p"
        )
        image = GenerationRequest(
            model=self.model,
            prompt="it turns its head",
            options={"loop": True},
            conditionings=pictures.as_first_frame(),
        )
        long = GenerationRequest(
            model=self.model, prompt="it runs", duration_seconds=10, conditionings=pictures.as_first_frame()
        )
        frames = GenerationRequest(
            model=self.model,
            prompt="night falls",
            resolution="1080p",
            aspect_ratio="9:16",
            conditionings=pictures.as_first_and_last_frame(),
        )
        return (
            self._golden("text to video", text, "21:9", {"resolution": "540p", "duration": "5s"}),
            self._golden(
                "image to video",
                image,
                "16:9",
                {"resolution": "720p", "duration": "5s", "loop": True, "start_frame": _PICTURE},
            ),
            self._golden(
                "image to video, long",
                long,
                "16:9",
                {"resolution": "720p", "duration": "10s", "keyframes": [_PICTURE], "keyframe_indexes": [0]},
            ),
            self._golden(
                "first and last frame",
                frames,
                "9:16",
                {"resolution": "1080p", "duration": "5s", "start_frame": _PICTURE, "end_frame": _PICTURE},
            ),
        )

    def refusal(self, refusal: Refusal) -> Response:
        return Response(status=refusal.status, body={"detail": refusal.message}, headers=_MORE)

    def authorize(self, request: Request) -> None:
        """Refuse a request without the key; a presigned address takes none."""
        if not request.path.startswith("/presigned/"):
            super().authorize(request)
        elif "authorization" in request.headers:
            raise Refusal(400, "", "a presigned address takes no key")

    def answer(self, job: Job, word: str) -> dict[str, Any]:
        """Return a generation as the provider tells it."""
        told: dict[str, Any] = {
            "id": job.id,
            "created_at": "2026-11-22T10:00:00Z",
            "model": "ray-3.2",
            "type": job.facts["type"],
            "state": word,
            "output": [],
            "failure_code": None,
            "failure_reason": None,
        }
        match job.outcome:
            case "done":
                return told | {"output": [{"type": "video", "url": job.url()}]}
            case "failed":
                return told | {"failure_code": self.failure[0], "failure_reason": self.failure[1]}
            case "moderated":
                return told | {"failure_code": "content_moderated", "failure_reason": "it is not allowed"}
        return told

    def _golden(self, name: str, request: GenerationRequest, ratio: str, video: dict[str, Any]) -> Golden:
        body = {"model": "ray-3.2", "type": "video", "prompt": request.prompt, "aspect_ratio": ratio, "video": video}
        headers = {"authorization": f"Bearer {self.key}"}
        return Golden(name=name, request=request, path="/generations", headers=headers, json=body)

    def _create(self, request: Request, jobs: Jobs) -> Response:
        body = request.json
        fixed: dict[str, object] = {"model": ("ray-3.2",), "prompt": _is_prompt, "video": dict}
        if body.get("type") in ("video_edit", "video_reframe"):
            shape = {"aspect_ratio": _RATIOS} if body["type"] == "video_reframe" else {}
            only_fields(body, {**fixed, "type": str, "source": dict, **shape})
            self._require_source(body)
        else:
            only_fields(body, {**fixed, "type": ("video",), "aspect_ratio": _RATIOS})
            only_fields(body["video"], {"resolution": _TIERS, "duration": ("5s", "10s")}, _VIDEO)
            _require_fit(body["video"])
        job = jobs.create(**body)
        return Response(status=201, body=self.answer(job, "queued"), headers={**_MORE, "X-RateLimit-Limit": "30"})

    def _require_source(self, body: Mapping[str, Any]) -> None:
        only_fields(body["source"], {"file_id": str})
        if self._state(body["source"]["file_id"]) != "ready":
            raise Refusal(422, "", "source.file_id: the file is not ready")
        if body["type"] == "video_reframe":
            only_fields(body["video"], {"resolution": _TIERS})
            return
        only_fields(body["video"], {"resolution": _TIERS, "edit": dict})
        edit = body["video"]["edit"]
        only_fields(edit, {}, {"auto_controls": (True,), "strength": str})
        if len(edit) != 1:
            raise Refusal(422, "", "auto_controls and strength exclude each other")

    def _query(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        word = job.step()
        return Response(body=self.answer(job, word), headers=_MORE)

    def _open_upload(self, request: Request, jobs: Jobs) -> Response:
        only_fields(request.json, {"mime_type": _VIDEOS, "size_bytes": int}, {"purpose": ("input", "reference")})
        name = f"00000000-0000-4000-8000-{len(self._slots):012d}"
        self._slots[name], self._asked[name] = request.json, 0
        place = {
            "method": "PUT",
            "url": f"{jobs.base_url}/presigned/{name}?X-Amz-Signature=5ec2e7c0ffee5ec2e7c0ffee5ec2e7c0ffee",
            "headers": {"Content-Type": request.json["mime_type"], "x-amz-meta-slot": name},
            "expires_at": "2026-11-22T11:00:00Z",
        }
        told = {"id": name, "state": "pending", "file": self.file(name), "upload": place}
        return Response(status=201, body=told, headers=_MORE)

    def _take_upload(self, request: Request, jobs: Jobs) -> Response:
        name = request.values["id"]
        slot = self._slots[name]
        if request.headers.get("x-amz-meta-slot") != name or request.headers.get("content-type") != slot["mime_type"]:
            raise Refusal(403, "", "SignatureDoesNotMatch")
        if len(request.body) != slot["size_bytes"]:
            raise Refusal(400, "", "EntityTooLarge")
        self.uploads[name] = request.body
        return Response()

    def _complete(self, request: Request, jobs: Jobs) -> Response:
        if request.values["id"] not in self.uploads:
            raise Refusal(409, "", "nothing was uploaded")
        return Response(body=self.file(request.values["id"]), headers=_MORE)

    def _file(self, request: Request, jobs: Jobs) -> Response:
        name = request.values["id"]
        if name not in self.uploads:
            raise Refusal(404, "", "no such file")
        told = self.file(name)
        self._asked[name] += 1
        return Response(body=told, headers=_MORE)

    def file(self, name: str) -> dict[str, Any]:
        """Return a file as the provider tells it."""
        slot, state = self._slots[name], self._state(name)
        told = {"id": name, "created_at": "2026-11-22T10:00:00Z", "mime_type": slot["mime_type"], "purpose": "input"}
        reason = "the file could not be decoded" if state == "failed" else None
        return told | {"size_bytes": slot["size_bytes"], "state": state, "failure_reason": reason}

    def _state(self, name: str) -> str:
        asked = self._asked.get(name)
        return "missing" if asked is None else self.states[min(asked, len(self.states) - 1)]


def _require_fit(video: Mapping[str, Any]) -> None:
    """Refuse what the documentation says does not go together."""
    is_long, is_hdr = video["duration"] == "10s", bool(video.get("hdr"))
    ends, keys = {"start_frame", "end_frame"} & set(video), "keyframes" in video
    if ends and (is_long or is_hdr or keys):
        raise Refusal(422, "", "start_frame and end_frame are for plain clips of 5s")
    if video.get("loop") and (is_long or is_hdr or keys):
        raise Refusal(422, "", "loop is for plain clips of 5s")
    if len(video.get("keyframes", ())) != len(video.get("keyframe_indexes", ())):
        raise Refusal(422, "", "keyframe_indexes must match keyframes in length")
    if is_hdr and video["resolution"] not in ("720p", "1080p"):
        raise Refusal(422, "", "hdr is for 720p and 1080p")
