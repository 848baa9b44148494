"""Runs the API until it is told to stop; nobody who listens keeps it from stopping."""

from __future__ import annotations

import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from studio.errors import EnvironmentFault
from ui.api.connection import Connection

GRACE_SECONDS = 5
KEEP_ALIVE_SECONDS = 15
MAX_HEADER_BYTES = 2**15
MAX_CONNECTIONS = 512
# So many are taken in before any is looked at: with `MAX_CONNECTIONS`, fewer than there may be files.
BACKLOG = 128
_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class ApiServer(uvicorn.Server):
    """A server over sockets that are bound already."""

    def __init__(self, app: FastAPI, on_open: Callable[[], None] = lambda: None) -> None:
        """on_open: called once it answers."""
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_places(),
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=GRACE_SECONDS,
                h11_max_incomplete_event_size=MAX_HEADER_BYTES,
            )
        )
        # It would note addresses with everything that stands behind the question mark.
        logging.getLogger("uvicorn.access").disabled = True
        self._api = app
        self._on_open = on_open

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to answer."""
        await super().startup(sockets)
        self._on_open()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let listeners go, then everybody else."""
        self._api.state.services.hub.close()
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take a signal for the wish to stop, which is no failure; a second one does not wait for anybody."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {name: signal.signal(name, self.handle_exit) for name in _SIGNALS}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)


def _places() -> int:
    """Return how many connections there may be: each takes one of the files that may be open, of which half are left.

    A server that has no file left for a connection can neither take nor refuse it, and does nothing but try.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return MAX_CONNECTIONS
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if files == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, files // 2)


def bind(host: str, port: int) -> socket.socket:
    """Return a bound socket. port: 0 takes a free one. Raises `EnvironmentFault`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # A browser that looks for "localhost" finds either; programs that name 127.0.0.1 find only this.
        family, kind, protocol, _, address = sorted(found, key=lambda item: item[0] != socket.AF_INET)[0]
        bound = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise EnvironmentFault(
            f"no such address ({getattr(error, 'strerror', None) or error})", field="host", got=host
        ) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
    except OSError as error:
        bound.close()
        raise EnvironmentFault(
            f"the address cannot be listened on ({error.strerror or error})",
            field="port",
            got=f"{host}:{port}",
            fix="choose another with --port, or stop what listens there",
        ) from error
    return bound


def url_of(bound: socket.socket) -> str:
    """Return the address of a bound socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
