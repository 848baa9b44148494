"""Lets a form hand in only files that were uploaded to this page.

Gradio takes a file's place on this machine from what the browser sends, and copies it to where it can be fetched: of a
page that is mounted within another app it asks nothing about that place. So it is asked here, before gradio sees it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.api.problems import Refusal

_LISTENERS = re.compile(r"/gradio_api/(queue/join|run/.*)", re.ASCII)
# What gradio reads as a file: it has one of these, whatever else it says of itself.
_MARKS = frozenset({"path", "orig_name", "is_stream"})


class UploadedOnly:
    """An ASGI middleware before gradio. folder: where gradio puts what is uploaded."""

    def __init__(self, app: ASGIApp, *, folder: Path) -> None:
        self._app = app
        self._folder = folder.resolve()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or raise the `Refusal` that it deserves."""
        if scope["type"] != "http" or scope["method"] != "POST" or not _LISTENERS.fullmatch(scope["path"]):
            await self._app(scope, receive, send)
            return
        body = await _whole_body(receive)
        if body is None:
            return
        self.check(body)
        given = False

        async def replay() -> Message:
            nonlocal given
            if given:
                return await receive()
            given = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self._app(scope, replay, send)

    def check(self, body: bytes) -> None:
        """Raise a `Refusal` unless all files that a call of a listener names lie in the folder."""
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            raise Refusal(400, "this is not JSON") from None
        for file in _files_in(data):
            if not self._is_uploaded(file):
                raise Refusal(
                    422,
                    "this file was not uploaded to this page",
                    code="unsupported_value",
                    field="path",
                    allowed="files that were dropped or chosen here",
                    fix="add the file again",
                )

    def _is_uploaded(self, file: dict[str, Any]) -> bool:
        path = file.get("path")
        if not isinstance(path, str) or "\0" in path or len(path) > 4096:
            return False
        place = Path(path)
        try:
            return place.is_absolute() and place.resolve(strict=True).is_relative_to(self._folder)
        except (OSError, RuntimeError, ValueError):
            return False


def _files_in(data: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """Yield everything that gradio could take for a file."""
    if depth > 60:
        raise Refusal(400, "this is nested too deeply")
    if isinstance(data, dict):
        if _MARKS & data.keys() or "gradio.FileData" in str(data.get("meta")):
            yield data
        for value in data.values():
            yield from _files_in(value, depth + 1)
    elif isinstance(data, list):
        for value in data:
            yield from _files_in(value, depth + 1)


async def _whole_body(receive: Receive) -> bytes | None:
    """Return a body, whose size the door has limited; None where its sender went away."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        if not message.get("more_body", False):
            return bytes(body)
