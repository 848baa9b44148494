"""Runway: its own models and those that it resells, as tasks that are ordered, asked for and deleted.

Source: https://docs.dev.runwayml.com/api (version 2024-11-06).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

from providers.download import Origin
from providers.faults import Charged, Complaint, Kind, complaint_in, kind_of
from providers.lengths import as_long_as_its_video
from providers.pictures import Attachment, Attachments
from providers.remote import RemoteGenerator
from providers.states import Charge, Result, State, Status
from providers.texts import addresses_in, job_id
from providers.uploads import send_file
from providers.wire import Answer, Call, Part, patient
from studio.errors import (
    InputRefused,
    Moderated,
    OutOfCredits,
    ProtocolError,
    ProviderBroken,
    ProviderFailed,
    QuotaUsedUp,
    StudioError,
)
from studio.generator import Cost, RunContext
from studio.request import GenerationRequest, ResolvedRequest, Task

_VERSION = {"x-runway-version": "2024-11-06"}
_PATHS = {
    Task.IMAGE_TO_VIDEO: "image_to_video",
    Task.FIRST_LAST_FRAME_TO_VIDEO: "image_to_video",
    Task.VIDEO_TO_VIDEO: "video_to_video",
}
_SUFFIXES = {"video/mp4": "mp4", "video/quicktime": "mov", "video/webm": "webm"}


class Runway(RemoteGenerator):
    """One model of Runway's API.

    The row's settings: `follows_video`: a clip is as long and as large as the video that it edits, and neither is sent.
    `body`: where an option goes in the request, with dots between the names of nested objects.
    """

    states: ClassVar[Mapping[str, State]] = {
        "pending": State.QUEUED,
        "throttled": State.QUEUED,
        "running": State.RUNNING,
        "succeeded": State.SUCCEEDED,
        "failed": State.FAILED,
        "cancelled": State.CANCELED,
    }
    kinds: ClassVar[Mapping[str, Kind]] = {
        "SAFETY*": Moderated,
        "INPUT_PREPROCESSING.SAFETY*": Moderated,
        "INTERNAL*": ProviderBroken,
        "INPUT_PREPROCESSING.INTERNAL": ProviderBroken,
        "THIRD_PARTY.*": ProviderBroken,
        "ASSET.*": InputRefused,
    }
    charged: ClassVar[Mapping[Kind, Charged]] = {Moderated: "yes"}

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        """Fill and check a request; one that edits a video is as long as that."""
        follows = self.spec.settings.get("follows_video")
        return super().resolve(as_long_as_its_video(request) if follows else request)

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:  # noqa: ARG002
        """Return the call that makes a task; it takes no name of ours."""
        rules, chosen = self.spec.parameters, self.format_of(request)
        body: dict[str, Any] = {"model": self.model_name(request)}
        if request.prompt:
            body["promptText"] = request.prompt
        if request.negative_prompt:
            body["negativePrompt"] = request.negative_prompt
        if not self.spec.settings.get("follows_video"):
            body["duration"] = self.seconds_of(request)
            body |= {"ratio": chosen.sent_as} if chosen.sent_as else {}
        if rules.seed:
            body["seed"] = request.seed
        if self.remote.audio == "optional":
            body["audio"] = request.generate_audio
        path = _PATHS.get(request.task, "text_to_video")
        return _call("POST", f"/v1/{path}", body | _media(attachments) | self._options(request))

    def handle(self, answer: Answer) -> dict[str, Any]:
        """Return the task's id."""
        return {"id": job_id(answer.data["id"])}

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Return the call for a task. Asked again after its end, it names fresh addresses."""
        return _call("GET", _task(handle))

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:  # noqa: ARG002
        """Return what a task's JSON means."""
        data = answer.data
        word = str(data["status"])
        state, progress, charge = self.state_of(word), data.get("progress"), self._charge(data)
        output = addresses_in(data.get("output"))
        return Status(
            word=word,
            state=state,
            progress=float(progress) if isinstance(progress, int | float) and state is State.RUNNING else None,
            note="as many of the account's tasks run as it may have at a time" if word == "THROTTLED" else "",
            failure=self._failure(answer, charge) if state is State.FAILED else None,
            result=Result(url=output[0]) if output else None,
            charge=charge,
            outputs=len(output),
        )

    def cancellation(self, handle: Mapping[str, Any]) -> Call | None:
        """Stop a task. One that is done would be deleted with its clip: `RemoteGenerator` looks first."""
        return _call("DELETE", _task(handle))

    def complaint(self, answer: Answer) -> Complaint:
        """Return what a refusal says: ``{"error", "issues": [{"path", "message"}]}``."""
        found = complaint_in(answer)
        with suppress(ProtocolError, KeyError, TypeError, IndexError):
            issue = answer.data["issues"][0]
            place = ".".join(str(part) for part in issue.get("path", ()))
            return replace(found, message=f"{found.message}: {issue['message']}", field=place or None)
        return found

    def refusal(self, answer: Answer) -> StudioError:
        """Return the error of a refusal. An empty account and a day's limit are told in words alone."""
        complaint, words = self.complaint(answer), self.complaint(answer).message.lower()
        if answer.status in (400, 402, 403) and "credits" in words:
            return self.fault(OutOfCredits, complaint, answer=answer)
        if answer.status == 429 and any(word in words for word in ("daily", "per day", "24 hours", "monthly")):
            return self.fault(QuotaUsedUp, complaint, answer=answer)
        return super().refusal(answer)

    def upload(self, attachment: Attachment, run: RunContext) -> str:
        """Send a file to where Runway says, and return its name there, which holds for 24 hours."""
        name = f"video.{_SUFFIXES.get(attachment.mime_type, 'mp4')}"
        slot = self.ask(_call("POST", "/v1/uploads", {"filename": name, "type": "ephemeral"}), run).data
        if not str(slot.get("runwayUri", "")).startswith("runway://") or not isinstance(slot.get("fields"), dict):
            raise self.fault(ProtocolError, Complaint(message="the place for an upload has no name"))
        fields = {str(key): str(value) for key, value in slot["fields"].items()}
        part = Part(name=name, content=attachment.content, mime_type=attachment.mime_type)
        origin = Origin(name=self.remote.provider_name, base_url=self.base_url, transport=self._transport)
        pause = partial(patient, look=run.raise_if_canceled)
        send_file(str(slot.get("uploadUrl", "")), part, origin, pause, fields=fields)
        return str(slot["runwayUri"])

    def _options(self, request: ResolvedRequest) -> dict[str, Any]:
        """Return the options that are not left at their default, where the row says that they go."""
        found: dict[str, Any] = {}
        for name, place in self.spec.settings.get("body", {}).items():
            if (value := request.options[name]) != self.spec.parameters.options[name].default:
                *outer, last = place.split(".")
                inner = found
                for key in outer:
                    inner = inner.setdefault(key, {})
                inner[last] = value
        return found

    def _charge(self, data: Mapping[str, Any]) -> Charge | None:
        """Return what a task that is over cost; before that it names estimates alone."""
        cost = data.get("cost")
        units = cost.get("credits") if isinstance(cost, dict) else None
        if not isinstance(units, int | float):
            return None
        prices = self.remote.prices
        price = None if prices is None or prices.credit is None else round(units * prices.credit, 6)
        money = None if prices is None or price is None else Cost(amount=price, currency=prices.currency)
        return Charge(cost=money, units=float(units), unit="credit")

    def _failure(self, answer: Answer, charge: Charge | None) -> StudioError:
        complaint = Complaint(
            code=str(answer.data.get("failureCode") or ""), message=str(answer.data.get("failure") or "")
        )
        kind = kind_of(complaint.code, self.kinds) or ProviderFailed
        charged: Charged = self.charged.get(kind, "unknown")
        if charge is not None:
            charged = charge.word
        return self.fault(kind, complaint, answer=answer, charged=charged)


def _call(method: str, path: str, body: Mapping[str, Any] | None = None) -> Call:
    return Call(method=method, path=path, json=body, headers=_VERSION)


def _task(handle: Mapping[str, Any]) -> str:
    return f"/v1/tasks/{handle['id']}"


def _media(attachments: Attachments) -> dict[str, Any]:
    """Return the request's fields for pictures and videos. A first frame alone needs no position."""
    found: dict[str, Any] = {}
    if attachments.first is not None:
        found["promptImage"] = attachments.first.link
    if attachments.first is not None and attachments.last is not None:
        frames = (("first", attachments.first), ("last", attachments.last))
        found["promptImage"] = [{"uri": frame.link, "position": position} for position, frame in frames]
    if attachments.references:
        found["references"] = [{"uri": item.link} for item in attachments.references]
    if attachments.video is not None:
        found["videoUri"] = attachments.video.link
    return found
