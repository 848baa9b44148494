"""Lets the page's own inline scripts run, and none that somebody smuggled into a text: each answer names its own."""

from __future__ import annotations

import re
import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ui.web.entrance.paths import is_page
from ui.web.entrance.policy import page_policy

_SCRIPT = re.compile(rb"<script(?=[\s>])", re.IGNORECASE)


class Nonces:
    """An ASGI middleware around gradio's page, which holds scripts within the HTML: each gets a nonce (CSP level 3).

    Handlers in attributes (``onerror=...``) and scripts without the nonce do not run. Within scripts the page's data
    has every ``<`` escaped, so what is found by the name of the tag is a tag.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; all but the page itself is passed on as it is."""
        if scope["type"] != "http" or scope["method"] != "GET" or not is_page(scope["path"]):
            await self._app(scope, receive, send)
            return
        # It is to be read here, so it must not come compressed.
        headers = [item for item in scope["headers"] if item[0].lower() != b"accept-encoding"]
        await self._app({**scope, "headers": headers}, receive, _Marking(send))


class _Marking:
    """Passes on an answer once it is whole, if it is a page; everything else at once."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._start: Message | None = None
        self._content = bytearray()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start" and _is_html(message):
            self._start = message
        elif self._start is None:
            await self._send(message)
        else:
            self._content += message.get("body", b"")
            if not message.get("more_body", False):
                await self._finish(self._start)

    async def _finish(self, start: Message) -> None:
        nonce = secrets.token_urlsafe(18)
        content = _SCRIPT.sub(b'<script nonce="%s"' % nonce.encode(), bytes(self._content))
        headers = MutableHeaders(raw=list(start["headers"]))
        headers["content-length"] = str(len(content))
        headers["content-security-policy"] = page_policy(nonce)
        del headers["etag"]
        await self._send({**start, "headers": headers.raw})
        await self._send({"type": "http.response.body", "body": content})


def _is_html(message: Message) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/html") for name, value in message["headers"])
