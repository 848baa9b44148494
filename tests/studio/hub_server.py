"""A model hub on loopback: as much of the hub's protocol as huggingface_hub needs to download a repository."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class HubServer:
    """Serves one repository. Change the attributes to make the hub misbehave.

    files: bytes by path. answer_status: answered to everything instead of 200; error_code goes with it.
    break_after: the next download of a large file is cut off after this many bytes, once.
    storage: another server that holds the large files; this one answers with a redirect to it, as the real hub does.
    served: method, path and Range header of every request so far; tokens: the bearer tokens that came with them.
    """

    repository: str
    files: dict[str, bytes]
    commit: str = COMMIT
    answer_status: int | None = None
    error_code: str = ""
    break_after: int | None = None
    storage: HubServer | None = None
    declared_sha256: dict[str, str] = field(default_factory=dict)
    served: list[tuple[str, str, str | None]] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)

    def __enter__(self) -> HubServer:
        handler = type("Handler", (_Handler,), {"hub": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def downloads(self) -> list[tuple[str, str | None]]:
        """Return path and Range of the downloads so far."""
        return [
            (path.split("/resolve/")[1].split("/", 1)[1], span)
            for method, path, span in self.served
            if method == "GET" and "/resolve/" in path
        ]

    def description(self) -> dict[str, Any]:
        siblings = []
        for path, content in self.files.items():
            sibling: dict[str, Any] = {
                "rfilename": path,
                "size": len(content),
                "blobId": hashlib.sha1(content).hexdigest(),
            }
            if path.endswith((".safetensors", ".bin")):
                sha256 = self.declared_sha256.get(path) or hashlib.sha256(content).hexdigest()
                sibling["lfs"] = {"sha256": sha256, "size": len(content), "pointerSize": 130}
            siblings.append(sibling)
        return {
            "id": self.repository,
            "sha": self.commit,
            "siblings": siblings,
            "private": False,
            "downloads": 0,
            "tags": [],
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: HubServer

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Keep the test's output clean."""

    def _answer(self, *, with_body: bool) -> None:
        path = self.path.split("?")[0]
        self.hub.served.append((self.command, path, self.headers.get("Range")))
        if authorization := self.headers.get("Authorization"):
            self.hub.tokens.add(authorization.removeprefix("Bearer "))
        if self.hub.answer_status is not None:
            self._send(self.hub.answer_status, b"{}", {"X-Error-Code": self.hub.error_code}, with_body=with_body)
        elif path == f"/api/models/{self.hub.repository}" or path.startswith(f"/api/models/{self.hub.repository}/"):
            self._send(200, json.dumps(self.hub.description()).encode(), {}, with_body=with_body)
        elif (match := re.fullmatch(rf"/{self.hub.repository}/resolve/[^/]+/(.+)", path)) and match[
            1
        ] in self.hub.files:
            self._send_file(match[1], self.hub.files[match[1]], with_body=with_body)
        else:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"}, with_body=with_body)

    def _send_file(self, path: str, content: bytes, *, with_body: bool) -> None:
        sha256 = self.hub.declared_sha256.get(path) or hashlib.sha256(content).hexdigest()
        headers = {"ETag": f'"{sha256}"', "X-Repo-Commit": self.hub.commit, "X-Linked-Size": str(len(content))}
        if self.hub.storage is not None and len(content) > 10_000:
            headers["Location"] = self.hub.storage.endpoint + self.path
            headers["X-Linked-ETag"] = headers["ETag"]
            self._send(302, b"", headers, with_body=with_body)
            return
        span = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        start = int(span[1]) if span else 0
        if span:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        cut = self.hub.break_after if with_body and len(content) > 10_000 else None
        if cut is not None:
            self.hub.break_after = None
        self._send(206 if span else 200, content[start:], headers, with_body=with_body, cut=cut)

    def _send(
        self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool, cut: int | None = None
    ) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body[:cut])
        if cut is not None:
            self.close_connection = True
