"""The videos protocol that OpenAI began and other servers speak: vLLM-Omni, gateways, and the studio itself."""

from __future__ import annotations

import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote

from providers.faults import Complaint, Kind, complaint_of
from providers.pictures import Attachments
from providers.remote import RemoteGenerator
from providers.states import Result, State, Status
from providers.wire import Answer, Call, Part
from studio.errors import Moderated, ProtocolError, ProviderBroken, QuotaUsedUp, RateLimited
from studio.request import ResolvedRequest

_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}
_MAX_ID_CHARACTERS = 2000  # gateways write where a job runs into its id
_MAX_WAIT_SECONDS = 60.0
# Options that the first servers did not know: not sent at this value, which leaves them to the server.
_UNSET = {"num_inference_steps": 0, "guidance_scale": 0.0, "fps": 0}


class OpenAIVideos(RemoteGenerator):
    """Videos (https://platform.openai.com/docs/api-reference/videos, as it was until 2026-09-24).

    What else vLLM-Omni takes is described at https://docs.vllm.ai/projects/vllm-omni.
    """

    states: ClassVar[Mapping[str, State]] = {
        "queued": State.QUEUED,
        "in_progress": State.RUNNING,
        "completed": State.SUCCEEDED,
        "failed": State.FAILED,
        "cancelled": State.CANCELED,
        "canceled": State.CANCELED,
        "expired": State.EXPIRED,
    }
    kinds: ClassVar[Mapping[str, Kind]] = {
        "moderation_blocked": Moderated,
        "content_policy_violation": Moderated,
        "insufficient_quota": QuotaUsedUp,
        "rate_limit_exceeded": RateLimited,
        "internal_error": ProviderBroken,
        "server_error": ProviderBroken,
    }

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:  # noqa: ARG002
        """Return the order, a form also where there is no picture; what nobody asked for is left to the server."""
        form = {
            "model": self.model_name(request),
            "prompt": request.prompt,
            "seconds": str(self.seconds_of(request)),
            "size": f"{request.width}x{request.height}",
            "negative_prompt": request.negative_prompt,
            "seed": str(request.seed) if request.options.get("send_seed", True) else "",
        }
        for name, unset in _UNSET.items():
            value = request.options.get(name, unset)
            form[name] = "" if value == unset else f"{value:g}"
        first = attachments.first
        files = None
        if first is not None:
            name = f"first-frame{_SUFFIXES.get(first.mime_type, '')}"
            files = {"input_reference": Part(name=name, content=first.content, mime_type=first.mime_type)}
        return Call(method="POST", path="videos", form={key: text for key, text in form.items() if text}, files=files)

    def complaint(self, answer: Answer) -> Complaint:
        """Return what a refusal says; a studio also says what it got and what it allows."""
        found = super().complaint(answer)
        with suppress(ProtocolError, KeyError, AttributeError, TypeError):
            error = answer.data["error"]
            more = [f"{name} {error[name]}" for name in ("got", "allowed") if error.get(name)]
            return replace(found, message="; ".join([found.message, *more]))
        return found

    def handle(self, answer: Answer) -> dict[str, Any]:
        """Return the video's id."""
        found = answer.data["id"]
        if not isinstance(found, str) or not 0 < len(found) <= _MAX_ID_CHARACTERS:
            raise ProtocolError("the answer names no job", got=str(found)[:60])
        return {"id": found}

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Ask by id."""
        return Call(method="GET", path=_path(handle))

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:
        """Read status, progress in percent, and error; the content has an address of its own."""
        data = answer.data
        word, progress = str(data["status"]), data.get("progress")
        state = self.state_of(word)
        failure = self.failure(complaint_of(data.get("error"))) if state is State.FAILED else None
        return Status(
            word=word,
            state=state,
            failure=failure,
            progress=progress / 100 if isinstance(progress, int | float) else None,
            result=Result(call=Call(method="GET", path=f"{_path(handle)}/content")),
            wait_seconds=_wait_seconds(answer),
        )


def _path(handle: Mapping[str, Any]) -> str:
    return f"videos/{quote(str(handle['id']), safe='')}"


def _wait_seconds(answer: Answer) -> float | None:
    """Return how long the server wants to be left alone, at most a minute; None where it does not say."""
    with suppress(ValueError):
        seconds = float(answer.headers.get("openai-poll-after-ms", "")) / 1000
        return min(max(seconds, 0.0), _MAX_WAIT_SECONDS) if math.isfinite(seconds) else None
    return None
