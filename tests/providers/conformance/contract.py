"""What the provider's side of an adapter says of itself: routes, words, and the requests that it expects."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from studio.errors import (
    KeyRefused,
    ModelGone,
    OutOfCredits,
    RateLimited,
    RequestRefused,
    StudioError,
    SubmitUnknown,
)
from studio.request import Conditioning, GenerationRequest, Role
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.jobs import Jobs
from tests.providers.conformance.messages import Refusal, Request, Response, Upload

Handler = Callable[[Request, Jobs], Response]

_EXPECTED: Mapping[str, type[StudioError]] = {
    "400": RequestRefused,
    "401": KeyRefused,
    "402": OutOfCredits,
    "404": ModelGone,
    "429": RateLimited,
    "429 retry-after": RateLimited,
    "500": SubmitUnknown,
    "502 html": SubmitUnknown,
    "503": SubmitUnknown,
    "reset before": SubmitUnknown,
    "reset after": SubmitUnknown,
    "truncated": SubmitUnknown,
    "cut": SubmitUnknown,
    "silence": SubmitUnknown,
}


@dataclass(frozen=True)
class Route:
    """One call of a provider. pattern: such as ``GET /videos/{id}``; ``{name*}`` takes slashes too.

    does: ``create`` costs money, ``poll`` asks how a job stands, ``result`` hands out the clip, ``cancel`` stops a job,
    ``other`` is all else. Faults and counts go by it.
    """

    pattern: str
    handle: Handler
    does: str = "other"

    def values(self, method: str, path: str) -> dict[str, str] | None:
        """Return what stands in the braces; None if a request is none of this route's."""
        verb, _, shape = self.pattern.partition(" ")
        if verb != method:
            return None
        parts = re.split(r"(\{\w+\*?\})", shape)
        text = "".join(_piece(part) for part in parts)
        found = re.fullmatch(text, path)
        return None if found is None else found.groupdict()


def _piece(part: str) -> str:
    if not part.startswith("{"):
        return re.escape(part)
    name = part.strip("{}")
    return f"(?P<{name[:-1]}>.+)" if name.endswith("*") else f"(?P<{name}>[^/]+)"


@dataclass(frozen=True, kw_only=True)
class Golden:
    """A request, and exactly how it must arrive at the provider as the order, which is the call that costs money.

    headers: those that must be there; the key's belongs to them. json: the whole body; or form: all parts, where a file
    is `FILE`. `DATA_URI`, `RAW_BASE64`, `ANY_TEXT` and `ANY_NUMBER` equal what they are named after.
    """

    name: str
    request: GenerationRequest
    path: str
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None
    form: Mapping[str, Any] | None = None


class Contract:
    """One provider's side. A subclass sets what stands here and writes `routes` and `goldens`.

    name: the provider's short name in the catalog. model: the row that most tests use.
    root: how the provider's base URL ends, such as ``/v1``. base_url_variable: as in the row.
    keys: environment variable -> canary, which must be found nowhere but in the headers of the provider's own calls.
    walk: words that tell that a job goes on, all of them, in order. endings: the words for ``done``, ``failed``,
    ``moderated`` and, where a job can be stopped, ``canceled``.
    expected: for a fault of the order, an error other than the usual one.
    moderation_charged: what the error says of a moderated job. cancels: whether a running job can be stopped.
    expires: whether an address of a clip runs out, and asking for the job again gives another.
    options: without which the row orders nothing, such as the name of a model.
    """

    name: ClassVar[str]
    model: ClassVar[str]
    root: ClassVar[str] = ""
    base_url_variable: ClassVar[str]
    keys: ClassVar[Mapping[str, str]]
    walk: ClassVar[tuple[str, ...]]
    endings: ClassVar[Mapping[str, str]]
    expected: ClassVar[Mapping[str, type[StudioError]]] = {}
    moderation_charged: ClassVar[str] = "unknown"
    cancels: ClassVar[bool] = False
    expires: ClassVar[bool] = True
    options: ClassVar[Mapping[str, str]] = {}

    # -- what a contract says -----------------------------------------------------------------------------------

    def routes(self) -> tuple[Route, ...]:
        """Return all calls that the documentation names and an adapter may use."""
        raise NotImplementedError

    def goldens(self, pictures: Pictures) -> tuple[Golden, ...]:
        """Return requests with the orders that they must lead to; the first is of text to video."""
        raise NotImplementedError

    def refusal(self, refusal: Refusal) -> Response:
        """Return a refusal in the provider's own shape."""
        error = {"code": refusal.code or None, "message": refusal.message, "param": refusal.field or None}
        return Response(status=refusal.status, body={"error": error})

    def authorize(self, request: Request) -> None:
        """Refuse a request without the key."""
        if request.headers.get("authorization") != f"Bearer {self.key}":
            raise Refusal(401, "invalid_api_key", "the key is not known")

    # -- what a contract has ------------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """The first canary."""
        return next(iter(self.keys.values()))

    def expected_error(self, fault: str) -> type[StudioError]:
        """Return which error a fault of the order must lead to."""
        return self.expected.get(fault, _EXPECTED[fault])


@dataclass(frozen=True)
class Pictures:
    """Files that golden requests start from. first, last: PNG, 128 x 72 pixels."""

    first: Path
    last: Path

    def as_first_frame(self) -> tuple[Conditioning, ...]:
        """Return what an image-to-video request holds."""
        return (Conditioning(role=Role.FIRST_FRAME, path=self.first),)

    def as_first_and_last_frame(self) -> tuple[Conditioning, ...]:
        """Return what a first-last-frame request holds."""
        return (*self.as_first_frame(), Conditioning(role=Role.LAST_FRAME, path=self.last))

    def as_reference(self) -> tuple[Conditioning, ...]:
        """Return what a reference request holds."""
        return (Conditioning(role=Role.REFERENCE, path=self.first),)


def only_fields(
    given: Mapping[str, Any], required: Mapping[str, object], optional: Mapping[str, object] | None = None
) -> None:
    """Refuse (400) a body with a field that is missing, unknown, or not what it may be.

    A field is a type, a tuple of allowed values, or a predicate. true and false are no numbers.
    """
    allowed = {**required, **(optional or {})}
    for name in required:
        if name not in given:
            raise Refusal(400, "invalid_request", f"{name} is missing", name)
    for name, value in given.items():
        if name not in allowed:
            raise Refusal(400, "invalid_request", f"{name} is not a field of this call", name)
        if not _fits(value, allowed[name]):
            raise Refusal(400, "invalid_request", f"{name} is not allowed to be {str(value)[:60]!r}", name)


def _fits(value: Any, rule: object) -> bool:
    match rule:
        case type():
            return isinstance(value, rule) and (rule is bool or not isinstance(value, bool))
        case tuple():
            return any(value == item and type(value) is type(item) for item in rule)
        case _ if callable(rule):
            return bool(rule(value))
    raise TypeError(f"not a rule: {rule!r}")


class _Like:
    """Equals whatever a function says yes to."""

    def __init__(self, name: str, is_one: Callable[[Any], bool]) -> None:
        self._name, self._is_one = name, is_one

    def __eq__(self, other: object) -> bool:
        return self._is_one(other)

    def __hash__(self) -> int:
        return hash(self._name)

    def __call__(self, value: Any) -> bool:
        return self._is_one(value)

    def __repr__(self) -> str:
        return f"<{self._name}>"


def is_picture(content: bytes) -> bool:
    """Say whether bytes are a whole PNG or JPEG."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content)) as image:
            image.load()
            return image.format in ("PNG", "JPEG")
    except (OSError, ValueError):
        return False


def _is_base64(value: Any) -> bool:
    try:
        return isinstance(value, str) and is_picture(base64.b64decode(value, validate=True))
    except ValueError:
        return False


def _is_data_uri(value: Any) -> bool:
    head, _, rest = value.partition(",") if isinstance(value, str) else ("", "", "")
    return head in ("data:image/png;base64", "data:image/jpeg;base64") and _is_base64(rest)


DATA_URI = _Like("a picture as a data URI", _is_data_uri)
RAW_BASE64 = _Like("a picture in base64 without a prefix", _is_base64)
ANY_TEXT = _Like("a text", lambda value: isinstance(value, str) and bool(value))
ANY_NUMBER = _Like("a number", lambda value: isinstance(value, int | float) and not isinstance(value, bool))
FILE = _Like("a picture as a file", lambda value: isinstance(value, Upload) and is_picture(value.content))

__all__ = [
    "ANY_NUMBER",
    "ANY_TEXT",
    "DATA_URI",
    "FILE",
    "RAW_BASE64",
    "Contract",
    "Faults",
    "Golden",
    "Jobs",
    "Pictures",
    "Refusal",
    "Request",
    "Response",
    "Route",
    "Upload",
    "only_fields",
]
