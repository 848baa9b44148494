"""The videos protocol that OpenAI began and other servers speak (https://docs.vllm.ai/projects/vllm-omni/)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from studio.request import GenerationRequest
from tests.providers.conformance.contract import (
    FILE,
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

_SECONDS = tuple(str(number) for number in range(1, 21))
_EXTRAS: Mapping[str, object] = dict.fromkeys(
    ("fps", "seed", "negative_prompt", "guidance_scale", "num_inference_steps", "width", "height"), str
)


def _is_size(value: Any) -> bool:
    width, _, height = str(value).partition("x")
    return width.isdigit() and height.isdigit()


class OpenAIVideosContract(Contract):
    """A server that does without a fixed list of sizes, as the self-hosted ones do."""

    name = "openai-videos"
    model = "openai-videos"
    root = "/v1"
    base_url_variable = "OPENAI_BASE_URL"
    keys: ClassVar = {"OPENAI_API_KEY": "canary-openai-0123456789abcdef"}
    walk = ("queued", "in_progress")
    endings: ClassVar = {"done": "completed", "failed": "failed", "moderated": "failed"}
    expires = True

    def routes(self) -> tuple[Route, ...]:
        return (
            Route("POST /videos", self._create, does="create"),
            Route("GET /videos/{id}", self._query, does="poll"),
            Route("GET /videos/{id}/content", self._content, does="result"),
        )

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        headers = {"authorization": f"Bearer {self.key}"}
        text = GenerationRequest(
            model=self.model,
            prompt="a red fox in the snow",
            duration_seconds=4,
            width=1280,
            height=720,
            seed=3,
            options={"model": "wan2.2"},
        )
        image = GenerationRequest(
            model=self.model,
            prompt="it turns its head",
            duration_seconds=8,
            width=720,
            height=1280,
            options={"model": "wan2.2", "num_inference_steps": 30},
            conditionings=pictures.as_first_frame(),
            seed=7,
        )
        form = {"model": "wan2.2", "prompt": text.prompt, "seconds": "4", "size": "1280x720", "seed": "3"}
        return (
            Golden(name="text to video", request=text, path="/videos", headers=headers, form=form),
            Golden(
                name="image to video",
                request=image,
                path="/videos",
                headers=headers,
                form={
                    "model": "wan2.2",
                    "prompt": image.prompt,
                    "seconds": "8",
                    "size": "720x1280",
                    "seed": "7",
                    "num_inference_steps": "30",
                    "input_reference": FILE,
                },
            ),
        )

    def _create(self, request: Request, jobs: Jobs) -> Response:
        required: Mapping[str, object] = {"prompt": str}
        rules = {"model": str, "seconds": _SECONDS, "size": _is_size, "input_reference": FILE, **_EXTRAS}
        only_fields(request.form, required, rules)
        given = request.form
        job = jobs.create(
            model=given.get("model"), seconds=given.get("seconds", "4"), size=given.get("size", "720x1280")
        )
        return self._answer(job, "queued")

    def _query(self, request: Request, jobs: Jobs) -> Response:
        job = jobs.find(request.values["id"])
        return self._answer(job, job.step())

    def _content(self, request: Request, jobs: Jobs) -> Response:
        if jobs.find(request.values["id"]).outcome != "done":
            raise Refusal(400, "not_ready", "the video is not completed")
        return Response()  # the server puts the clip into it

    def _answer(self, job: Job, word: str) -> Response:
        errors = {
            "failed": {"code": "internal_error", "message": "the model ran out of memory"},
            "moderated": {"code": "moderation_blocked", "message": "the request was blocked by our moderation system"},
        }
        body = {
            "id": job.id,
            "object": "video",
            **job.facts,
            "status": word,
            "progress": 100 if job.outcome == "done" else 10 * job.polls,
            "created_at": job.created_at,
            "error": errors.get(job.outcome),
        }
        return Response(body=body, headers={"openai-poll-after-ms": "10"})
