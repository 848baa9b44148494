"""Stands before every route: lets in who may, answers for what is not there, and notes each visit."""

from __future__ import annotations

import logging
import re
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.api.access import Access
from ui.api.bodies import in_time
from ui.api.problems import Refusal, foreseen

VISITS = logging.getLogger("studio.api.visits")
_log = logging.getLogger("studio.api")
HEAD = "studio.head"  # in the scope of a request for the headers alone
_METHODS = ("get", "put", "post", "delete", "patch")
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
}


@dataclass(frozen=True)
class Door:
    """A path of the OpenAPI document. queries: the parameters that each method takes. methods: of the Allow header."""

    template: str
    pattern: re.Pattern[str]
    queries: dict[str, dict[str, bool]]
    methods: tuple[str, ...]

    @classmethod
    def of(cls, template: str, operations: Mapping[str, Any]) -> Door:
        """Return the door that a path of the document describes."""
        pattern = "".join(
            "[^/]+" if part.startswith("{") else re.escape(part) for part in re.split(r"(\{[^}]*\})", template)
        )
        queries = {method: _queries(operations[method]) for method in _METHODS if method in operations}
        has_end = "text/event-stream" not in operations.get("get", {}).get("responses", {}).get("200", {}).get(
            "content", {}
        )
        if "get" in queries and has_end:
            queries["head"] = queries["get"]
        return cls(template, re.compile(pattern), queries, tuple(method.upper() for method in queries))


def _queries(operation: Mapping[str, Any]) -> dict[str, bool]:
    """Return the names of an operation's query parameters, and whether each may be given several times."""
    found = [item for item in operation.get("parameters", ()) if item["in"] == "query"]
    return {item["name"]: "array" in str(item["schema"]) for item in found}


class Doorman:
    """An ASGI middleware. document: of OpenAPI; what is not in it does not exist. home: its path is told to nobody."""

    def __init__(self, app: ASGIApp, *, access: Access, document: Mapping[str, Any], home: Path) -> None:
        self._app = app
        self._access = access
        self._home = home
        self._doors = [Door.of(path, operations) for path, operations in document["paths"].items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.monotonic()
        status = 0

        async def note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message = {**message, "headers": [*message["headers"], *_extra_headers(message["headers"])]}
            await send(message)

        door = next((door for door in self._doors if door.pattern.fullmatch(scope["path"])), None)
        try:
            await self._app(self._admitted(scope, door), in_time(receive), note)
        except ClientDisconnect:
            pass
        except Exception as error:
            # One that has begun to answer can only break off.
            if status:
                _log.warning("an answer broke off: %s", type(error).__name__)
                raise ConnectionAbortedError from None
            await self._refusal(error).as_response()(scope, receive, note)
        finally:
            spent = (time.monotonic() - began) * 1000
            place = door.template if door else "(unknown path)"
            # Neither queries nor ids nor headers: they may hold what others typed.
            VISITS.info("%s %s %s %.0f ms", scope["method"][:10], place, status or "-", spent)

    def _admitted(self, scope: Scope, door: Door | None) -> Scope:
        """Return the scope of a request that may go on. Raises a `Refusal`."""
        self._access.check(scope["path"], Headers(scope=scope))
        if door is None:
            raise Refusal(404, "there is no such path", fix="GET /openapi.json lists them")
        method = scope["method"].lower()
        if method not in door.queries:
            allowed = ", ".join(door.methods)
            raise Refusal(
                405, "this path has no such method", got=scope["method"], allowed=allowed, headers={"allow": allowed}
            )
        _require_known(door.queries[method], scope["query_string"])
        # The server drops the body of an answer to HEAD.
        return {**scope, "method": "GET", HEAD: True} if method == "head" else scope

    def _refusal(self, error: Exception) -> Refusal:
        refusal = foreseen(error, self._home)
        if refusal is not None:
            if refusal is not error and refusal.status >= 500:
                _log.warning("%s", refusal.message)
            return refusal
        # What it says may be somebody's prompt; where it happened is not.
        frames = traceback.extract_tb(error.__traceback__)[-6:]
        places = " < ".join(f"{Path(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
        _log.error("unforeseen: %s at %s", type(error).__name__, places)
        return Refusal(500, "something unforeseen went wrong; the server's log says where")


def _require_known(known: Mapping[str, bool], query: bytes) -> None:
    seen: set[str] = set()
    for name, _value in parse_qsl(query.decode("latin-1"), keep_blank_values=True):
        if name not in known or (name in seen and not known[name]):
            problem = "it is given twice" if name in known else "there is no such parameter"
            allowed = ", ".join(known) or "no parameters"
            raise Refusal(422, problem, code="unsupported_value", field=name, allowed=allowed)
        seen.add(name)


def _extra_headers(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    there = {name.lower() for name, _ in headers}
    extra = _HEADERS if b"cache-control" in there else {**_HEADERS, "cache-control": "no-store"}
    return [(name.encode(), value.encode()) for name, value in extra.items()]
