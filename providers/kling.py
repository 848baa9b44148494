"""Kling: two styles of request, and a key or a pair of keys that signs a token."""

from __future__ import annotations

import base64
import hmac
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from providers.faults import Complaint, Kind
from providers.pictures import Attachment, Attachments
from providers.remote import RemoteGenerator
from providers.states import Charge, Result, State, Status
from providers.texts import job_id
from providers.wire import Answer, Call
from studio.errors import (
    AccessDenied,
    KeyRefused,
    MissingKey,
    ModelGone,
    Moderated,
    OutOfCredits,
    ProtocolError,
    ProviderBroken,
    ProviderFailed,
    RateLimited,
    RequestRefused,
    StudioError,
    TooManyJobs,
)
from studio.keys import FROM_KEYRING, missing_key
from studio.request import ResolvedRequest, Task

ACCESS_VARIABLE = "KLINGAI_ACCESS_KEY"
TOKEN_SECONDS, TOKEN_EARLY_SECONDS = 1800, 5
_TEXT, _IMAGE = "v1/videos/text2video", "v1/videos/image2video"
_PATHS = {
    Task.TEXT_TO_VIDEO: _TEXT,
    Task.IMAGE_TO_VIDEO: _IMAGE,
    Task.FIRST_LAST_FRAME_TO_VIDEO: _IMAGE,
    Task.REFERENCE_TO_VIDEO: "v1/videos/multi-image2video",
}
_TASKS = "tasks"
_MODERATION = re.compile(r"risk control|sensitive|content polic|moderat", re.IGNORECASE)


class Kling(RemoteGenerator):
    """Videos (https://kling.ai/document-api), in the style that `ModelSpec.settings["style"]` names.

    ``model-in-body``: the older one, up to version 3.0. ``model-in-path``: the one of 3.0 Turbo and later, where prompt
    and pictures travel in the list ``contents``.
    """

    states: ClassVar[Mapping[str, State]] = {
        "submitted": State.QUEUED,
        "processing": State.RUNNING,
        "succeed": State.SUCCEEDED,
        "succeeded": State.SUCCEEDED,
        "failed": State.FAILED,
    }
    kinds: ClassVar[Mapping[str, Kind]] = {
        "100*": KeyRefused,
        "110*": OutOfCredits,  # it comes as HTTP 429
        "1103": AccessDenied,
        "12*": RequestRefused,
        "1203": ModelGone,
        "1300": Moderated,
        "1301": Moderated,
        "1302": RateLimited,
        "1303": TooManyJobs,
        "5*": ProviderBroken,
    }

    def missing(self) -> str:
        """Return one sentence on which key, or which half of a pair, is missing."""
        try:
            self.authorization()
        except MissingKey as error:
            return error.sentence()
        return ""

    def authorization(self) -> dict[str, str]:
        """Return the key, or a token that a pair of keys has signed. Raises `MissingKey`."""
        key, secret = self._keys.find(self.remote), self._keys.find_secret(self.remote)
        if key is None:
            raise missing_key(self.remote)
        bearer = key.reveal()
        if key.origin == ACCESS_VARIABLE or (key.origin == FROM_KEYRING and secret is not None):
            if secret is None:
                raise missing_key(self.remote, is_second=True)
            bearer = signed_token(bearer, secret.reveal(), int(time.time()))
        return {"authorization": f"Bearer {bearer}"}

    def order(self, request: ResolvedRequest, attachments: Attachments, tag: str) -> Call:
        """Return the order, which carries our name for the job: it can be asked for by that."""
        if self._is_by_path:
            return self._order_by_path(request, attachments.first, tag)
        form, first, last = self.format_of(request), attachments.first, attachments.last
        body = {
            "model_name": self.model_name(request),
            "prompt": request.prompt,
            "negative_prompt": request.negative_prompt,
            "image": first and first.link,
            "image_tail": last and last.link,
            "image_list": [{"image": item.link} for item in attachments.references] or None,
            "mode": form.sent_as,
            "sound": None if self.remote.audio == "none" else "on" if request.generate_audio else "off",
            "cfg_scale": request.options.get("cfg_scale"),
            "aspect_ratio": None if first else form.aspect_ratio,
            "duration": str(self.seconds_of(request)),
            "external_task_id": tag,
        }
        given = {name: value for name, value in body.items() if value not in (None, "")}
        return Call(method="POST", path=_PATHS[request.task], json=given)

    def handle(self, answer: Answer) -> dict[str, Any]:
        """Return the job's id, and the path below which it is asked for."""
        data = self._envelope(answer, unclear=(ProviderBroken,))
        if self._is_by_path:
            return {"id": job_id(str(data["id"])), "path": _TASKS}
        return {"id": job_id(str(data["task_id"])), "path": answer.path}

    def question(self, handle: Mapping[str, Any]) -> Call:
        """Ask by id."""
        if handle["path"] == _TASKS:
            return Call(method="GET", path=_TASKS, params={"task_ids": handle["id"]})
        return Call(method="GET", path=f"{handle['path']}/{handle['id']}")

    def lookups(self, tag: str) -> tuple[Call, ...]:
        """Ask by our name for the job; in the older style, wherever the row's tasks are ordered."""
        if self._is_by_path:
            return (Call(method="GET", path=_TASKS, params={"external_task_ids": tag}),)
        paths = dict.fromkeys(_PATHS[task] for task in self.spec.tasks)
        return tuple(Call(method="GET", path=f"{path}/{tag}") for path in paths)

    def found(self, answer: Answer, tag: str) -> dict[str, Any] | None:
        """Return the handle of the job with our name."""
        data = self._envelope(answer, unclear=(ProviderFailed,))
        if self._is_by_path:
            ids = [item["id"] for item in data if item.get("external_id") == tag]
            return {"id": job_id(str(ids[0])), "path": _TASKS} if ids else None
        if data["task_info"]["external_task_id"] != tag:
            return None
        return {"id": job_id(str(data["task_id"])), "path": answer.path.removesuffix(f"/{tag}")}

    def status(self, answer: Answer, handle: Mapping[str, Any]) -> Status:
        """Read state, reason and clips, and the units that were taken for them."""
        data = self._envelope(answer, unclear=(ProviderBroken, RateLimited))
        told = _of_list(data, handle["id"]) if handle["path"] == _TASKS else _of_one(data)
        state = self.state_of(told.word)
        reason = Complaint(message=told.message)
        default: Kind = Moderated if _MODERATION.search(told.message) else ProviderFailed
        return Status(
            word=told.word,
            state=state,
            failure=self.failure(reason, default) if state is State.FAILED else None,
            result=Result(url=told.urls[0]) if told.urls else None,
            charge=None if told.units is None else Charge(units=told.units, unit="unit"),
            outputs=max(len(told.urls), 1),
        )

    @property
    def _is_by_path(self) -> bool:
        return bool(self.spec.settings["style"] == "model-in-path")

    def _order_by_path(self, request: ResolvedRequest, first: Attachment | None, tag: str) -> Call:
        form = self.format_of(request)
        settings: dict[str, Any] = {"resolution": form.resolution, "duration": self.seconds_of(request)}
        contents = [{"type": "prompt", "text": request.prompt}] if request.prompt else []
        if first is None:
            settings["aspect_ratio"] = form.aspect_ratio
        else:
            contents.append({"type": "first_frame", "url": first.link})
        body = {"contents": contents, "settings": settings, "options": {"external_task_id": tag}}
        operation = "text-to-video" if first is None else "image-to-video"
        return Call(method="POST", path=f"{operation}/{self.model_name(request)}", json=body)

    def _envelope(self, answer: Answer, *, unclear: tuple[type[StudioError], ...]) -> Any:
        """Return what an answer holds; a refusal may come as HTTP 200 too. unclear: refusals that prove nothing."""
        content = answer.data
        if str(content.get("code", 0)) == "0":
            return content["data"]
        error = self.refusal(answer)
        if isinstance(error, unclear):
            raise self.fault(ProtocolError, self.complaint(answer), answer=answer, charged="unknown") from error
        raise error


def signed_token(access_key: str, secret_key: str, now: int) -> str:
    """Return a JSON Web Token (RFC 7519, HMAC with SHA-256) for the next half hour. now: seconds since 1970."""
    claims = {"iss": access_key, "exp": now + TOKEN_SECONDS, "nbf": now - TOKEN_EARLY_SECONDS}
    parts = ({"alg": "HS256", "typ": "JWT"}, claims)
    text = ".".join(_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in parts)
    return f"{text}.{_base64url(hmac.digest(secret_key.encode(), text.encode(), 'sha256'))}"


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


@dataclass(frozen=True)
class _Told:
    """What either style says of a job. units: of the provider's, None where it does not tell."""

    word: str
    message: str
    urls: tuple[str, ...]
    units: float | None


def _of_one(data: Mapping[str, Any]) -> _Told:
    videos = (data.get("task_result") or {}).get("videos") or ()
    return _Told(
        word=str(data["task_status"]),
        message=str(data.get("task_status_msg") or ""),
        urls=tuple(str(item["url"]) for item in videos),
        units=_number(data.get("final_unit_deduction")),
    )


def _of_list(data: Any, task_id: str) -> _Told:
    item = next((item for item in data if str(item["id"]) == task_id), None)
    if item is None:
        raise ProtocolError("the answer does not speak of the job", got=f"{len(data)} others")
    amounts = [_number(bill.get("amount")) for bill in item.get("billing") or ()]
    known = [amount for amount in amounts if amount is not None]
    return _Told(
        word=str(item["status"]),
        message=str(item.get("message") or ""),
        urls=tuple(str(output["url"]) for output in item.get("outputs") or () if output.get("type") == "video"),
        units=sum(known) if known else None,
    )


def _number(value: object) -> float | None:
    """Return an amount, which comes as a text."""
    return float(str(value)) if re.fullmatch(r"\d{1,9}(\.\d{1,9})?", str(value)) else None
