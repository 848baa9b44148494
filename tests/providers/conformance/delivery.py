"""How an answer leaves the server: as it should, or as a test wants it to go wrong."""

from __future__ import annotations

import gzip
import threading
import time
from functools import cache
from http.server import BaseHTTPRequestHandler

from tests.providers.conformance.clips import PAGE, archive
from tests.providers.conformance.messages import Response

METADATA_URL = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
TEN_GIGABYTES = 10 * 10**9


@cache
def _bomb() -> bytes:
    return gzip.compress(bytes(32 * 2**20), 9)


def deliver(
    handler: BaseHTTPRequestHandler, response: Response, fault: str, other_url: str, closing: threading.Event
) -> None:
    """Send an answer, with what goes wrong. other_url: where a redirect to another origin leads."""
    content = response.content
    match fault:
        case "":
            _send(handler, response, content)
        case "reset" | "reset after":
            handler.reset()  # type: ignore[attr-defined]
        case "silence":
            closing.wait(30)
            handler.close_connection = True
        case "truncated":
            _send(handler, response, content[: len(content) // 2])
        case "cut" | "short":
            _send(handler, response, content[: len(content) // 2], length=len(content))
            handler.close_connection = True
        case _:
            _spoil(handler, response, content, fault, other_url)


def _spoil(handler: BaseHTTPRequestHandler, response: Response, content: bytes, fault: str, other_url: str) -> None:
    """Send a clip that is none, or that is elsewhere."""
    redirects = {
        "redirect metadata": METADATA_URL,
        "redirect loopback": f"{other_url}/clip.mp4",
        "redirect file": "file:///etc/passwd",
        "redirect loop": handler.path,
    }
    if fault in redirects:
        _send(handler, Response(status=302, headers={"location": redirects[fault]}), b"")
    elif fault in _LENGTHS:
        _send(handler, response, content + bytes(1000) * (fault == "long"), length=_LENGTHS[fault] or len(content))
        handler.close_connection = True
    elif fault == "drip":
        _drip(handler, content)
    else:
        changed, body = _others(response, content)[fault]
        _send(handler, changed, body)


# What the header says of the length where that is not true; 0 for that of the clip.
_LENGTHS = {"long": 0, "huge": TEN_GIGABYTES}


def _others(response: Response, content: bytes) -> dict[str, tuple[Response, bytes]]:
    denied = b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>"
    half = content[: len(content) // 2]
    span = {"content-range": f"bytes 0-{len(half) - 1}/{len(content)}", "content-type": "video/mp4"}
    return {
        "gone": (Response(status=403, headers={"content-type": "application/xml"}), denied),
        "500": (Response(status=500), b""),
        "empty": (response, b""),
        "partial": (Response(status=206, headers=span), half),
        "html": (Response(headers={"content-type": "text/html; charset=utf-8"}), PAGE),
        "html as mp4": (response, PAGE),
        "zip": (response, archive()),
        "gzip": (Response(headers={**response.headers, "content-encoding": "gzip"}), _bomb()),
    }


def _send(handler: BaseHTTPRequestHandler, response: Response, content: bytes, *, length: int | None = None) -> None:
    handler.send_response(response.status)
    handler.send_header("content-type", response.content_type)
    handler.send_header("content-length", str(len(content) if length is None else length))
    for name, value in response.headers.items():
        if name.lower() != "content-type":
            handler.send_header(name, value)
    handler.end_headers()
    if handler.command != "HEAD":
        handler.wfile.write(content)
    handler.wfile.flush()


def _drip(handler: BaseHTTPRequestHandler, content: bytes) -> None:
    """Send a clip in ten chunks (RFC 9112, section 7.1)."""
    handler.send_response(200)
    handler.send_header("content-type", "video/mp4")
    handler.send_header("transfer-encoding", "chunked")
    handler.end_headers()
    size = len(content) // 10 + 1
    for start in range(0, len(content), size):
        piece = content[start : start + size]
        handler.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        handler.wfile.flush()
        time.sleep(0.02)
    handler.wfile.write(b"0\r\n\r\n")
    handler.wfile.flush()
