"""The HTTP server itself: routes, faults, and a record of all that came."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterable
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from tests.providers.conformance.contract import Contract
from tests.providers.conformance.delivery import deliver
from tests.providers.conformance.faults import Faults
from tests.providers.conformance.jobs import Jobs
from tests.providers.conformance.messages import Refusal, Request, Response

CDN = "cdn"


class ConformanceServer:
    """All contracts below one address, each below its name. Use it in a ``with`` statement.

    faults: what goes wrong from now on. requests: all that came, in order. strangers: what came to the other port,
    which belongs to nobody that the studio may talk to.
    """

    def __init__(self, contracts: Iterable[Contract], *, port: int = 0, clip: bytes = b"") -> None:
        self.contracts = {contract.name: contract for contract in contracts}
        self._clip = clip
        self.lock = threading.RLock()
        self.closing = threading.Event()
        self.requests: list[Request] = []
        self.strangers: list[str] = []
        self._http = _Listener(("127.0.0.1", port), self, is_other=False)
        self._other = _Listener(("127.0.0.1", 0), self, is_other=True)
        self.reset()

    def __enter__(self) -> Self:
        for listener in (self._http, self._other):
            threading.Thread(target=listener.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, _kind: type | None, _error: BaseException | None, _trace: TracebackType | None) -> None:
        self.closing.set()
        for listener in (self._http, self._other):
            listener.shutdown()
            listener.server_close()

    @property
    def url(self) -> str:
        """The server's own address."""
        return f"http://127.0.0.1:{self._http.server_port}"

    @property
    def other_url(self) -> str:
        """An address of another origin on this machine."""
        return f"http://127.0.0.1:{self._other.server_port}"

    @property
    def clip(self) -> bytes:
        """The clip that all jobs lead to."""
        if not self._clip:
            from tests.providers.conformance.clips import clip

            self._clip = clip()
        return self._clip

    def base_url(self, contract: Contract) -> str:
        """Return what the adapter must take for its provider's address."""
        return f"{self.url}/{contract.name}{contract.root}"

    def environment(self, contract: Contract) -> dict[str, str]:
        """Return the variables that send a provider's adapter here, with a key that is worth nothing."""
        return {contract.base_url_variable: self.base_url(contract), **contract.keys}

    def reset(self, faults: Faults | None = None, clip: bytes = b"") -> None:
        """Forget all jobs and requests. clip: handed out from now on, else the usual one."""
        with self.lock:
            self.faults = faults or Faults()
            self._clip = clip or self._clip
            self.requests.clear()
            self.strangers.clear()
            self.jobs = {
                name: Jobs(self.base_url(contract), contract.walk, dict(contract.endings), f"{self.url}/{CDN}/{name}")
                for name, contract in self.contracts.items()
            }

    def did(self, does: str) -> list[Request]:
        """Return the requests of one kind: ``create``, ``poll``, ``result``, ``cancel`` or ``other``."""
        with self.lock:
            return [request for request in self.requests if request.does == does]

    # -- inside -------------------------------------------------------------------------------------------------

    def answer(self, request: Request) -> tuple[Response, str]:
        """Return what a request is answered with, and what goes wrong on the way."""
        with self.lock:
            routed, route_handler, contract = self._routed(request)
            number = len(self.did(routed.does)) if routed.does != "create" else 0
            self.requests.append(routed)
            fault = self.faults.of(routed.does, number)
            if contract is None or route_handler is None:
                found = self.clip if routed.provider == CDN else None
                return (Response(status=404) if found is None else _clip_response(found)), fault
            jobs = self.jobs[contract.name]
            jobs.faults = self.faults
            try:
                if fault[:3].isdigit() and routed.does != "result":
                    return _refused(contract, fault), ""
                if fault in ("reset", "reset before"):
                    return Response(), "reset"
                contract.authorize(routed)
                response: Response = route_handler(routed, jobs)
            except Refusal as refusal:
                return contract.refusal(refusal), ""
            if routed.does == "result" and response.status == 200 and not response.content:
                response = _clip_response(self.clip)
            return response, fault

    def _routed(self, request: Request) -> tuple[Request, Any, Contract | None]:
        name, _, rest = request.path.lstrip("/").partition("/")
        contract = self.contracts.get(name)
        if contract is None:
            is_clip = name == CDN and request.method in ("GET", "HEAD")
            return replace(request, provider=name, does="result" if is_clip else "other"), None, None
        path = f"/{rest}"
        inside = path.startswith(f"{contract.root}/")
        request = replace(request, provider=name, path=path.removeprefix(contract.root) if inside else path)
        for route in contract.routes() if inside else ():
            values = route.values(request.method, request.path)
            if values is not None:
                return replace(request, values=values, does=route.does), route.handle, contract
        return replace(request, does="other"), _no_such_call, contract


def _no_such_call(request: Request, _jobs: Jobs) -> Response:
    raise Refusal(404, "not_found", f"{request.method} {request.path} is not a call of this provider")


def _clip_response(content: bytes) -> Response:
    return Response(body=content, headers={"content-type": "video/mp4"})


def _refused(contract: Contract, fault: str) -> Response:
    if fault == "502 html":
        page = "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
        return Response(status=502, body=page)
    response = contract.refusal(Refusal(int(fault[:3]), "", f"the server was told to answer {fault[:3]}"))
    if not fault.endswith("retry-after"):
        return response
    return replace(response, headers={**response.headers, "Retry-After": "1"})


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, address: tuple[str, int], owner: ConformanceServer, *, is_other: bool) -> None:
        super().__init__(address, _Handler)
        self.owner, self.is_other = owner, is_other

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that hang up."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = 2**16
    server: _Listener

    def log_message(self, *_args: Any) -> None:
        """Nothing: what came is in the server's record."""

    def _serve(self) -> None:
        owner = self.server.owner
        if self.server.is_other:
            owner.strangers.append(f"{self.command} {self.path}")
        parts = urlsplit(self.path)
        length = int(self.headers.get("content-length", 0))
        request = Request(
            provider="",
            method=self.command,
            path=parts.path,
            query=dict(parse_qsl(parts.query, keep_blank_values=True)),
            headers={name.lower(): value for name, value in self.headers.items()},
            body=self.rfile.read(length),
            at=time.monotonic(),
        )
        response, fault = owner.answer(request)
        try:
            deliver(self, response, fault, owner.other_url, owner.closing)
        except OSError:  # the client hung up, as it should do with some faults
            self.close_connection = True

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = _serve

    def reset(self) -> None:
        """Break the line so that the client is told (RST)."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.rfile.close()
        self.wfile = _Nothing()
        self.connection.close()


class _Nothing:
    """Takes the place of a line that is broken."""

    closed = True

    def write(self, _content: bytes) -> None: ...

    def flush(self) -> None: ...

    def close(self) -> None: ...
