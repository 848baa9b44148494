"""LTX of Lightricks: asynchronous jobs, one address for each kind of work."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from providers.download import Origin
from providers.faults import Complaint, Kind, complaint_in, complaint_of
from providers.pictures import Attachment, Attachments
from providers.remote import RemoteGenerator
from providers.states import Result, State, Status
from providers.texts import job_id
from providers.uploads import send_file
from providers.wire import Answer, Call, Part, patient
from studio.errors import (
    InputRefused,
    KeyRefused,
    Moderated,
    OutOfCredits,
    ProtocolError,
    ProviderBroken,
    RateLimited,
    RequestRefused,
    TooManyJobs,
)
from studio.generator import RunContext
from studio.request import ResolvedRequest


class Ltx(RemoteGenerator):
    """Jobs of the second version (https://docs.ltx.video/async-jobs)."""

    states: ClassVar[Mapping[str, State]] = {
        "pending": State.QUEUED,
        "processing": State.RUNNING,
        "completed": State.SUCCEEDED,
        "failed": State.FAILED,
    }
    kinds: ClassVar[Mapping[str, Kind]] = {
        "invalid_request_error": RequestRefused,
        "authentication_error": KeyRefused,
        "insufficient_funds_error": OutOfCredits,
        "request_too_large": InputRefused,
        "content_filtered_error": Moderated,
        "rate_limit_error": RateLimited,
        "concurrency_limit_error": TooManyJobs,
        "api_error": ProviderBroken,
        "service_unavailable": ProviderBroken,
    }

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:  # noqa: ARG002
        """Return the order: from text, from a first frame, or of more or other seconds for a video."""
        body: dict[str, Any] = {"model": self.model_name(request), "duration": self.seconds_of(request)}
        if request.prompt:
            body["prompt"] = request.prompt
        if attachments.video is not None:
            return _edit(request, attachments.video, body)
        body |= {
            "resolution": f"{request.width}x{request.height}",
            "fps": round(request.frame_rate),
            "generate_audio": request.generate_audio,
        }
        if attachments.first is None:
            return Call(method="POST", path="v2/text-to-video", json=body)
        body["image_uri"] = attachments.first.link
        if attachments.last is not None:
            body["last_frame_uri"] = attachments.last.link
        return Call(method="POST", path="v2/image-to-video", json=body)

    def handle(self, answer: Answer) -> dict[str, Any]:
        """Return the job's id, and the address of its kind of work."""
        return {"id": job_id(answer.data["id"]), "path": answer.path}

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Ask by id."""
        return Call(method="GET", path=f"{handle['path']}/{handle['id']}")

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:  # noqa: ARG002
        """Read status, result and error."""
        data = answer.data
        word = str(data["status"])
        state = self.state_of(word)
        url = str((data.get("result") or {}).get("video_url") or "")
        return Status(
            word=word,
            state=state,
            failure=self.failure(_typed(complaint_of(data.get("error")), data)) if state is State.FAILED else None,
            result=Result(url=url) if url else None,
        )

    def complaint(self, answer: Answer) -> Complaint:
        """Return what a refusal says; its type is what the documentation names."""
        with suppress(ProtocolError):
            return _typed(complaint_in(answer), answer.data)
        return Complaint()

    def upload(self, attachment: Attachment, run: RunContext) -> str:
        """Send a file to where LTX says, and return what stands for it there for 24 hours."""
        answer = self.ask(Call(method="POST", path="v1/upload"), run)
        url, name, headers = (answer.data.get(key) for key in ("upload_url", "storage_uri", "required_headers"))
        if not (isinstance(url, str) and isinstance(name, str) and name and isinstance(headers or {}, dict)):
            raise self.fault(ProtocolError, Complaint(message="the place for an upload has no name"))
        part = Part(name=attachment.role.value, content=attachment.content, mime_type=attachment.mime_type)
        origin = Origin(name=self.remote.provider_name, base_url=self.base_url, transport=self._transport)
        required = {str(key): str(value) for key, value in (headers or {}).items()}
        send_file(url, part, origin, partial(patient, look=run.raise_if_canceled), headers=required)
        return name


def _typed(complaint: Complaint, data: Mapping[str, Any]) -> Complaint:
    """Return a complaint with the error's type for its code, whatever code there is besides."""
    error = data.get("error")
    kind = error.get("type") if isinstance(error, dict) else None
    return replace(complaint, code=str(kind)) if kind else complaint


def _edit(request: ResolvedRequest, video: Attachment, body: Mapping[str, Any]) -> Call:
    """Return the order of an extension, or of new seconds in the place of old ones."""
    mode = str(request.options["mode"])
    table = {**body, "video_uri": video.link}
    if mode.startswith("extend"):
        return Call(method="POST", path="v2/extend", json={**table, "mode": mode.removeprefix("extend-")})
    start = float(request.options["start_seconds"])
    return Call(method="POST", path="v2/retake", json={**table, "mode": mode, "start_time": start})
