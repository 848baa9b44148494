"""OpenRouter: one key for the video models of many, each with what its list of models declares."""

from __future__ import annotations

import math
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from providers.faults import Charged, Complaint, Kind, complaint_in, complaint_of
from providers.openrouter_models import listing_of
from providers.pictures import Attachment, Attachments
from providers.remote import RemoteGenerator
from providers.states import Charge, Result, State, Status
from providers.texts import job_id, json_option, tells_of_moderation
from providers.wire import Answer, Call, Wire
from studio.discovery import Listing
from studio.errors import Moderated, ProtocolError, UnsupportedValue
from studio.generator import Cost
from studio.request import GenerationRequest, ResolvedRequest

_MODEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._:-]*")
_MODERATION = "moderation"


class OpenRouter(RemoteGenerator):
    """Jobs of OpenRouter's video interface (https://openrouter.ai/docs/features/multimodal/video-generation)."""

    states: ClassVar[Mapping[str, State]] = {
        "pending": State.QUEUED,
        "in_progress": State.RUNNING,
        "completed": State.SUCCEEDED,
        "failed": State.FAILED,
        "cancelled": State.CANCELED,
        "expired": State.EXPIRED,
    }
    kinds: ClassVar[Mapping[str, Kind]] = {_MODERATION: Moderated}
    charged: ClassVar[Mapping[Kind, Charged]] = {Moderated: "unknown"}

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        """Fill and check a request by the row, and the texts that are passed on."""
        resolved = super().resolve(request)
        self._model(resolved)
        json_option(resolved, "provider")
        return resolved

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:  # noqa: ARG002
        """Return the order: size by name, pictures as data URIs."""
        form = self.format_of(request)
        body: dict[str, Any] = {
            "model": self._model(request),
            "prompt": request.prompt,
            "duration": self.seconds_of(request),
        }
        if form.sent_as:
            body["size"] = form.sent_as
        else:
            body |= {"resolution": form.resolution, "aspect_ratio": form.aspect_ratio}
        if self.spec.parameters.seed:
            body["seed"] = request.seed
        if self.remote.audio == "optional":
            body["generate_audio"] = request.generate_audio
        frames = (("first_frame", attachments.first), ("last_frame", attachments.last))
        if given := [_picture(item) | {"frame_type": role} for role, item in frames if item is not None]:
            body["frame_images"] = given
        if attachments.references:
            body["input_references"] = [_picture(item) for item in attachments.references]
        if passed_on := json_option(request, "provider"):
            body["provider"] = passed_on
        return Call(method="POST", path="videos", json=body)

    def handle(self, answer: Answer) -> dict[str, Any]:
        """Return the job's id."""
        return {"id": job_id(answer.data["id"])}

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Ask by id."""
        return Call(method="GET", path=f"videos/{handle['id']}")

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:
        """Read status, error, addresses and usage.cost, which is in US dollars."""
        data = answer.data
        word, charge = str(data["status"]), _charge(data)
        state = self.state_of(word)
        failure = None
        if state is State.FAILED:
            words = complaint_of(data.get("error")).message
            failure = self.failure(Complaint(code=_MODERATION if tells_of_moderation(words) else "", message=words))
            if charge is not None and charge.cost is not None:
                failure.details = {**failure.details, "charged": charge.word}
        links, own = data.get("urls") or [], data.get("unsigned_urls")
        result = None
        if links:
            result = Result(url=str(links[0]))
        elif own is None or own:
            result = Result(call=Call(method="GET", path=f"videos/{handle['id']}/content?index=0"))
        return Status(
            word=word,
            state=state,
            failure=failure,
            charge=charge,
            result=result,
            outputs=max(len(links), len(own or []), 1),
        )

    def complaint(self, answer: Answer) -> Complaint:
        """Tell a prompt that was flagged from a key that may not: both come as HTTP 403."""
        said = complaint_in(answer)
        with suppress(ProtocolError, KeyError, AttributeError, TypeError):
            facts = answer.data["error"]["metadata"]
            if answer.status == 403 and (facts.get("reasons") or facts.get("flagged_input")):
                return replace(said, code=_MODERATION)
        return said

    def list_models(self) -> Listing:
        """Ask for the list of models. A key is sent if there is one: the list is public."""
        known = self._keys.find(self.remote)
        wire = Wire(
            name=self.remote.provider_name,
            base_url=self.base_url,
            authorize=lambda: {} if known is None else {"authorization": f"Bearer {known.reveal()}"},
            poll_seconds=min(self.remote.poll_seconds, 0.5),
            transport=self._transport,
        )
        try:
            answer = wire.ask(Call(method="GET", path="videos/models"), time.sleep)
        finally:
            wire.close()
        if answer.status >= 300:
            raise self.refusal(answer)
        return listing_of(answer.data, self.spec.id, datetime.now(UTC).date())

    def _model(self, request: ResolvedRequest) -> str:
        name = self.model_name(request).strip()
        if not _MODEL.fullmatch(name):
            raise UnsupportedValue(
                "names no model of OpenRouter",
                field="option model",
                got=name or "none",
                allowed="such as google/veo-3.1",
                fix="`studio models refresh openrouter` writes a row for every model that there is",
            )
        return name


def _picture(item: Attachment) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": item.link}}


def _charge(data: Mapping[str, Any]) -> Charge | None:
    cost = (data.get("usage") or {}).get("cost")
    if isinstance(cost, bool) or not isinstance(cost, int | float) or not math.isfinite(cost) or cost < 0:
        return None
    return Charge(cost=Cost(amount=float(cost), currency="USD"))
