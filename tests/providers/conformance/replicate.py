"""Replicate's predictions and files, as its documentation says them."""

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
    Upload,
    is_picture,
    only_fields,
)
from tests.providers.conformance.jobs import Job

VERSION = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"


class ReplicateContract(Contract):
    """Predictions by a model's name or a version, their cancellation, and uploads."""

    name = "replicate"
    model = "replicate-any"
    base_url_variable = "REPLICATE_BASE_URL"
    keys = {"REPLICATE_API_TOKEN": "r8_canary0f1e2d3c4b5a69788796a5b4c3d2e1f0"}  # noqa: RUF012
    options = {"model": "maker/model"}  # noqa: RUF012
    walk = ("starting", "processing")
    endings = {  # noqa: RUF012
        "done": "succeeded",
        "failed": "failed",
        "moderated": "failed",
        "canceled": "canceled",
    }
    cancels = True
    expires = False

    def routes(self) -> tuple[Route, ...]:
        """Return the calls."""
        return (
            Route("POST /v1/models/{owner}/{model}/predictions", self._create, "create"),
            Route("POST /v1/predictions", self._create, "create"),
            Route("GET /v1/predictions/{id}", self._poll, "poll"),
            Route("POST /v1/predictions/{id}/cancel", self._cancel, "cancel"),
            Route("POST /v1/files", self._upload),
        )

    def refusal(self, refusal: Refusal) -> Response:
        """Return problem details (RFC 9457)."""
        body = {"title": refusal.code or "refused", "detail": refusal.message, "status": refusal.status}
        return Response(status=refusal.status, body=body, headers={"content-type": "application/problem+json"})

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        """Return one order of each kind."""
        by_name = {"model": "maker/model"}
        asked: dict[str, Any] = {"model": self.model, "prompt": "a fox in the snow", "seed": 7, "options": by_name}
        sent = {
            "prompt": "a fox in the snow",
            "duration": 5,
            "resolution": "720p",
            "aspect_ratio": "16:9",
            "seed": 7,
        }
        path, headers = "/v1/models/maker/model/predictions", {"cancel-after": "60m"}
        laid_over = {"model": f"maker/model:{VERSION}", "input": '{"resolution": null, "cfg": 5.5}'}
        return (
            Golden(
                name="text to video",
                request=GenerationRequest(**asked),
                path=path,
                headers=headers,
                json={"input": sent},
            ),
            Golden(
                name="image to video",
                request=GenerationRequest(**asked, conditionings=pictures.as_first_frame()),
                path=path,
                json={"input": sent | {"image": DATA_URI}},
            ),
            Golden(
                name="a version, and input laid over",
                request=GenerationRequest(**asked | {"options": laid_over}),
                path="/v1/predictions",
                headers=headers,
                json={
                    "version": VERSION,
                    "input": {name: value for name, value in sent.items() if name != "resolution"} | {"cfg": 5.5},
                },
            ),
            Golden(
                name="first and last frame",
                request=GenerationRequest(**asked, conditionings=pictures.as_first_and_last_frame()),
                path=path,
                json={"input": sent | {"image": DATA_URI, "last_frame_image": DATA_URI}},
            ),
        )

    def _create(self, request: Request, jobs: Jobs) -> Response:
        is_version = request.path == "/v1/predictions"
        known = {"version": lambda value: isinstance(value, str) and len(value) == 64} if is_version else {}
        only_fields(request.json, {"input": dict, **known})
        if not request.headers.get("cancel-after", "").endswith("m"):
            raise Refusal(400, "Bad request", "the studio always says how long it waits")
        if request.values.get("owner") == "nobody":
            raise Refusal(404, "Not found", "The requested resource could not be found.")
        if "prompt" not in request.json["input"]:
            raise Refusal(422, "Input validation failed", "- input: prompt is required")
        job = jobs.create(id=uuid.uuid4().hex[:26], input=request.json["input"])
        return Response(status=201, body=_prediction(jobs, job, "starting"))

    def _poll(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        body = _prediction(jobs, job, job.step())
        match job.outcome:
            case "done":
                body |= {"output": job.url(), "metrics": {"predict_time": 41.5, "total_time": 44.1}}
            case "failed":
                body |= {"error": "CUDA out of memory (E1001)"}
            case "moderated":
                body |= {"error": "The input or output was flagged as sensitive. Try other inputs. (E005)"}
        return Response(body=body)

    def _cancel(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        if job.is_running:
            job.cancel()
        return Response(body=_prediction(jobs, job, job.words[0]))

    def _upload(self, request: Request, jobs: Jobs) -> Response:
        content = request.form.get("content")
        if not isinstance(content, Upload) or not is_picture(content.content):
            raise Refusal(400, "Bad request", "content is no picture")
        found = uuid.uuid4().hex
        urls = {"get": f"{jobs.base_url}/v1/files/{found}"}
        return Response(status=201, body={"id": found, "name": content.name, "urls": urls})


def _prediction(jobs: Jobs, job: Job, word: str) -> dict[str, Any]:
    own = f"{jobs.base_url}/v1/predictions/{job.id}"
    return {
        "id": job.id,
        "model": "maker/model",
        "version": VERSION,
        "input": job.facts["input"],
        "logs": "",
        "output": None,
        "data_removed": False,
        "error": None,
        "source": "api",
        "status": word,
        "created_at": "2026-11-22T10:00:00.000Z",
        "urls": {"get": own, "cancel": f"{own}/cancel"},
    }
