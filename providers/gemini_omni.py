"""Google's Gemini Omni: an interaction is ordered in the background and asked for, its clip is a file to be fetched.

Sources: https://ai.google.dev/gemini-api/docs/omni and https://ai.google.dev/api/interactions-api.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, ClassVar

from providers.faults import Charged, Complaint, Kind
from providers.lengths import as_long_as_its_video, longer_than_its_video
from providers.pictures import Attachment, Attachments
from providers.remote import RemoteGenerator
from providers.states import Charge, Result, State, Status
from providers.texts import job_id, tells_of_moderation
from providers.wire import Answer, Call, patient
from studio.errors import (
    AccessDenied,
    JobExpired,
    KeyRefused,
    Moderated,
    OutOfCredits,
    OutputExpired,
    ProviderBroken,
    ProviderFailed,
    QuotaUsedUp,
    RateLimited,
    RequestRefused,
    StillRunning,
    StudioError,
)
from studio.generator import RunContext
from studio.request import GenerationRequest, ResolvedRequest, Task

_INTERACTIONS, _FILES = "/v1/interactions", "/v1/files"
_FILE = re.compile(r"(?:^|/)files/([A-Za-z0-9_-]{1,100})(?=$|[:?])")
# A first and a last frame have no task of their own: the documentation gives both pictures and names no task.
_TASKS = {
    Task.TEXT_TO_VIDEO: "text_to_video",
    Task.IMAGE_TO_VIDEO: "image_to_video",
    Task.REFERENCE_TO_VIDEO: "reference_to_video",
}
# What a picture is for is said in the prompt ("Use tags in your prompt" in the documentation).
_TAGS = {Task.IMAGE_TO_VIDEO: "<FIRST_FRAME>", Task.FIRST_LAST_FRAME_TO_VIDEO: "<FIRST_FRAME> <LAST_FRAME>"}
_ENDS = {
    "requires_action": "the job waits for an action that only a person at the provider can take",
    "requires_continuation": "the job stopped half way and waits to be continued by another order",
    "incomplete": "the job ended before the clip was whole",
    "budget_exceeded": "a budget that is set at the provider was used up before the clip was done",
    "failed": "the job failed, and no reason was given",
    "completed": "the job ended with no clip, and no reason was given",
}
_DEFAULTS: Mapping[str, Kind] = {"completed": Moderated, "failed": ProviderBroken}
# Refusals that only words tell apart. A lost job and a bad key are HTTP 400 like a bad request.
_WORDS: tuple[tuple[re.Pattern[str], Kind], ...] = (
    (re.compile(r"invalid interaction name", re.IGNORECASE), JobExpired),
    (re.compile(r"api.?key.{0,20}(not valid|invalid|expired)", re.IGNORECASE), KeyRefused),
    (re.compile(r"\bblocked\b[^.]*\b(safety|polic)", re.IGNORECASE), Moderated),
)
_PER_DAY = re.compile(r"per.?(day|month)", re.IGNORECASE)


class GeminiOmni(RemoteGenerator):
    """One model of the Interactions API. Tags in the prompt say which picture comes first, and which last.

    The row's settings: `extends_to`, to how many seconds a video is made longer; a row without it edits videos.
    """

    states: ClassVar[Mapping[str, State]] = {
        "queued": State.QUEUED,
        "in_progress": State.RUNNING,
        "requires_action": State.NEEDS_INPUT,
        "requires_continuation": State.NEEDS_INPUT,
        "completed": State.SUCCEEDED,
        "failed": State.FAILED,
        "incomplete": State.FAILED,
        "budget_exceeded": State.FAILED,
        "cancelled": State.CANCELED,
    }
    kinds: ClassVar[Mapping[str, Kind]] = {
        "API_KEY_INVALID": KeyRefused,
        "API_KEY_*": AccessDenied,
        "BILLING_DISABLED": OutOfCredits,
        "FAILED_PRECONDITION": AccessDenied,
        "RESOURCE_EXHAUSTED": RateLimited,
        "INVALID_ARGUMENT": RequestRefused,
        "SAFETY*": Moderated,
        "IMAGE_SAFETY": Moderated,
        "PROHIBITED_CONTENT": Moderated,
        "IMAGE_PROHIBITED_CONTENT": Moderated,
        "BLOCKLIST": Moderated,
        "SPII": Moderated,
        "RECITATION": Moderated,
    }
    charged: ClassVar[Mapping[Kind, Charged]] = {JobExpired: "unknown", OutputExpired: "yes"}

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        """Fill and check a request; one that edits a video is as long as that, one that extends it says by how much."""
        most = self.spec.settings.get("extends_to")
        if most is None:
            return super().resolve(as_long_as_its_video(request))
        resolved = super().resolve(request)
        return longer_than_its_video(resolved, self.seconds_of(resolved), most)

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:  # noqa: ARG002
        """Return the call that begins an interaction in the background; it takes no name of ours.

        What goes in is one step of the user's, as in Google's own library.
        """
        chosen = self.format_of(request)
        form = {"type": "video", "resolution": chosen.resolution, "delivery": "uri"}
        work = self._work(request)
        if attachments.video is None:
            form["aspect_ratio"] = chosen.aspect_ratio
        if work != "edit":
            form["duration"] = f"{self.seconds_of(request)}s"
        config: dict[str, Any] = {"seed": request.seed}
        if work is not None:
            config["video_config"] = {"task": work}
        body = {
            "model": self.model_name(request),
            "input": [{"type": "user_input", "content": [*_media(attachments), _words(request)]}],
            "background": True,
            "store": True,  # what is not kept there cannot be asked for
            "response_format": form,
            "generation_config": config,
        }
        return Call(method="POST", path=_INTERACTIONS, json=body)

    def handle(self, answer: Answer) -> dict[str, Any]:
        """Return the interaction's id."""
        return {"id": job_id(answer.data["id"])}

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Return the call for an interaction."""
        return Call(method="GET", path=f"{_INTERACTIONS}/{handle['id']}")

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:  # noqa: ARG002
        """Return what an interaction's JSON means; one that is completed may hold the clip, its address, or neither."""
        data = answer.data
        word = str(data["status"])
        state = self.state_of(word)
        if state in (State.FAILED, State.NEEDS_INPUT):
            return Status(word=word, state=state, failure=self._failure(data, word))
        return self._finished(data, word) if state is State.SUCCEEDED else Status(word=word, state=state)

    def result(self, status: Status, handle: Mapping[str, Any], run: RunContext) -> Result:
        """Return where the clip is, once its file is ready. The key goes along on the provider's own origin alone."""
        found = super().result(status, handle, run)
        is_name = "://" not in found.url
        if found.content or not (is_name or self.wire.is_own(found.url)):
            return found
        file = _FILE.search(found.url)
        path = found.url
        if file is not None:
            place = f"{_FILES}/{file[1]}" if is_name else found.url[: file.end(1)]  # of the version that Google named
            self._wait_for_file(place, run)
            path = found.url if not is_name and "alt=media" in found.url else f"{place}:download?alt=media"
        return Result(call=Call(method="GET", path=path))

    def cancellation(self, handle: Mapping[str, Any]) -> Call | None:
        """Return the call that stops an interaction in the background."""
        return Call(method="POST", path=f"{_INTERACTIONS}/{handle['id']}/cancel")

    def authorization(self) -> dict[str, str]:
        """Return the header that holds the key."""
        return {"x-goog-api-key": self.key}

    def complaint(self, answer: Answer) -> Complaint:
        """Return what a refusal says, be it in the interactions' shape or in the one of all of Google's services."""
        return _complaint(answer.body)

    def refusal(self, answer: Answer) -> StudioError:
        """Return the error of a refusal. Some are told in words alone."""
        complaint = self.complaint(answer)
        kind = next((kind for words, kind in _WORDS if words.search(complaint.message)), None)
        if answer.status == 429 and _PER_DAY.search(answer.text):
            kind = QuotaUsedUp
        return super().refusal(answer) if kind is None else self.fault(kind, complaint, answer=answer)

    def _work(self, request: ResolvedRequest) -> str | None:
        """Return what the provider calls a request's task."""
        if request.task is Task.VIDEO_TO_VIDEO:
            return "extend" if "extends_to" in self.spec.settings else "edit"
        return _TASKS.get(request.task)

    def _finished(self, data: Mapping[str, Any], word: str) -> Status:
        """Return the status of a completed interaction. One without a clip was withheld, unless a clip was counted."""
        videos = [part for part in _output(data) if part.get("type") == "video"]
        usage = data.get("usage") or {}
        if not videos and not _made_video(usage):
            return Status(word=word, state=State.FAILED, failure=self._failure(data, word))
        tokens = usage.get("total_tokens")
        return Status(
            word=word,
            state=State.SUCCEEDED,
            result=_result(videos[0]) if videos else None,
            charge=Charge(units=float(tokens), unit="token") if isinstance(tokens, int) else None,
            outputs=max(len(videos), 1),
        )

    def _failure(self, data: Mapping[str, Any], word: str) -> StudioError:
        """Return why an interaction ended without a clip: by its errors, else by what the model wrote instead."""
        errors = [*(data.get("errors") or ()), data.get("error"), *(step.get("error") for step in _steps(data))]
        if (found := _first_error(errors)) is not None:
            kind: Kind = Moderated if tells_of_moderation(found.message) else ProviderBroken
            return self.failure(found if found.code else replace(found, code=word), kind)
        said = " ".join(str(part.get("text", "")) for part in _output(data) if part.get("type") == "text")
        kind = _DEFAULTS.get(word.lower(), ProviderFailed)
        return self.failure(Complaint(code=word, message=said or _ENDS[word.lower()]), kind)

    def _wait_for_file(self, place: str, run: RunContext) -> None:
        """Ask for a file until it can be fetched."""
        end = time.monotonic() + self.remote.deadline_seconds
        while True:
            data = self._file(place, run)
            state = str(data.get("state", "")).upper()
            if state == "ACTIVE":
                return
            if state == "FAILED":
                found = _first_error([data.get("error")]) or Complaint(message="the clip's file could not be made")
                raise self.failure(found, ProviderBroken)
            if time.monotonic() > end:
                raise StillRunning(
                    f"{self.remote.provider_name} has not made the clip's file ready in time",
                    got=f"{self.remote.deadline_seconds:.0f} s",
                    fix="`studio queue retry` waits on for it, and orders nothing",
                )
            patient(self.remote.poll_seconds, run.raise_if_canceled)

    def _file(self, place: str, run: RunContext) -> dict[str, Any]:
        try:
            return self.ask(Call(method="GET", path=place), run, is_poll=True).data
        except StudioError as error:
            if error.details.get("http_status") not in (403, 404, 410):  # 403 is also said of what is not there
                raise
            raise self.fault(OutputExpired, Complaint(message="the clip's file is not there any more")) from error


def _words(request: ResolvedRequest) -> dict[str, str]:
    """Return the prompt with the tags for its pictures, unless it has tags already."""
    tags = "" if "<FIRST_FRAME>" in request.prompt or "[# " in request.prompt else _TAGS.get(request.task, "")
    return {"type": "text", "text": f"{tags} {request.prompt}".strip() if tags else request.prompt}


def _media(attachments: Attachments) -> Iterator[dict[str, str]]:
    pictures = (attachments.first, attachments.last, *attachments.references)
    yield from (_content("image", item) for item in pictures if item is not None)
    if attachments.video is not None:
        yield _content("video", attachments.video)


def _content(kind: str, item: Attachment) -> dict[str, str]:
    mime_type = "video/mov" if item.mime_type == "video/quicktime" else item.mime_type
    return {"type": kind, "data": item.link, "mime_type": mime_type}


def _steps(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [step for step in data.get("steps") or () if step.get("type") == "model_output"]


def _output(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parts that the model made; ``output_video`` is a shorthand that some answers have besides."""
    parts = [part for step in _steps(data) for part in step.get("content") or ()]
    shorthand = data.get("output_video")
    return parts or ([{"type": "video", **shorthand}] if shorthand else [])


def _result(part: Mapping[str, Any]) -> Result:
    if part.get("data"):
        return Result(content=base64.b64decode(part["data"], validate=True))
    return Result(url=str(part["uri"]))


def _made_video(usage: Mapping[str, Any]) -> bool:
    """Say whether tokens of video were counted: a clip was made then, and is paid for."""
    counted = usage.get("output_tokens_by_modality") or ()
    return any(str(item.get("modality", "")).lower() == "video" and item.get("tokens") for item in counted)


def _complaint(body: bytes) -> Complaint:
    """Return what an error says: ``{"error": {...}}``, which Google's front end also sends as a list of one."""
    with suppress(ValueError, AttributeError, IndexError, TypeError, KeyError):
        data = json.loads(body)
        return _first_error([(data[0] if isinstance(data, list) else data)["error"]]) or Complaint()
    return Complaint()


def _first_error(errors: list[Any]) -> Complaint | None:
    """Return the first of some errors. code: a reason (google.rpc.ErrorInfo), a status, or an address's last word."""
    for error in errors:
        if isinstance(error, dict):
            details = [item for item in error.get("details") or () if isinstance(item, dict)]
            reason = next((item["reason"] for item in details if item.get("reason")), None)
            code = reason or error.get("status") or error.get("code") or ""
            return Complaint(code=str(code).rpartition("/")[2].upper(), message=str(error.get("message") or ""))
    return None
