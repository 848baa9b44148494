"""Everything that can go wrong, as one shape of answer: `{"error": {"code", "message", "field", "got", ...}}`."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from starlette.responses import Response

from studio.disk import is_full, no_room
from studio.errors import (
    Canceled,
    DiskFull,
    EnvironmentFault,
    GenerationFailed,
    MissingKey,
    MissingPackage,
    MissingWeights,
    NotFound,
    ProviderFailed,
    RequestError,
    StoreBusy,
    StudioError,
    WeightsMismatch,
)
from studio.jobs.budget import OverBudget
from studio.jobs.quarantine import InWork
from studio.people.visitor import NotAllowed
from studio.redaction import redacted

# The first that fits decides. What a model lacks here is a conflict: the same request may do once it is mended.
_STATUSES: tuple[tuple[type[StudioError], int], ...] = (
    (NotFound, 404),
    (NotAllowed, 403),
    (InWork, 409),
    (OverBudget, 409),
    (RequestError, 422),
    (MissingWeights, 409),
    (WeightsMismatch, 409),
    (MissingKey, 409),
    (MissingPackage, 409),
    (DiskFull, 507),
    (EnvironmentFault, 503),
    (ProviderFailed, 502),
    (GenerationFailed, 500),
    (Canceled, 409),
)
_RETRY_SECONDS = 5
# What the studio calls by the names of its command line, and what clients of this API call it.
_FIELDS = {
    "image": "input_reference",
    "first-frame": "input_reference",
    "last_image": "last_frame",
    "last-frame": "last_frame",
    "reference": "references",
    "video": "source_video",
    "source-video": "source_video",
    "width x height": "size",
    "option": "options",
}
_PARTS = ("code", "message", "field", "got", "allowed", "fix")


class Refusal(Exception):
    """An answer that is not what was asked for. retry_after: seconds after which the same may work."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        field: str | None = None,
        got: object = None,
        allowed: str | None = None,
        fix: str | None = None,
        headers: Mapping[str, str] | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code or _snake(HTTPStatus(status).phrase)
        self.field = field
        self.got = None if got is None else _short(str(got))
        self.allowed = allowed
        self.fix = fix
        self.headers = dict(headers or {})
        if retry_after is not None:
            self.headers["retry-after"] = str(retry_after)

    def as_json(self) -> dict[str, Any]:
        """Return the body of the answer."""
        return {"error": {name: getattr(self, name) for name in _PARTS}}

    def as_response(self) -> Response:
        """Return the answer. ASCII, so that nothing in it can fail to be encoded."""
        content = json.dumps(self.as_json()).encode("ascii")
        return Response(content, self.status, self.headers, media_type="application/json")


def refusal_of(error: StudioError, home: Path) -> Refusal:
    """Return the answer that an error of the studio leads to. home: its path is not told to anybody."""
    told = without_paths(redacted(error.as_json()), home)
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    if type(error) is RequestError and error.field in ("job", "before", "asset"):
        status = 409  # whatever stands in the way is the state that it is in
    if type(error) is EnvironmentFault and error.field == "model":
        status = 409
    return Refusal(
        status,
        told["message"],
        code="conflict" if type(error) is RequestError and status == 409 else code_of(told["type"]),
        field=_field(told["field"]),
        got=told["got"],
        allowed=told["allowed"],
        fix=usable_fix(told["fix"]),
        retry_after=_RETRY_SECONDS if isinstance(error, StoreBusy) else None,
    )


def foreseen(error: Exception, home: Path) -> Refusal | None:
    """Return the answer to whatever a route raised; None where nobody foresaw it. home: as for `refusal_of`."""
    if isinstance(error, Refusal):
        return error
    known = no_room(home, what="this") if is_full(error) else error
    return refusal_of(known, home) if isinstance(known, StudioError) else None


def usable_fix(fix: str | None) -> str | None:
    """Return an advice; None for one on arguments of the command line, which is of no use to anybody elsewhere."""
    return None if "--" in (fix or "") else fix


def code_of(type_name: str) -> str:
    """Return the code of an error's class, such as ``missing_weights``."""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", type_name).lower()


def _below(kind: type[StudioError]) -> Iterator[str]:
    yield kind.__name__
    for below in kind.__subclasses__():
        yield from _below(below)


def without_paths(error: Mapping[str, Any], home: Path) -> dict[str, Any]:
    """Return an error, as `StudioError.as_json` writes it, that tells nothing of this machine's folders."""
    told = dict(error)
    if told.get("type") not in (*_below(StudioError), "WorkerDied"):  # somebody else's words; who knows what they tell
        told["message"] = f"an unexpected error ({told.get('type')})"
    got = told.get("got")
    if isinstance(got, str) and any(kind(got).is_absolute() for kind in (PurePosixPath, PureWindowsPath)):
        told["got"] = PureWindowsPath(got).name or None
    hidden: dict[str, Any] = without_home(told, home)
    return hidden


def without_home(value: Any, home: Path) -> Any:
    """Return a copy of JSON data in which the studio's home folder is called by its name, not by its path."""
    if isinstance(value, str):
        return value.replace(str(home), "STUDIO_HOME").encode("utf-8", "replace").decode()
    if isinstance(value, Mapping):
        return {key: without_home(item, home) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [without_home(item, home) for item in value]
    return value


def _field(name: str | None) -> str | None:
    if name is not None and name.startswith("option "):
        return name.replace(" ", "s.", 1)
    return _FIELDS.get(name or "", name)


def _snake(phrase: str) -> str:
    return re.sub(r"[^a-z]+", "_", phrase.lower()).strip("_")


def _short(text: str, limit: int = 200) -> str:
    printable = "".join(character if character.isprintable() else "?" for character in text[: limit + 1])
    return printable if len(printable) <= limit else printable[: limit - 1] + "…"
