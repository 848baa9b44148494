"""MiniMax's two kinds of video tasks, as its documentation says them (https://platform.minimax.io/docs)."""

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
from tests.providers.conformance.jobs import Job

_RATIOS = ("21:9", "16:9", "4:3", "1:1", "3:4", "9:16")
_ROLES = ("first_frame", "last_frame", "reference_image")
_ERRORS = {
    400: ("bad_request_error", 2013),
    401: ("authorized_error", 1004),
    402: ("insufficient_balance_error", 1008),
    404: ("not_found_error", 0),
    422: ("unprocessable_entity_error", 1026),
    429: ("rate_limit_error", 1002),
    500: ("server_error", 1000),
}
_FAILURES = {
    "failed": {"code": "1000", "message": "internal error"},
    "moderated": {"code": "1027", "message": "the generated video contains sensitive content"},
}


class MiniMaxContract(Contract):
    """The second version, where a task that waits can be stopped and one that is over be forgotten; and the first."""

    name: ClassVar[str] = "minimax"
    model: ClassVar[str] = "minimax-h3"
    base_url_variable: ClassVar[str] = "MINIMAX_BASE_URL"
    keys: ClassVar[Mapping[str, str]] = {"MINIMAX_API_KEY": "canary-minimax-0123456789abcdef"}
    walk: ClassVar[tuple[str, ...]] = ("queued", "running")
    endings: ClassVar[Mapping[str, str]] = {
        "done": "succeeded",
        "failed": "failed",
        "moderated": "failed",
        "canceled": "cancelled",
    }
    cancels: ClassVar[bool] = True

    def routes(self) -> tuple[Route, ...]:
        """Return the calls."""
        return (
            Route("POST /v2/video_generation", self._create, does="create"),
            Route("GET /v2/query/video_generation/{id}", self._query, does="poll"),
            Route("DELETE /v2/video_generation/{id}", self._delete, does="cancel"),
            Route("POST /v1/video_generation", self._create_old, does="create"),
            Route("GET /v1/query/video_generation", self._query_old, does="poll"),
            Route("GET /v1/files/retrieve", self._retrieve),
        )

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        """Return one order of each kind."""
        headers = {"authorization": f"Bearer {self.key}"}
        asked: dict[str, Any] = {"model": self.model, "prompt": "a fox in the snow"}
        text = {"type": "text", "text": "a fox in the snow"}
        sent: dict[str, Any] = {"model": "MiniMax-H3", "duration": 5, "resolution": "768P"}
        first, last, reference = (
            {"type": "image_url", "image_url": {"url": DATA_URI}, "role": role} for role in _ROLES
        )
        path = "/v2/video_generation"
        return (
            Golden(
                name="text to video",
                request=GenerationRequest(**asked),
                path=path,
                headers=headers,
                json=sent | {"content": [text], "ratio": "16:9"},
            ),
            Golden(
                name="image to video",
                request=GenerationRequest(**asked, conditionings=pictures.as_first_frame()),
                path=path,
                headers=headers,
                json=sent | {"content": [text, first], "ratio": "adaptive"},
            ),
            Golden(
                name="first and last frame",
                request=GenerationRequest(**asked, conditionings=pictures.as_first_and_last_frame()),
                path=path,
                json=sent | {"content": [text, first, last], "ratio": "adaptive"},
            ),
            Golden(
                name="reference, 2K, marked",
                request=GenerationRequest(
                    **asked,
                    conditionings=pictures.as_reference(),
                    resolution="2K",
                    aspect_ratio="9:16",
                    duration_seconds=15,
                    options={"aigc_watermark": True},
                ),
                path=path,
                json={
                    "model": "MiniMax-H3",
                    "duration": 15,
                    "resolution": "2K",
                    "ratio": "9:16",
                    "content": [text, reference],
                    "aigc_watermark": True,
                },
            ),
        )

    def refusal(self, refusal: Refusal) -> Response:
        """Return an error with its number at the end of the text."""
        kind, number = _ERRORS.get(refusal.status, _ERRORS[500])
        error = {"type": kind, "message": f"{refusal.message} ({number})", "http_code": str(refusal.status)}
        return Response(status=refusal.status, body={"type": "error", "error": error, "request_id": "r-1"})

    def _create(self, request: Request, jobs: Jobs) -> Response:
        only_fields(
            request.json,
            {
                "model": ("MiniMax-H3",),
                "content": list,
                "duration": tuple(range(5, 16)),
                "resolution": ("768P", "2K"),
            },
            {"ratio": ("adaptive", *_RATIOS), "aigc_watermark": bool},
        )
        roles = _roles_of(request.json["content"])
        if len(roles) > 9:
            raise Refusal(400, message="invalid params, at most 9 images")
        if any(role.endswith("_frame") for role in roles) and "reference_image" in roles:
            raise Refusal(400, message="frame roles and reference roles exclude each other")
        if not roles and request.json.get("ratio", "adaptive") == "adaptive":
            raise Refusal(400, message="invalid params, ratio is required for t2va and cannot be 'adaptive'")
        job = jobs.create(id=f"4{len(jobs):014}", told="queued", seconds=request.json["duration"])
        return Response(body={"task_id": job.id})

    def _query(self, request: Request, jobs: Jobs) -> Response:
        job = self._job(request, jobs)
        job.facts["told"] = word = job.step()
        task: dict[str, Any] = {
            "id": job.id,
            "model": "MiniMax-H3",
            "status": word,
            "task_type": "generation",
            "modality": "video",
            "created_at": job.created_at,
        }
        if job.outcome == "done":
            seconds = job.facts["seconds"]
            usage = {"total_seconds": seconds, "input_seconds": 0, "output_seconds": seconds, "input_image_count": 0}
            task |= {"content": {"url": job.url()}, "usage": usage, "duration": seconds}
        if job.outcome in _FAILURES:
            task["error"] = _FAILURES[job.outcome]
        return Response(body={"task": task})

    def _delete(self, request: Request, jobs: Jobs) -> Response:
        job = self._job(request, jobs)
        if not job.is_running and job.ending != "canceled":
            jobs.delete(job.id)
            return Response(body={"task_id": job.id, "action": "deleted", "status": job.words[0]})
        if job.facts["told"] != "queued" or job.ending == "canceled":
            raise Refusal(400, message="current task status does not allow this operation")
        job.cancel()
        return Response(body={"task_id": job.id, "action": "cancelled", "status": "cancelled"})

    # -- the first version --------------------------------------------------------------------------------------

    def _create_old(self, request: Request, jobs: Jobs) -> Response:
        lengths = (6, 10) if request.json.get("resolution") != "1080P" else (6,)
        only_fields(
            request.json,
            {"model": ("MiniMax-Hailuo-2.3", "MiniMax-Hailuo-2.3-Fast"), "prompt": str},
            {"first_frame_image": DATA_URI, "duration": lengths, "resolution": ("768P", "1080P")},
        )
        if request.json["model"].endswith("Fast") and "first_frame_image" not in request.json:
            raise Refusal(400, message="invalid params, first_frame_image is required")
        return _old(jobs.create(id=f"1{len(jobs):014}", told="", seconds=6), {})

    def _query_old(self, request: Request, jobs: Jobs) -> Response:
        job = self._job(request, jobs)
        word = _OLD_WORDS.get(job.step(), "Pondering")
        match job.outcome:
            case "done":
                return _old(job, {"status": word, "file_id": f"7{job.id}", "video_width": 1366, "video_height": 768})
            case "failed":
                return _old(job, {"status": word, "file_id": ""}, 1000, "internal error")
            case "moderated":
                return _old(job, {"status": word, "file_id": ""}, 1027, "the video contains sensitive content")
        return _old(job, {"status": word, "file_id": ""})

    def _retrieve(self, request: Request, jobs: Jobs) -> Response:
        job = next((job for job in jobs if request.query.get("file_id") == f"7{job.id}"), None)
        if job is None:
            raise Refusal(400, message="invalid file_id")
        file = {"file_id": f"7{job.id}", "filename": "output.mp4", "download_url": job.url()}
        return Response(body={"file": file, "base_resp": {"status_code": 0, "status_msg": "success"}})

    def _job(self, request: Request, jobs: Jobs) -> Job:
        wanted = request.values.get("id") or request.query.get("task_id")
        found = next((job for job in jobs if job.id == wanted), None)
        if found is None:
            raise Refusal(400, message="invalid task_id")
        return found


_OLD_WORDS = {"queued": "Queueing", "running": "Processing", "succeeded": "Success", "failed": "Fail"}


def _old(job: Job, more: Mapping[str, Any], code: int = 0, message: str = "success") -> Response:
    return Response(body={"task_id": job.id, **more, "base_resp": {"status_code": code, "status_msg": message}})


def _roles_of(content: list[Any]) -> list[str]:
    """Return the roles of the pictures; refuse what is not exactly one text and pictures."""
    if sum(item.get("type") == "text" for item in content) != 1:
        raise Refusal(400, message="invalid params, content must include a non-empty text item (prompt is required)")
    roles = []
    for item in content:
        if item["type"] == "text":
            only_fields(item, {"type": ("text",), "text": lambda text: isinstance(text, str) and 0 < len(text) <= 7000})
            continue
        only_fields(item, {"type": ("image_url",), "image_url": dict, "role": _ROLES})
        only_fields(item["image_url"], {"url": DATA_URI})
        roles.append(item["role"])
    return roles
