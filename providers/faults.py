"""From a provider's refusal to an error that says what was wrong, what to do next, and whether it costs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from providers.wire import Answer
from studio.catalog.remote import Remote
from studio.errors import (
    AccessDenied,
    DownloadBroken,
    InputRefused,
    JobExpired,
    KeyRefused,
    ModelGone,
    Moderated,
    OutOfCredits,
    OutputExpired,
    ProtocolError,
    ProviderBroken,
    ProviderFailed,
    QuotaUsedUp,
    RateLimited,
    RequestRefused,
    StudioError,
    TooManyJobs,
)
from studio.redaction import redact

Charged = Literal["yes", "no", "unknown"]
Kind = type[StudioError]
_WORD = re.compile(r"[a-z]+(_[a-z]+)+")
_HTTP_STATUS = re.compile(r"[45]\d\d")

BY_STATUS: Mapping[int, Kind] = {
    400: RequestRefused,
    401: KeyRefused,
    402: OutOfCredits,
    403: AccessDenied,
    404: ModelGone,
    410: ModelGone,
    413: InputRefused,
    415: InputRefused,
    422: RequestRefused,
    429: RateLimited,
}
_MESSAGES: Mapping[Kind, str] = {
    RequestRefused: "{name} does not accept the request",
    InputRefused: "{name} does not accept a picture or video of the request",
    ModelGone: "{name} does not know this model, or not any more",
    KeyRefused: "{name} does not know the key",
    AccessDenied: "{name} does not allow this with the key that it was given",
    OutOfCredits: "nothing is left to pay with at {name}",
    QuotaUsedUp: "{name} takes no more orders for now: a quota is used up",
    RateLimited: "{name} was asked too often, and did not take the order",
    TooManyJobs: "{name} runs as many jobs as it does at a time, and did not take another",
    Moderated: "{name} does not make or show this clip: its rules for content forbid it",
    ProviderBroken: "{name} failed to make the clip",
    ProviderFailed: "{name} did not make the clip",
    JobExpired: "{name} does not know the job any more",
    OutputExpired: "{name} does not have the clip any more",
    ProtocolError: "{name} gave an answer that its documentation does not allow for",
}
_FIXES: Mapping[Kind, str] = {
    ModelGone: "`studio models` shows what there is",
    OutOfCredits: "top up the account at the provider",
    QuotaUsedUp: "wait until it is renewed, or raise it at the provider",
    RateLimited: "wait, then `studio queue retry` the job: nothing was ordered",
    TooManyJobs: "wait for one of them, then `studio queue retry` the job: nothing was ordered",
    Moderated: "change the prompt or the pictures; the same request would end the same way",
    InputRefused: "use another file",
}


# What may end well if the same is done again later; nothing here is ever ordered again by itself.
RETRYABLE: frozenset[Kind] = frozenset(
    {RateLimited, TooManyJobs, QuotaUsedUp, ProviderBroken, OutputExpired, DownloadBroken}
)


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """What a provider says of a refusal or a failure. code: its own word or number. field: of the request."""

    code: str = ""
    message: str = ""
    field: str | None = None


def complaint_in(answer: Answer) -> Complaint:
    """Return what the usual shapes of error bodies say; nothing where a body is none of them.

    Known are ``{"error": {"code", "message", "param"}}``, ``{"error": "words"}``, ``{"code", "message"}``,
    ``{"detail": "words" | [{"loc", "msg", "type"}]}`` and problem details (RFC 9457).
    """
    try:
        data = answer.data
    except ProtocolError:
        return Complaint()
    error = data.get("error") or data
    if isinstance(error, str):
        code = data.get("code") or data.get("type") or (error if _WORD.fullmatch(error) else "")
        return Complaint(code=str(code), message=str(data.get("message") or error))
    if not isinstance(error, dict):
        return Complaint()
    detail = error.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        first = detail[0]
        found = first.get("loc")
        place = ".".join(str(part) for part in (found if isinstance(found, list) else ()) if part != "body")
        return Complaint(code=str(first.get("type", "")), message=str(first.get("msg", "")), field=place or None)
    words = error.get("message") or detail or error.get("title") or ""
    field = error.get("param") or error.get("field")
    return Complaint(code=_code_in(error), message=str(words), field=field if isinstance(field, str) else None)


def complaint_of(error: object) -> Complaint:
    """Return what the error of a failed job says, be it an object with a code and a message, or words alone."""
    if isinstance(error, Mapping):
        return Complaint(code=_code_in(error), message=str(error.get("message") or ""))
    return Complaint(message=str(error or ""))


def _code_in(error: Mapping[str, Any]) -> str:
    """Return the code of an error; one that only repeats the HTTP status says less than a word beside it."""
    said = [str(error[name]) for name in ("code", "type", "status") if error.get(name)]
    return next((word for word in said if not _HTTP_STATUS.fullmatch(word)), said[0] if said else "")


def kind_of(code: str, kinds: Mapping[str, Kind]) -> Kind | None:
    """Return the kind of error that a provider's code stands for. A key that ends with ``*`` fits what begins so."""
    if code in kinds:
        return kinds[code]
    fitting = [key for key in kinds if key.endswith("*") and code.startswith(key[:-1])]
    return kinds[max(fitting, key=len)] if fitting else None


def error_of(
    remote: Remote,
    kind: Kind,
    complaint: Complaint,
    *,
    answer: Answer | None = None,
    charged: Charged = "no",
) -> StudioError:
    """Return an error of this kind with all that is known about it, and nothing that is secret."""
    said = redact(" ".join(f"{complaint.code} {complaint.message}".split()))
    fix = _FIXES.get(kind)
    if kind in (KeyRefused, AccessDenied):
        source = remote.key_url or remote.provider_name
        fix = f"`studio keys set {remote.provider}` stores another key; {source} gives them"
    message = _MESSAGES.get(kind, "{name} did not make the clip").format(name=remote.provider_name)
    status = "" if answer is None else f"HTTP {answer.status}"
    field = redact(str(complaint.field)) if complaint.field else None  # some put something other than a text there
    error = kind(message, field=field, got=said or status or None, fix=fix)
    error.details = {
        "provider": remote.provider,
        "code": redact(complaint.code)[:100] or None,
        "http_status": None if answer is None else answer.status,
        "request_id": None if answer is None else answer.request_id,
        "charged": charged,
        "retryable": kind in RETRYABLE,
        "body": None if answer is None else redact(answer.text),
    }
    return error
