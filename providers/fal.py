"""fal: models of many makers behind one queue, whose results are asked for in a second step.

Source: https://fal.ai/docs/documentation/model-apis/inference/queue.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urlsplit

from providers.faults import Charged, Complaint, Kind, complaint_in
from providers.pictures import Attachments
from providers.remote import RemoteGenerator
from providers.states import Result, State, Status
from providers.texts import addresses_in, job_id, json_option, merged
from providers.wire import Answer, Call, origin_of, patient
from studio.errors import (
    Canceled,
    InputRefused,
    JobExpired,
    Moderated,
    ProtocolError,
    ProviderBroken,
    ProviderFailed,
    StudioError,
    UnsupportedValue,
)
from studio.generator import RunContext
from studio.keys import missing_key
from studio.request import GenerationRequest, ResolvedRequest

_ENDPOINT = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)+", re.ASCII)
_PATH = re.compile(r"(/[A-Za-z0-9][\w.-]*)+", re.ASCII)


class Fal(RemoteGenerator):
    """One endpoint of fal, or, in a row without a model of its own, any.

    The row's settings: `endpoints`: the path for each task; without it the row's or the user's model is the path.
    `fields`: what the endpoint calls the parts of a request; what it does not name is not sent.
    """

    states: ClassVar[Mapping[str, State]] = {
        "in_queue": State.QUEUED,
        "in_progress": State.RUNNING,
        "completed": State.SUCCEEDED,
    }
    kinds: ClassVar[Mapping[str, Kind]] = {
        "content_policy_violation": Moderated,
        "image_*": InputRefused,
        "video_*": InputRefused,
        "file_*": InputRefused,
        "face_detection_error": InputRefused,
        "unsupported_image_format": InputRefused,
        "unsupported_video_format": InputRefused,
        "internal_*": ProviderBroken,
        "downstream_service_*": ProviderBroken,
        "generation_timeout": ProviderBroken,
        "no_media_generated": ProviderBroken,
        "request_timeout": ProviderBroken,
        "startup_timeout": ProviderBroken,
        "runner_*": ProviderBroken,
    }
    charged: ClassVar[Mapping[Kind, Charged]] = {Moderated: "unknown"}

    def missing(self) -> str:
        """Return one sentence on what the key lacks, which may be its second half, or an empty string."""
        try:
            self._whole_key()
        except StudioError as error:
            return error.sentence()
        return ""

    def resolve(self, request: GenerationRequest) -> ResolvedRequest:
        """Fill and check a request by the row, and the texts that are passed on."""
        resolved = super().resolve(request)
        self._endpoint(resolved)
        json_option(resolved, "input")
        return resolved

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:  # noqa: ARG002
        """Return the call that puts a request into the queue; it takes no name of ours."""
        body = merged(self._input(request, attachments), json_option(request, "input"))
        return Call(method="POST", path=self._endpoint(request), json=body)

    def handle(self, answer: Answer) -> dict[str, Any]:
        """Return the request's id, and where fal says that it is asked for."""
        data, name = answer.data, job_id(answer.data["request_id"])
        app = "/".join(answer.path.split("/")[:2])
        place = f"{self.base_url}/{app}/requests/{name}"  # where it lies when the answer does not say so
        usual = {"status_url": f"{place}/status", "response_url": place, "cancel_url": f"{place}/cancel"}
        return {"id": name} | {key: self._own(data.get(key) or url) for key, url in usual.items()}

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Return the call that asks where a request is in the queue."""
        return Call(method="GET", path=self._own(handle["status_url"]))

    def cancellation(self, handle: Mapping[str, Any]) -> Call:
        """Return the call that takes a request out of the queue, or asks its model to stop."""
        return Call(method="PUT", path=self._own(handle["cancel_url"]))

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:  # noqa: ARG002
        """Return where a request is. One that is completed may have failed: `result` finds out."""
        data = answer.data
        word, place, said = str(data["status"]), data.get("queue_position"), data.get("error")
        state = self.state_of(word)
        complaint = Complaint(code=str(data.get("error_type") or ""), message=str(said))
        return Status(
            word=word,
            state=state,
            note=f"{place} before it in the queue" if isinstance(place, int) and state is State.QUEUED else "",
            failure=self.failure(complaint, ProviderBroken) if said else None,
        )

    def result(self, status: Status, handle: Mapping[str, Any], run: RunContext) -> Result:
        """Return the clip's address. Raises what the request failed with, which is the answer to this question."""
        call = Call(method="GET", path=self._own(handle["response_url"]))
        answer = self.wire.ask(call, partial(patient, look=run.raise_if_canceled), is_final=_is_told)
        if answer.status >= 300:
            raise self._ended(answer)
        for name in ("video", "videos", "output", "video_url"):
            for url in addresses_in(answer.data.get(name)):
                if "://" in url:
                    return Result(url=url)
        if status.failure is not None:
            raise status.failure
        raise self.fault(ProtocolError, Complaint(message="the answer names no clip"), answer=answer, charged="unknown")

    def complaint(self, answer: Answer) -> Complaint:
        """Return what a refusal says: a list of ``{"loc", "msg", "type"}``, or ``{"detail", "error_type"}``."""
        found = complaint_in(answer)
        kind = found.code or _error_type(answer)
        return Complaint(code=kind, message=found.message, field=found.field)

    def authorization(self) -> dict[str, str]:
        """Return the header with the key, which may be a pair."""
        return {"authorization": f"Key {self._whole_key()}"}

    def _whole_key(self) -> str:
        """Return the key; a half of a pair with the other half behind it. Raises `MissingKey` where that is missing."""
        key, whole = self.key, self.remote.key_variables[:1]
        origin = self._keys.where(self.remote)
        if ":" in key or origin in whole:
            return key
        second = self._keys.find_secret(self.remote)
        if second is not None:
            return f"{key}:{second.reveal()}"
        if origin in self.remote.key_variables:
            raise missing_key(self.remote, is_second=True)
        return key

    def _ended(self, answer: Answer) -> StudioError:
        """Return why a completed request has no result. A request that is not known any more gives no reasons."""
        complaint = self.complaint(answer)
        if complaint.code.startswith("client_") or answer.status == 499:
            canceled = Canceled(f"{self.remote.provider_name} was told to stop the job, and did: it may still cost")
            canceled.details = {"provider": self.remote.provider, "charged": "unknown", "ended": True}
            return canceled
        if answer.status in (404, 410) and not re.search(
            r"\b(path|application|app|model)\b", complaint.message.lower()
        ):
            return self.fault(JobExpired, complaint, answer=answer, charged="unknown")
        if answer.status >= 500:
            return self.fault(ProviderBroken, complaint, answer=answer, charged="no")
        refused = self.refusal(answer)
        if isinstance(refused, ProviderFailed) or answer.status == 422:
            refused.details = {**refused.details, "charged": "unknown"}
        if answer.status not in (401, 403, 429):  # those are about this question, all else is about the job
            refused.details = {**refused.details, "ended": True}
        return refused

    def _input(self, request: ResolvedRequest, attachments: Attachments) -> dict[str, Any]:
        """Return the endpoint's input, by its own names of what a request holds."""
        form, files = self.format_of(request), attachments
        frames = [frame.link for frame in (files.first, files.last) if frame is not None]
        values: dict[str, Any] = {
            "prompt": request.prompt or None,
            "negative_prompt": request.negative_prompt or None,
            "seed": request.seed,
            "resolution": form.resolution,
            "aspect_ratio": form.sent_as or None,
            "duration": self.seconds_of(request),
            "transitions": [{"duration": self.seconds_of(request)}],
            "first_frame": files.first and files.first.link,
            "last_frame": files.last and files.last.link,
            "frames": frames or None,
        }
        names: Mapping[str, str] = self.spec.settings.get("fields", {})
        return {name: values[part] for part, name in names.items() if name and values[part] is not None}

    def _endpoint(self, request: ResolvedRequest) -> str:
        """Return the path of the endpoint. Raises `UnsupportedValue` for a name that is none."""
        endpoints: Mapping[str, str] = self.spec.settings.get("endpoints", {})
        name = endpoints.get(request.task.value, self.model_name(request)).strip()
        if not _ENDPOINT.fullmatch(name):
            raise UnsupportedValue(
                "this is no endpoint",
                field="option model",
                got=name or "none",
                allowed="a path such as fal-ai/pika/v2.2/text-to-video",
                fix="https://fal.ai/models lists them",
            )
        return name

    def _own(self, url: object) -> str:
        """Return an address of fal's own as it is; another is asked for by its path where the key may go."""
        path = urlsplit(url).path if isinstance(url, str) else ""
        if not _PATH.fullmatch(path):
            raise ProtocolError("the answer names no address for the job")
        return str(url) if origin_of(str(url)) == origin_of(self.base_url) else self.base_url + path


def _error_type(answer: Answer) -> str:
    """Return fal's word for trouble on the way, which stands in the body or in a header."""
    try:
        told = answer.data.get("error_type")
    except ProtocolError:
        told = None
    return str(told or answer.headers.get("x-fal-error-type", ""))


def _is_told(answer: Answer) -> bool:
    """Say whether fal itself tells of a failure, and so will tell it again, rather than something on the way to it."""
    return answer.status >= 500 and bool(complaint_in(answer).code or _error_type(answer))
