"""What comes to the server and what leaves it."""

from __future__ import annotations

import email
import email.policy
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any


class Refusal(Exception):
    """A request that the provider does not accept. field: of the request, where the provider names it."""

    def __init__(self, status: int, code: str = "", message: str = "refused", field: str = "") -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.field = status, code, message, field


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A file in a form."""

    name: str
    mime_type: str
    content: bytes


@dataclass(frozen=True, kw_only=True)
class Request:
    """One request as it came. provider: whose part of the server it was sent to; ``cdn`` for addresses of clips.

    path: below the provider's base URL, with a slash in front. query: without repetitions. headers: by lower-case name.
    at: seconds on the monotonic clock. values: what stood in the route's braces. does: the route's part in a job.
    """

    provider: str
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    at: float
    values: Mapping[str, str] = field(default_factory=dict)
    does: str = ""

    @cached_property
    def json(self) -> dict[str, Any]:
        """The body as a JSON object; a refusal (400) for anything else."""
        if self.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            raise Refusal(400, "invalid_request", "the content type is not application/json")
        try:
            found = json.loads(self.body)
        except ValueError:
            raise Refusal(400, "invalid_request", "the body is no JSON") from None
        if not isinstance(found, dict):
            raise Refusal(400, "invalid_request", "the body is no JSON object")
        return found

    @cached_property
    def form(self) -> dict[str, str | Upload]:
        """The parts of a multipart form; a refusal (400) for anything else, and for a field that is there twice."""
        kind = self.headers.get("content-type", "")
        if not kind.startswith("multipart/form-data"):
            raise Refusal(400, "invalid_request", "the content type is not multipart/form-data")
        head = f"Content-Type: {kind}\r\n\r\n".encode()
        message = email.message_from_bytes(head + self.body, policy=email.policy.HTTP)
        parts: dict[str, str | Upload] = {}
        for part in message.iter_parts():
            name = str(part.get_param("name", "", header="content-disposition"))
            if name in parts:
                raise Refusal(400, "invalid_request", f"{name} is there twice", name)
            content = part.get_payload(decode=True)
            assert isinstance(content, bytes)
            file = part.get_filename()
            is_file = file is not None
            parts[name] = (
                Upload(name=str(file), mime_type=part.get_content_type(), content=content)
                if is_file
                else content.decode()
            )
        return parts


@dataclass(frozen=True, kw_only=True)
class Response:
    """One answer. body: bytes, text, or what is written as JSON."""

    status: int = 200
    body: bytes | str | Mapping[str, Any] | list[Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        match self.body:
            case bytes():
                return self.body
            case str():
                return self.body.encode()
        return json.dumps(self.body).encode()

    @property
    def content_type(self) -> str:
        """What the headers say, else what fits the body."""
        named = {name.lower(): value for name, value in self.headers.items()}.get("content-type")
        if named:
            return named
        return {bytes: "application/octet-stream", str: "text/html"}.get(type(self.body), "application/json")
