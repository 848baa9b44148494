"""Time stamps (RFC 3161) by an authority that the user configured: asking within a deadline."""

from __future__ import annotations

import os
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from studio.config import Settings
from studio.errors import EnvironmentFault

DEADLINE_SECONDS = 15.0

_LOOPBACK = "127.0.0.1"
_QUERY, _REPLY = "application/timestamp-query", "application/timestamp-reply"
_MAX_QUERY_BYTES, _MAX_REPLY_BYTES = 2**12, 2**16


@dataclass(kw_only=True)
class Clock:
    """Whom to ask for the time of one signature, and what came of it.

    authority: its web address. missed: why there is no time stamp; None if there is one, or nobody was asked yet.
    """

    authority: str
    deadline_seconds: float = DEADLINE_SECONDS
    missed: str | None = None


def clock_of(settings: Settings) -> Clock | None:
    """Return whom to ask for the time, None where nobody is configured."""
    return None if settings.timestamp_url is None else Clock(authority=settings.timestamp_url)


def require_clock(settings: Settings) -> Clock:
    """Return whom to ask for the time. Raises EnvironmentFault where nobody is configured."""
    clock = clock_of(settings)
    if clock is None:
        raise EnvironmentFault(
            "no time stamp authority is configured",
            field="STUDIO_TIMESTAMP_URL",
            fix="set STUDIO_TIMESTAMP_URL to the web address of one",
        )
    return clock


class Relay:
    """One conversation with an authority.

    url: what the signing library is to ask. was_asked: whether it did. failure: why no answer came in time.
    """

    def __init__(self, authority: str, deadline_seconds: float) -> None:
        self.path = f"/{secrets.token_urlsafe(16)}"
        self.url = ""
        self.was_asked = False
        self.failure: str | None = None
        self._authority = authority
        self._deadline_seconds = deadline_seconds

    def answer(self, query: bytes) -> bytes:
        """Return the authority's answer; none at all, and `failure` says why, if there is no usable one in time."""
        self.was_asked = True
        found: Queue[bytes | Exception] = Queue(1)

        def ask() -> None:
            try:
                found.put(_post(self._authority, query, self._deadline_seconds))
            except Exception as error:  # it is told in the other thread
                found.put(error)

        threading.Thread(target=ask, daemon=True).start()
        try:
            reply = found.get(timeout=self._deadline_seconds)
        except Empty:
            reply = TimeoutError()
        if isinstance(reply, bytes):
            return reply
        is_late = isinstance(getattr(reply, "reason", reply), TimeoutError)  # the connection has the same deadline
        late = f"it did not answer within {self._deadline_seconds:g} seconds"
        self.failure = late if is_late else _reason(reply)
        return b""


@contextmanager
def relay(authority: str, *, deadline_seconds: float = DEADLINE_SECONDS) -> Iterator[Relay]:
    """Pass the signing library's question on to `authority`, and give up after the deadline.

    The library asks by itself and waits for up to 30 seconds. So it is given an address on this machine's loopback
    interface, secret and open only as long as this context, behind which the question goes to the authority: there a
    deadline holds for the whole exchange, name lookup and slow drips included; nothing is redirected, and an answer
    is at most 64 KiB. A lookup that hangs stays behind in a thread that ends with the process.
    """
    conversation = Relay(authority, deadline_seconds)
    _spare_from_proxies(_LOOPBACK)
    with ThreadingHTTPServer((_LOOPBACK, 0), _handler(conversation)) as server:
        server.daemon_threads = True
        conversation.url = f"http://{_LOOPBACK}:{server.server_port}{conversation.path}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield conversation
        finally:
            server.shutdown()
            thread.join()


def _spare_from_proxies(host: str) -> None:
    """Keep the library from asking a proxy of the environment for an address on this machine, from now on.

    It is not undone afterwards: another thread may be relying on it.
    """
    for name in ("NO_PROXY", "no_proxy"):
        value = os.environ.get(name, "")
        if value != "*" and host not in value.split(","):
            os.environ[name] = f"{value},{host}" if value else host


def _handler(conversation: Relay) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = DEADLINE_SECONDS

        def do_POST(self) -> None:
            if self.path != conversation.path:
                self.send_error(404)
                return
            length = min(int(self.headers.get("Content-Length") or 0), _MAX_QUERY_BYTES)
            reply = conversation.answer(self.rfile.read(length))
            with suppress(OSError):
                self.send_response(200 if reply else 502)
                self.send_header("Content-Type", _REPLY)
                self.send_header("Content-Length", str(len(reply)))
                self.end_headers()
                self.wfile.write(reply)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
            """Print nothing."""

    return Handler


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _post(url: str, query: bytes, timeout_seconds: float) -> bytes:
    """Ask an authority. Raises OSError and HTTPException."""
    request = Request(url, data=query, headers={"Content-Type": _QUERY, "Accept": _REPLY}, method="POST")  # noqa: S310
    with build_opener(_NoRedirect).open(request, timeout=timeout_seconds) as response:
        reply = response.read(_MAX_REPLY_BYTES + 1)
    if not 0 < len(reply) <= _MAX_REPLY_BYTES:
        raise ConnectionError("its answer is empty or larger than any time stamp")
    return bytes(reply)


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()
        return f"it answered with HTTP status {error.code}"
    cause = getattr(error, "reason", error)
    return f"it cannot be reached ({getattr(cause, 'strerror', None) or cause or type(error).__name__})"
