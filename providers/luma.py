"""Luma: clips of the Ray models through the Agents API, as generations that are ordered and asked for.

Sources: https://docs.agents.lumalabs.ai/guides/videos/generation, /guides/videos/editing and /guides/error-handling.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from providers.download import Origin
from providers.faults import Complaint, Kind
from providers.lengths import as_long_as_its_video
from providers.pictures import Attachment, Attachments
from providers.remote import RemoteGenerator
from providers.states import Result, State, Status
from providers.texts import addresses_in, job_id, tells_of_moderation
from providers.uploads import send_file
from providers.wire import Answer, Call, Part, patient
from studio.errors import (
    InputRefused,
    Moderated,
    OutOfCredits,
    OutputExpired,
    ProtocolError,
    ProviderBroken,
    RateLimited,
    RequestRefused,
    StudioError,
    TooManyJobs,
    UnsupportedValue,
)
from studio.generator import RunContext
from studio.request import GenerationRequest, ResolvedRequest

_SHORT_SECONDS = 5


class Luma(RemoteGenerator):
    """One model of the Agents API.

    The row's settings: `hdr`, whether clips have a high dynamic range; `video`, what is done with a video that is
    given: ``video_edit`` or ``video_reframe``.
    """

    states: ClassVar[Mapping[str, State]] = {
        "queued": State.QUEUED,
        "processing": State.RUNNING,
        "completed": State.SUCCEEDED,
        "failed": State.FAILED,
    }
    kinds: ClassVar[Mapping[str, Kind]] = {
        "content_moderated": Moderated,
        "generation_failed": ProviderBroken,
        "budget_exhausted": OutOfCredits,
        "output_not_found": OutputExpired,
        "image_too_large": InputRefused,
        "unsupported_format": InputRefused,
        "corrupt_input": InputRefused,
        "invalid_request": RequestRefused,
        "rate_limited": RateLimited,
    }

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        """Fill and check a request; one that starts from a video is as long as that."""
        if self._is_reframing and not (request.aspect_ratio or (request.width and request.height)):
            raise UnsupportedValue(
                "say which shape the clip is to have",
                field="aspect_ratio",
                got="none",
                allowed=", ".join(dict.fromkeys(f.aspect_ratio for f in self.spec.parameters.formats)),
            )
        resolved = super().resolve(as_long_as_its_video(request))
        if resolved.options.get("loop") and self.seconds_of(resolved) > _SHORT_SECONDS:
            raise UnsupportedValue(
                "a longer clip cannot be a loop", field="option loop", got=f"{self.seconds_of(resolved)} s",
                allowed=f"{_SHORT_SECONDS} s", fix="change option loop or duration_seconds",
            )  # fmt: skip
        return resolved

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:  # noqa: ARG002
        """Return the call that makes a generation; it takes no name of ours."""
        chosen = self.format_of(request)
        body: dict[str, Any] = {"model": self.model_name(request), "prompt": request.prompt}
        if attachments.video is not None:
            body |= {"type": self.spec.settings["video"], "source": {"file_id": attachments.video.link}}
            if self._is_reframing:
                return _create(body | {"aspect_ratio": chosen.aspect_ratio, "video": {"resolution": chosen.resolution}})
            strength = request.options.get("strength", "auto")
            edit = {"auto_controls": True} if strength == "auto" else {"strength": strength}
            return _create(body | {"video": {"resolution": chosen.resolution, "edit": edit}})
        video: dict[str, Any] = {"resolution": chosen.resolution, "duration": f"{self.seconds_of(request)}s"}
        if request.options.get("loop"):
            video["loop"] = True
        if self.spec.settings.get("hdr"):
            video["hdr"] = True
        video |= self._frames(request, attachments)
        return _create(body | {"type": "video", "aspect_ratio": chosen.aspect_ratio, "video": video})

    def handle(self, answer: Answer) -> dict[str, Any]:
        """Return the generation's id."""
        return {"id": job_id(answer.data["id"])}

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Return the call for a generation. Asked again after its end, it names a fresh address."""
        return Call(method="GET", path=f"/generations/{handle['id']}")

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:  # noqa: ARG002
        """Return what a generation's JSON means."""
        data = answer.data
        word = str(data.get("state") or data["status"])
        state, failure = self.state_of(word), None
        if state is State.FAILED:
            code, reason = str(data.get("failure_code") or ""), str(data.get("failure_reason") or "")
            default = Moderated if not code and tells_of_moderation(reason) else ProviderBroken
            failure = self.failure(Complaint(code=code, message=reason), default)
        videos = addresses_in([item for item in data.get("output") or () if _is_video(item)])
        result = Result(url=videos[0]) if videos else None
        return Status(word=word, state=state, failure=failure, result=result, outputs=max(len(videos), 1))

    def complaint(self, answer: Answer) -> Complaint:
        """Return what a refusal says; it may have a code as failures have."""
        found = super().complaint(answer)
        with suppress(ProtocolError):
            code = str(answer.data.get("failure_code") or "")
            words = found.message or str(answer.data.get("failure_reason") or "")
            return replace(found, code=code or found.code, message=words)
        return found

    def refusal(self, answer: Answer) -> StudioError:
        """Return the error of a refusal: by the HTTP status, or by the words where one status means two things."""
        complaint = self.complaint(answer)
        if answer.status == 429 and "concurren" in complaint.message.lower():
            return self.fault(TooManyJobs, complaint, answer=answer)
        if answer.status in (400, 422) and tells_of_moderation(complaint.message):
            return self.fault(Moderated, complaint, answer=answer)
        return super().refusal(answer)

    def upload(self, attachment: Attachment, run: RunContext) -> str:
        """Send a file to where Luma says, and return its id once it can be used."""
        size = len(attachment.content)
        slot = {"mime_type": attachment.mime_type, "size_bytes": size, "purpose": "input"}
        data = self.ask(Call(method="POST", path="/files", json=slot), run).data
        name, place = job_id(data.get("id")), data.get("upload")
        if not isinstance(place, dict):
            raise self.fault(ProtocolError, Complaint(message="no place for the file is named"))
        part = Part(name="source", content=attachment.content, mime_type=attachment.mime_type)
        origin = Origin(name=self.remote.provider_name, base_url=self.base_url, transport=self._transport)
        headers = {str(key): str(value) for key, value in (place.get("headers") or {}).items()}
        send_file(str(place.get("url")), part, origin, partial(patient, look=run.raise_if_canceled), headers=headers)
        self.ask(Call(method="POST", path=f"/files/{name}/complete"), run)
        self._wait_for_file(name, attachment, run)
        return name

    @property
    def _is_reframing(self) -> bool:
        return bool(self.spec.settings.get("video") == "video_reframe")

    def _frames(self, request: ResolvedRequest, attachments: Attachments) -> dict[str, Any]:
        """Return a clip's first and last frame. Long clips and such of high range take them as key frames alone."""
        first, last = attachments.first, attachments.last
        if self.seconds_of(request) > _SHORT_SECONDS or self.spec.settings.get("hdr"):
            frames = {0: first, request.num_frames: last}  # 5 s count from 0 to 120
            placed = {index: _picture(item) for index, item in frames.items() if item is not None}
            return {"keyframes": list(placed.values()), "keyframe_indexes": list(placed)} if placed else {}
        ends = {"start_frame": first, "end_frame": last}
        return {name: _picture(item) for name, item in ends.items() if item is not None}

    def _wait_for_file(self, name: str, attachment: Attachment, run: RunContext) -> None:
        """Ask for a file until Luma has looked at it."""
        end = time.monotonic() + self.remote.deadline_seconds
        while time.monotonic() < end:
            data = self.ask(Call(method="GET", path=f"/files/{name}"), run, is_poll=True).data
            state = data.get("state")
            if state == "ready":
                return
            if state in ("failed", "deleted"):
                reason = str(data.get("failure_reason") or state)
                kind: Kind = Moderated if tells_of_moderation(reason) else InputRefused
                raise self.fault(kind, Complaint(message=reason, field=attachment.role.value))
            patient(self.remote.poll_seconds, run.raise_if_canceled)
        raise self.fault(ProviderBroken, Complaint(message="the file that was sent is not ready after all this time"))


def _create(body: Mapping[str, Any]) -> Call:
    return Call(method="POST", path="/generations", json=body)


def _is_video(item: object) -> bool:
    """Say whether an output is the clip, which is one that is not called something else."""
    return not isinstance(item, dict) or item.get("type", "video") == "video"


def _picture(item: Attachment) -> dict[str, str]:
    return {"data": item.link, "media_type": item.mime_type}
