"""Google's side: interactions in the background, and the files that they lead to (https://ai.google.dev/gemini-api/docs/omni)."""

from __future__ import annotations

import base64
import binascii
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

_CODES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_SECONDS = {"gemini-omni-1.2-flash": range(3, 16), "gemini-omni-1.1-flash": range(3, 11)}
_TASKS = ("text_to_video", "image_to_video", "reference_to_video", "edit", "extend", "upscale")
_USAGE = {"total_tokens": 29120, "output_tokens_by_modality": [{"modality": "video", "tokens": 29000}]}


class GeminiOmniContract(Contract):
    """Interactions and files. delivery: how a clip comes: ``uri``, ``name`` (of its file), or ``inline``.

    told: laid over the last answer about a job. files: what is said of a file, one after the other, the last one stays;
    a number is an HTTP status.
    """

    name = "gemini"
    model = "gemini-omni-1.2-flash"
    base_url_variable = "GOOGLE_GEMINI_BASE_URL"
    keys: ClassVar[Mapping[str, str]] = {"GOOGLE_API_KEY": "AIzaCanary0123456789abcdefghijklmnopqrs"}
    walk = ("queued", "in_progress")
    endings: ClassVar[Mapping[str, str]] = {
        "done": "completed",
        "failed": "failed",
        "moderated": "completed",
        "canceled": "cancelled",
    }
    cancels = True
    expires = True

    def __init__(self) -> None:
        self.delivery = "uri"
        self.told: Mapping[str, Any] = {}
        self.files: tuple[str | int, ...] = ("PROCESSING", "ACTIVE")
        self.clip = b""
        self._asked: dict[str, int] = {}

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("POST /v1/interactions", self._create, does="create"),
            Route("GET /v1/interactions/{id}", self._query, does="poll"),
            Route("POST /v1/interactions/{id}/cancel", self._cancel, does="cancel"),
            Route("GET /v1/files/{id}:download", self._download, does="result"),
            Route("GET /v1/files/{id}", self._file),
        )

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        text = GenerationRequest(
            model=self.model, prompt="a red fox in the snow", duration_seconds=15, aspect_ratio="9:16", seed=7
        )
        image = GenerationRequest(
            model=self.model,
            prompt="it turns its head",
            duration_seconds=3,
            resolution="4k",
            seed=2**31 - 1,
            conditionings=pictures.as_first_frame(),
        )
        frames = GenerationRequest(
            model=self.model, prompt="night falls", seed=0, conditionings=pictures.as_first_and_last_frame()
        )
        reference = GenerationRequest(
            model=self.model, prompt="the same in the rain", seed=5, conditionings=pictures.as_reference()
        )
        picture = {"type": "image", "data": RAW_BASE64, "mime_type": "image/png"}
        return (
            self._golden(
                "text to video",
                text,
                [_text("a red fox in the snow")],
                {"aspect_ratio": "9:16", "resolution": "720p", "duration": "15s"},
                {"seed": 7, "video_config": {"task": "text_to_video"}},
            ),
            self._golden(
                "image to video",
                image,
                [picture, _text("<FIRST_FRAME> it turns its head")],
                {"aspect_ratio": "16:9", "resolution": "4k", "duration": "3s"},
                {"seed": 2**31 - 1, "video_config": {"task": "image_to_video"}},
            ),
            self._golden(
                "first and last frame",
                frames,
                [picture, picture, _text("<FIRST_FRAME> <LAST_FRAME> night falls")],
                {"aspect_ratio": "16:9", "resolution": "720p", "duration": "5s"},
                {"seed": 0},
            ),
            self._golden(
                "reference to video",
                reference,
                [picture, _text("the same in the rain")],
                {"aspect_ratio": "16:9", "resolution": "720p", "duration": "5s"},
                {"seed": 5, "video_config": {"task": "reference_to_video"}},
            ),
        )

    def refusal(self, refusal: Refusal) -> Response:
        """Return an error as Google's front end has it; those of the interactions themselves have a code in words."""
        status = refusal.code or _CODES.get(refusal.status, "")
        error: dict[str, Any] = {"code": refusal.status, "message": refusal.message}
        return Response(status=refusal.status, body={"error": error | ({"status": status} if status else {})})

    def authorize(self, request: Request) -> None:
        """Refuse a request without the key, which comes in a header of its own and never in the address."""
        if "key" in request.query or "authorization" in request.headers:
            raise Refusal(400, "", "the key is where it should not be")
        if request.headers.get("x-goog-api-key") != self.key:
            raise Refusal(400, "API_KEY_INVALID", "API key not valid. Please pass a valid API key.")

    def answer(self, job: Job, word: str) -> dict[str, Any]:
        """Return an interaction as the provider tells it."""
        told: dict[str, Any] = {
            "id": job.id,
            "object": "interaction",
            "model": job.facts["model"],
            "status": word,
            "created": "2026-11-22T10:00:00Z",
            "updated": "2026-11-22T10:00:05Z",
        }
        match job.outcome:
            case "done":
                thought = {"type": "thought", "summary": [_text("a fox, then")]}
                output = {"type": "model_output", "content": [self._video(job)]}
                told |= {"steps": [thought, output], "usage": _USAGE}
            case "moderated":
                words = "I cannot make this video. Please try another prompt."
                told["steps"] = [{"type": "model_output", "content": [_text(words)]}]
            case "failed":
                told["errors"] = [{"code": "internal", "message": "the model ran into an error"}]
        return told | (self.told if job.outcome else {})

    def _golden(
        self,
        name: str,
        request: GenerationRequest,
        given: list[dict[str, Any]],
        form: dict[str, Any],
        config: dict[str, Any],
    ) -> Golden:
        body = {
            "model": request.model,
            "input": [{"type": "user_input", "content": given}],
            "background": True,
            "store": True,
            "response_format": {"type": "video", "delivery": "uri", **form},
            "generation_config": config,
        }
        headers = {"x-goog-api-key": self.key}
        return Golden(name=name, request=request, path="/v1/interactions", headers=headers, json=body)

    def _create(self, request: Request, jobs: Jobs) -> Response:
        body = request.json
        flags = {"background": (True,), "store": (True,)}
        only_fields(body, {"model": str, "input": list, "response_format": dict, "generation_config": dict, **flags})
        if body["model"] not in _SECONDS:
            raise Refusal(404, "", f"models/{body['model']} is not found")
        if len(body["input"]) != 1:
            raise Refusal(400, "", "one step of the user's is wanted")
        only_fields(body["input"][0], {"type": ("user_input",), "content": list})
        for part in body["input"][0]["content"]:
            _require_part(part)
        times = tuple(f"{seconds}s" for seconds in _SECONDS[body["model"]])
        work = (body["generation_config"].get("video_config") or {}).get("task")
        shape: dict[str, object] = {"aspect_ratio": ("16:9", "9:16"), "duration": times}
        if work in ("edit", "extend"):
            shape = {} if work == "edit" else {"duration": tuple(f"{seconds}s" for seconds in range(3, 11))}
            if [part["type"] for part in body["input"][0]["content"]] != ["video", "text"]:
                raise Refusal(400, "", f"to {work} takes one video")
        fixed = {"type": ("video",), "delivery": ("uri",), "resolution": ("360p", "720p", "1080p", "4k")}
        only_fields(body["response_format"], fixed | shape)
        only_fields(body["generation_config"], {"seed": lambda seed: 0 <= seed < 2**31}, {"video_config": dict})
        only_fields(body["generation_config"].get("video_config", {}), {}, {"task": _TASKS})
        job = jobs.create(id=f"v1_Chd{len(jobs)}canary", **body)
        return Response(body=self.answer(job, "queued"))

    def _query(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        job.facts["base_url"] = jobs.base_url
        word = job.step()
        return Response(body=self.answer(job, word))

    def _cancel(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        if not job.is_running:
            raise Refusal(400, "FAILED_PRECONDITION", "the interaction does not run any more")
        job.cancel()
        return Response(body=self.answer(job, "cancelled"))

    def _video(self, job: Job) -> dict[str, Any]:
        part = {"type": "video", "mime_type": "video/mp4"}
        file = _file_of(job)
        self._asked[file] = 0
        match self.delivery:
            case "inline":
                return part | {"data": base64.b64encode(self.clip).decode()}
            case "name":
                return part | {"uri": f"files/{file}"}
        return part | {"uri": f"{job.facts.get('base_url', '')}/v1/files/{file}:download?alt=media"}

    def _file(self, request: Request, jobs: Jobs) -> Response:
        file = self._require_file(request, jobs)
        state = self.files[min(self._asked[file], len(self.files) - 1)]
        self._asked[file] += 1
        if isinstance(state, int):
            raise Refusal(state, "", "You do not have permission to access the File, or it may not exist.")
        told: dict[str, Any] = {"name": f"files/{file}", "mimeType": "video/mp4", "state": state, "source": "GENERATED"}
        if state == "FAILED":
            told["error"] = {"code": 13, "message": "the file could not be processed"}
        return Response(body=told)

    def _download(self, request: Request, jobs: Jobs) -> Response:
        file = self._require_file(request, jobs)
        if request.query != {"alt": "media"} or (self.files[-1] == "ACTIVE" and self._asked[file] < len(self.files)):
            raise Refusal(400, "", "the file is not ready")
        return Response()

    def _require_file(self, request: Request, jobs: Jobs) -> str:
        file = request.values["id"]
        if file not in {_file_of(job) for job in jobs}:
            raise Refusal(403, "", "You do not have permission to access the File, or it may not exist.")
        return file


def _file_of(job: Job) -> str:
    return f"file-{job.id[6:].lower()}"


def _text(words: str) -> dict[str, str]:
    return {"type": "text", "text": words}


def _require_part(part: dict[str, Any]) -> None:
    match part.get("type"):
        case "text":
            only_fields(part, {"type": str, "text": lambda text: isinstance(text, str) and bool(text)})
        case "image":
            only_fields(part, {"type": str, "data": RAW_BASE64, "mime_type": ("image/png", "image/jpeg")})
        case "video":
            only_fields(part, {"type": str, "data": _is_video, "mime_type": ("video/mp4", "video/mov", "video/webm")})
        case other:
            raise Refusal(400, "", f"there is no content of the type {other}")


def _is_video(value: Any) -> bool:
    try:
        return base64.b64decode(value, validate=True)[4:8] == b"ftyp"
    except (binascii.Error, TypeError):
        return False
