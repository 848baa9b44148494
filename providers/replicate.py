"""Replicate: models of many makers, each with input fields of its own."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, ClassVar

from providers.faults import Charged, Complaint, Kind
from providers.pictures import Attachment, Attachments
from providers.remote import RemoteGenerator
from providers.states import Charge, Result, State, Status
from providers.texts import addresses_in, job_id, json_option, merged, tells_of_moderation
from providers.wire import Answer, Call, Part
from studio.errors import JobExpired, Moderated, OutputExpired, ProtocolError, UnsupportedValue
from studio.generator import RunContext
from studio.request import GenerationRequest, ResolvedRequest

MAX_DATA_URI_BYTES = 256_000
_MODEL = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)/([A-Za-z0-9][A-Za-z0-9._-]*)(?::([0-9a-f]{64}))?")
_CODE = re.compile(r"\((E\d{3,5})\)")
_FLAGGED = "E005"
_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg"}


class Replicate(RemoteGenerator):
    """Predictions (https://replicate.com/docs/reference/http).

    `ModelSpec.settings["fields"]` says what the model calls the parts of a request; what it does not name, or
    names with an empty text, is not sent.
    """

    states: ClassVar[Mapping[str, State]] = {
        "starting": State.QUEUED,
        "processing": State.RUNNING,
        "succeeded": State.SUCCEEDED,
        "failed": State.FAILED,
        "canceled": State.CANCELED,
        "aborted": State.EXPIRED,
    }
    kinds: ClassVar[Mapping[str, Kind]] = {_FLAGGED: Moderated}
    charged: ClassVar[Mapping[Kind, Charged]] = {Moderated: "unknown"}

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        """Fill and check a request by the row, and the texts that are passed on."""
        resolved = super().resolve(request)
        self._model(resolved)
        json_option(resolved, "input")
        return resolved

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:  # noqa: ARG002
        """Return the order; the provider stops the job by itself when nobody waits for it any more."""
        owner, name, version = self._model(request)
        body: dict[str, Any] = {"input": merged(self._input(request, attachments), json_option(request, "input"))}
        path = f"v1/models/{owner}/{name}/predictions"
        if version:
            path, body["version"] = "v1/predictions", version
        minutes = max(math.ceil(self.remote.deadline_seconds / 60), 1)
        return Call(method="POST", path=path, json=body, headers={"cancel-after": f"{minutes}m"})

    def handle(self, answer: Answer) -> dict[str, Any]:
        """Return the prediction's id."""
        return {"id": job_id(answer.data["id"])}

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Ask by id."""
        return Call(method="GET", path=f"v1/predictions/{handle['id']}")

    def cancellation(self, handle: Mapping[str, Any]) -> Call:
        """Stop the prediction."""
        return Call(method="POST", path=f"v1/predictions/{handle['id']}/cancel")

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:  # noqa: ARG002
        """Read status, error, output and the seconds that the model computed."""
        data = answer.data
        word = str(data["status"])
        state, failure, urls = self.state_of(word), None, addresses_in(data.get("output"))
        match state:
            case State.FAILED:
                failure = self.failure(_complaint(data.get("error")))
            case State.EXPIRED:
                said = Complaint(code=word, message="the job did not start before its deadline")
                failure = self.fault(JobExpired, said, charged="no")
            case State.SUCCEEDED if data.get("data_removed"):
                state = State.EXPIRED
                failure = self.fault(OutputExpired, Complaint(message="the clip was removed"), charged="yes")
        return Status(
            word=word,
            state=state,
            failure=failure,
            charge=_charge(data),
            result=Result(url=urls[0]) if urls else None,
            outputs=max(len(urls), 1),
        )

    def upload(self, attachment: Attachment, run: RunContext) -> str:
        """Return a data URI where the file is as small as those may be, else the address of an uploaded file."""
        if len(attachment.content) <= MAX_DATA_URI_BYTES:
            return attachment.data_uri
        name = f"{attachment.role.value}{_SUFFIXES.get(attachment.mime_type, '')}"
        part = Part(name=name, content=attachment.content, mime_type=attachment.mime_type)
        answer = self.ask(Call(method="POST", path="v1/files", files={"content": part}), run)
        try:
            return str(answer.data["urls"]["get"])
        except (KeyError, TypeError) as error:
            raise self.fault(ProtocolError, Complaint(message="an upload without an address"), answer=answer) from error

    def _input(self, request: ResolvedRequest, attachments: Attachments) -> dict[str, Any]:
        form, files = self.format_of(request), attachments
        values: dict[str, Any] = {
            "prompt": request.prompt,
            "seconds": self.seconds_of(request),
            "resolution": form.resolution,
            "aspect_ratio": form.aspect_ratio,
            "frame_rate": round(float(request.frame_rate)),
            "seed": request.seed,
            "audio": request.generate_audio,
            "first_frame": files.first and files.first.link,
            "last_frame": files.last and files.last.link,
            "references": [item.link for item in files.references] or None,
        }
        fields: Mapping[str, str] = self.spec.settings["fields"]
        return {field: values[part] for part, field in fields.items() if field and values[part] is not None}

    def _model(self, request: ResolvedRequest) -> tuple[str, str, str]:
        name = self.model_name(request).strip()
        found = _MODEL.fullmatch(name)
        if found is None:
            raise UnsupportedValue(
                "names no model of Replicate",
                field="option model",
                got=name or "none",
                allowed="owner/name, or owner/name:version with the version's 64 digits",
                fix="https://replicate.com/collections/text-to-video lists some",
            )
        return found[1], found[2], found[3] or ""


def _complaint(error: object) -> Complaint:
    """Return what a failed prediction says; a code stands in brackets in its text."""
    text = str(error or "")
    code = _CODE.search(text)
    if code is None and tells_of_moderation(text):
        return Complaint(code=_FLAGGED, message=text)
    return Complaint(code=code[1] if code else "", message=text)


def _charge(data: Mapping[str, Any]) -> Charge | None:
    seconds = (data.get("metrics") or {}).get("predict_time")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not math.isfinite(seconds) or seconds < 0:
        return None
    return Charge(units=float(seconds), unit="second of computing")
