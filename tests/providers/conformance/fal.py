"""fal's side: a queue for many models (https://fal.ai/docs/documentation/model-apis/inference/queue)."""

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

_PIKA = "fal-ai/pika/v2.2"
_RATIOS = ("16:9", "9:16", "1:1", "4:5", "5:4", "3:2", "2:3")
_SHARED: Mapping[str, object] = {"negative_prompt": str, "seed": int, "resolution": ("720p", "1080p")}


def _are_frames(value: Any) -> bool:
    return isinstance(value, list) and 2 <= len(value) <= 5 and all(item == DATA_URI for item in value)


def _are_transitions(value: Any) -> bool:
    return isinstance(value, list) and all(set(item) <= {"duration", "prompt"} for item in value)


# For each endpoint: required fields, optional fields.
_INPUTS: Mapping[str, tuple[Mapping[str, object], Mapping[str, object]]] = {
    f"{_PIKA}/text-to-video": ({"prompt": str}, {**_SHARED, "aspect_ratio": _RATIOS, "duration": (5, 10)}),
    f"{_PIKA}/image-to-video": ({"prompt": str, "image_url": DATA_URI}, {**_SHARED, "duration": (5, 10)}),
    f"{_PIKA}/pikaframes": (
        {"image_urls": _are_frames},
        {**_SHARED, "prompt": str, "transitions": _are_transitions},
    ),
    "acme/video/fast": ({"prompt": str}, {"image_url": DATA_URI, "duration": str, "loop": bool}),
}


class FalContract(Contract):
    """Endpoints behind one queue. It says COMPLETED of what failed, and why when it is asked for the result.

    trouble: what a job that failed says instead: HTTP status, body and headers. elsewhere: whether addresses in
    answers lie on the public name of the queue.
    """

    name = "fal"
    model = "fal-pika-2.2"
    base_url_variable = "FAL_BASE_URL"
    keys: ClassVar[Mapping[str, str]] = {"FAL_KEY": "0a1b2c3d-canary-fal:0123456789abcdef0123456789abcdef"}
    walk = ("IN_QUEUE", "IN_PROGRESS")
    endings: ClassVar[Mapping[str, str]] = {
        "done": "COMPLETED",
        "failed": "COMPLETED",
        "moderated": "COMPLETED",
        "canceled": "COMPLETED",
    }
    moderation_charged = "unknown"
    cancels = True
    expires = True

    def __init__(self) -> None:
        self.trouble: tuple[int, Any, dict[str, str]] | None = None
        self.elsewhere = False

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("GET /{owner}/{app}/requests/{id}/status", self._query, does="poll"),
            Route("GET /{owner}/{app}/requests/{id}", self._result),
            Route("PUT /{owner}/{app}/requests/{id}/cancel", self._cancel, does="cancel"),
            Route("POST /{endpoint*}", self._create, does="create"),
        )

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        text = GenerationRequest(
            model=self.model, prompt="a red fox in the snow", duration_seconds=10, aspect_ratio="4:5", seed=7
        )
        image = GenerationRequest(
            model=self.model,
            prompt="it turns its head",
            negative_prompt="text",
            duration_seconds=5,
            resolution="1080p",
            seed=8,
            conditionings=pictures.as_first_frame(),
        )
        return (
            self._golden(
                "text to video",
                text,
                f"{_PIKA}/text-to-video",
                {"prompt": text.prompt, "seed": 7, "resolution": "720p", "aspect_ratio": "4:5", "duration": 10},
            ),
            self._golden(
                "image to video",
                image,
                f"{_PIKA}/image-to-video",
                {
                    "prompt": image.prompt,
                    "negative_prompt": "text",
                    "seed": 8,
                    "resolution": "1080p",
                    "duration": 5,
                    "image_url": DATA_URI,
                },
            ),
        )

    def other_goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        """Return such for other rows of this provider."""
        frames = GenerationRequest(
            model="fal-pikaframes-2.2",
            duration_seconds=6,
            seed=9,
            conditionings=pictures.as_first_and_last_frame(),
        )
        anything = GenerationRequest(
            model="fal-any",
            prompt="a red fox",
            options={"model": "acme/video/fast", "input": '{"duration": "8s", "loop": true}'},
        )
        return (
            self._golden(
                "first and last frame",
                frames,
                f"{_PIKA}/pikaframes",
                {
                    "image_urls": [DATA_URI, DATA_URI],
                    "transitions": [{"duration": 6}],
                    "seed": 9,
                    "resolution": "720p",
                },
            ),
            self._golden(
                "any endpoint",
                anything,
                "acme/video/fast",
                {"prompt": "a red fox", "duration": "8s", "loop": True},
            ),
        )

    def refusal(self, refusal: Refusal) -> Response:
        if not refusal.field:
            return Response(status=refusal.status, body={"detail": refusal.message})
        wrong = {"loc": ["body", refusal.field], "msg": refusal.message, "type": "value_error"}
        return Response(status=422, body={"detail": [wrong]}, headers={"x-fal-retryable": "false"})

    def authorize(self, request: Request) -> None:
        if request.headers.get("authorization") != f"Key {self.key}":
            raise Refusal(401, "", "Authentication is required")

    def _golden(self, name: str, request: GenerationRequest, path: str, body: dict[str, Any]) -> Golden:
        headers = {"authorization": f"Key {self.key}"}
        return Golden(name=name, request=request, path=f"/{path}", headers=headers, json=body)

    def _create(self, request: Request, jobs: Jobs) -> Response:
        endpoint = request.values["endpoint"]
        if endpoint not in _INPUTS:
            raise Refusal(404, "", f"Application {endpoint!r} not found")
        only_fields(request.json, *_INPUTS[endpoint])
        job = jobs.create(app="/".join(endpoint.split("/")[:2]))
        root = "https://queue.fal.run" if self.elsewhere else jobs.base_url
        own = f"{root}/{job.facts['app']}/requests/{job.id}"
        urls = {"response_url": own, "status_url": f"{own}/status", "cancel_url": f"{own}/cancel"}
        body = {"status": "IN_QUEUE", "request_id": job.id, "queue_position": 2, **urls}
        return Response(body=body, headers={"x-fal-request-id": job.id})

    def _query(self, request: Request, jobs: Jobs) -> Response:
        job = self._find(request, jobs)
        word = job.step()
        told: dict[str, Any] = {"status": word, "request_id": job.id, "logs": None}
        if word == "IN_QUEUE":
            told["queue_position"] = 2
        if job.outcome:
            told["metrics"] = {"inference_time": 3.7}
        return Response(status=200 if job.outcome else 202, body=told, headers={"x-fal-request-id": job.id})

    def _result(self, request: Request, jobs: Jobs) -> Response:
        job = self._find(request, jobs)
        headers = {"x-fal-request-id": job.id}
        match job.outcome:
            case "done":
                video = {"url": job.url(), "content_type": "video/mp4", "file_name": "out.mp4", "file_size": None}
                return Response(body={"video": video}, headers=headers)
            case "moderated":
                wrong = {"loc": ["body", "prompt"], "msg": "flagged by a checker", "type": "content_policy_violation"}
                return Response(status=422, body={"detail": [wrong]}, headers=headers)
            case "failed":
                wrong = {"loc": ["body"], "msg": "the model ran out of memory", "type": "internal_server_error"}
                status, body, more = self.trouble or (500, {"detail": [wrong]}, {})
                return Response(status=status, body=body, headers=headers | more)
            case "canceled":
                gone = {"detail": "Request was cancelled", "error_type": "client_cancelled"}
                return Response(status=499, body=gone, headers=headers)
        raise Refusal(400, "", "Request is still in progress")

    def _cancel(self, request: Request, jobs: Jobs) -> Response:
        job = self._find(request, jobs)
        if not job.is_running:
            return Response(status=400, body={"status": "ALREADY_COMPLETED"})
        job.cancel()
        return Response(status=202, body={"status": "CANCELLATION_REQUESTED"})

    def _find(self, request: Request, jobs: Jobs) -> Job:
        job = jobs.find(request.values["id"])
        if job.facts["app"] != f"{request.values['owner']}/{request.values['app']}":
            raise Refusal(404, "", "Request not found")
        return job
