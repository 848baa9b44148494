"""Kling's two styles of request, as its documentation says them (https://klingai.com/document-api)."""

from __future__ import annotations

import base64
import hmac
import json
import time
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

ACCESS_KEY, SECRET_KEY = "canary-access-0123456789abcdef", "canary-secret-0123456789abcdef0123456789"
_CODES = {400: 1201, 401: 1002, 402: 1102, 403: 1103, 404: 1203, 429: 1302}
_RATIOS = ("16:9", "9:16", "1:1")
_TAG = {"external_task_id": str}
_FAILURES = {
    "failed": "the video could not be generated",
    "moderated": "Failure to pass the risk control system",
}


class KlingContract(Contract):
    """Both styles; the older one is what most checks use."""

    name: ClassVar[str] = "kling"
    model: ClassVar[str] = "kling-v3"
    base_url_variable: ClassVar[str] = "KLING_BASE_URL"
    keys: ClassVar[Mapping[str, str]] = {"KLING_API_KEY": "canary-kling-0123456789abcdef"}
    walk: ClassVar[tuple[str, ...]] = ("submitted", "processing")
    endings: ClassVar[Mapping[str, str]] = {"done": "succeed", "failed": "failed", "moderated": "failed"}

    def routes(self) -> tuple[Route, ...]:
        """Return the calls of both styles."""
        return (
            Route("POST /v1/videos/text2video", self._from_text, does="create"),
            Route("POST /v1/videos/image2video", self._from_image, does="create"),
            Route("POST /v1/videos/multi-image2video", self._from_references, does="create"),
            Route("GET /v1/videos/multi-image2video/{id}", self._query, does="poll"),
            Route("GET /v1/videos/text2video/{id}", self._query, does="poll"),
            Route("GET /v1/videos/image2video/{id}", self._query, does="poll"),
            Route("POST /text-to-video/kling-3.0-turbo", self._turbo_from_text, does="create"),
            Route("POST /image-to-video/kling-3.0-turbo", self._turbo_from_image, does="create"),
            Route("GET /tasks", self._tasks, does="poll"),
        )

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        """Return one order of each kind, in the older style."""
        headers = {"authorization": f"Bearer {self.key}"}
        sent: dict[str, Any] = {
            "model_name": "kling-v3",
            "prompt": "a fox in the snow",
            "mode": "std",
            "sound": "off",
            "cfg_scale": 0.5,
            "duration": "5",
            "external_task_id": TAG,
        }
        asked: dict[str, Any] = {"model": self.model, "prompt": "a fox in the snow"}
        more: dict[str, Any] = {"negative_prompt": "rain", "resolution": "1080p", "generate_audio": True}
        text, image = "/v1/videos/text2video", "/v1/videos/image2video"
        return (
            Golden(
                name="text to video",
                request=GenerationRequest(**asked),
                path=text,
                headers=headers,
                json=sent | {"aspect_ratio": "16:9"},
            ),
            Golden(
                name="image to video",
                request=GenerationRequest(**asked, conditionings=pictures.as_first_frame()),
                path=image,
                headers=headers,
                json=sent | {"image": RAW_BASE64},
            ),
            Golden(
                name="first and last frame",
                request=GenerationRequest(**asked, conditionings=pictures.as_first_and_last_frame()),
                path=image,
                json=sent | {"image": RAW_BASE64, "image_tail": RAW_BASE64},
            ),
            Golden(
                name="reference, ten seconds",
                request=GenerationRequest(
                    model="kling-v1.6-references",
                    prompt="a fox in the snow",
                    negative_prompt="rain",
                    resolution="1080p",
                    aspect_ratio="1:1",
                    duration_seconds=10,
                    conditionings=pictures.as_reference() * 2,
                ),
                path="/v1/videos/multi-image2video",
                headers=headers,
                json={
                    "model_name": "kling-v1-6",
                    "prompt": "a fox in the snow",
                    "negative_prompt": "rain",
                    "image_list": [{"image": RAW_BASE64}] * 2,
                    "mode": "pro",
                    "aspect_ratio": "1:1",
                    "duration": "10",
                    "external_task_id": TAG,
                },
            ),
            Golden(
                name="1080p with sound",
                request=GenerationRequest(**asked, **more, aspect_ratio="9:16", duration_seconds=15),
                path=text,
                json=sent
                | {
                    "mode": "pro",
                    "sound": "on",
                    "negative_prompt": "rain",
                    "duration": "15",
                    "aspect_ratio": "9:16",
                },
            ),
        )

    def authorize(self, request: Request) -> None:
        """Accept the key, or a token that the pair of keys has signed."""
        bearer = request.headers.get("authorization", "").removeprefix("Bearer ")
        if bearer != self.key and not _is_signed(bearer):
            raise Refusal(401, "1002", "Authorization is invalid")

    def refusal(self, refusal: Refusal) -> Response:
        """Return the envelope with a code; an empty account is told as HTTP 429."""
        code = int(refusal.code) if refusal.code.isdigit() else _CODES.get(refusal.status, 5000)
        status = 429 if code in (1101, 1102) else refusal.status
        return Response(status=status, body={"code": code, "message": refusal.message, "request_id": "r-1"})

    # -- the older style ----------------------------------------------------------------------------------------

    def _from_text(self, request: Request, jobs: Jobs) -> Response:
        return self._create(request, jobs, {"prompt": _is_prompt}, {"aspect_ratio": _RATIOS})

    def _from_image(self, request: Request, jobs: Jobs) -> Response:
        return self._create(request, jobs, {"image": RAW_BASE64}, {"prompt": _is_prompt, "image_tail": RAW_BASE64})

    def _from_references(self, request: Request, jobs: Jobs) -> Response:
        known = {
            "negative_prompt": _is_prompt,
            "mode": ("std", "pro"),
            "duration": ("5", "10"),
            "aspect_ratio": _RATIOS,
            **_TAG,
        }
        only_fields(request.json, {"model_name": ("kling-v1-6",), "prompt": _is_prompt, "image_list": list}, known)
        if not 1 <= len(request.json["image_list"]) <= 4:
            raise Refusal(400, "1201", "image_list must hold 1 to 4 images", "image_list")
        for item in request.json["image_list"]:
            only_fields(item, {"image": RAW_BASE64})
        return self._begun(request, jobs)

    def _create(
        self, request: Request, jobs: Jobs, required: dict[str, object], optional: dict[str, object]
    ) -> Response:
        known = {
            "negative_prompt": _is_prompt,
            "cfg_scale": lambda value: isinstance(value, int | float) and 0 <= value <= 1,
            "mode": ("std", "pro"),
            "sound": ("on", "off"),
            "duration": tuple(str(seconds) for seconds in range(3, 16)),
            **_TAG,
        }
        only_fields(request.json, {"model_name": ("kling-v3",), **required}, {**known, **optional})
        return self._begun(request, jobs)

    def _begun(self, request: Request, jobs: Jobs) -> Response:
        tag = self._new_tag(request.json.get("external_task_id"), jobs)
        job = jobs.create(id=f"8{len(jobs):017}", tag=tag, path=request.path)
        return _envelope(self._task(job, "submitted"))

    def _query(self, request: Request, jobs: Jobs) -> Response:
        path, _, name = request.path.rpartition("/")
        job = next((job for job in jobs if job.facts["path"] == path and name in (job.id, job.facts["tag"])), None)
        if job is None:
            raise Refusal(404, "1203", "the requested task does not exist")
        return _envelope(self._task(job, job.step()))

    def _task(self, job: Job, word: str) -> dict[str, Any]:
        body: dict[str, Any] = {
            "task_id": job.id,
            "task_status": word,
            "task_info": {"external_task_id": job.facts["tag"]},
            "created_at": job.created_at * 1000,
            "updated_at": job.created_at * 1000,
        }
        if job.outcome == "done":
            body |= {
                "task_result": {"videos": [{"id": f"v-{job.id}", "url": job.url(), "duration": "5.1"}]},
                "final_unit_deduction": "3.5",
            }
        return body | {"task_status_msg": _FAILURES.get(job.outcome, "")}

    # -- the newer style ----------------------------------------------------------------------------------------

    def _turbo_from_text(self, request: Request, jobs: Jobs) -> Response:
        only_fields(request.json, {"contents": list}, {"settings": dict, "options": dict})
        if [item.get("type") for item in request.json["contents"]] != ["prompt"]:
            raise Refusal(400, "1201", "contents must hold exactly one prompt")
        only_fields(request.json["contents"][0], {"type": str, "text": _is_long_prompt})
        return self._create_turbo(request, jobs, {"aspect_ratio": _RATIOS})

    def _turbo_from_image(self, request: Request, jobs: Jobs) -> Response:
        only_fields(request.json, {"contents": list}, {"settings": dict, "options": dict})
        kinds = [item.get("type") for item in request.json["contents"]]
        if sorted(kinds) not in (["first_frame"], ["first_frame", "prompt"]):
            raise Refusal(400, "1201", "contents must hold exactly one first_frame")
        for item in request.json["contents"]:
            only_fields(item, {"type": str, **({"text": str} if item["type"] == "prompt" else {"url": RAW_BASE64})})
        return self._create_turbo(request, jobs, {})

    def _create_turbo(self, request: Request, jobs: Jobs, more: dict[str, object]) -> Response:
        settings = {"resolution": ("720p", "1080p"), "duration": tuple(range(3, 16)), **more}
        only_fields(request.json.get("settings", {}), {}, settings)
        only_fields(request.json.get("options", {}), {}, _TAG)
        tag = self._new_tag(request.json.get("options", {}).get("external_task_id"), jobs)
        job = jobs.create(id=f"9{len(jobs):017}", tag=tag, path=request.path)
        return _envelope({"id": job.id, "status": "submitted", "message": "", "create_time": job.created_at * 1000})

    def _tasks(self, request: Request, jobs: Jobs) -> Response:
        ids, tags = request.query.get("task_ids"), request.query.get("external_task_ids")
        if (ids is None) == (tags is None):
            raise Refusal(400, "1200", "task_ids and external_task_ids are mutually exclusive and one is required")
        found = [job for job in jobs if (job.id == ids or (tags and job.facts["tag"] == tags))]
        return _envelope([self._turbo_task(job, job.step()) for job in found])

    def _turbo_task(self, job: Job, word: str) -> dict[str, Any]:
        word = "succeeded" if word == "succeed" else word
        body: dict[str, Any] = {"id": job.id, "external_id": job.facts["tag"], "status": word}
        if job.outcome == "done":
            body["outputs"] = [
                {"type": "image", "id": "cover", "url": "https://example.invalid/cover.png"},
                {"type": "video", "id": "v-1", "url": job.url(), "duration": "5"},
            ]
            body["billing"] = [{"amount": "4"}]
        return body | {"message": _FAILURES.get(job.outcome, "")}

    def _new_tag(self, tag: str | None, jobs: Jobs) -> str:
        if tag and any(job.facts["tag"] == tag for job in jobs):
            raise Refusal(400, "1201", "external_task_id is not unique", "external_task_id")
        return tag or ""


class _Tag:
    """Equals whatever the studio calls a job."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and other.startswith("studio-") and len(other) > 20

    def __hash__(self) -> int:
        return 0


TAG = _Tag()


def _envelope(data: Any) -> Response:
    return Response(body={"code": 0, "message": "SUCCEED", "request_id": "r-1", "data": data})


def _is_prompt(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 2500


def _is_long_prompt(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= 3072


def _is_signed(token: str) -> bool:
    """Say whether a JSON Web Token is signed with the pair of keys, and valid now (RFC 7519)."""
    head, _, rest = token.partition(".")
    body, _, signature = rest.partition(".")
    if not signature:
        return False
    expected = hmac.digest(SECRET_KEY.encode(), f"{head}.{body}".encode(), "sha256")
    claims = json.loads(_decoded(body))
    return (
        hmac.compare_digest(_decoded(signature), expected)
        and json.loads(_decoded(head)) == {"alg": "HS256", "typ": "JWT"}
        and claims["iss"] == ACCESS_KEY
        and claims["nbf"] <= time.time() < claims["exp"] <= time.time() + 1800
    )


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
