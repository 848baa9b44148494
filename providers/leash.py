"""Breaks off an exchange that takes too long, or that nobody wants any more, whatever the other end does."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Self

LOOK_SECONDS = 0.25
_CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete", "proxy.connect_tcp.complete")


class Leash:
    """Watches one exchange over a connection of its own; use it in a ``with`` statement around the exchange.

    A server that sends a byte now and then never runs into a timeout between two bytes. seconds: for all together.
    look: is asked again and again, and may raise to break the exchange off; what it raised is raised at the end.
    """

    def __init__(self, seconds: float, look: Callable[[], None] = lambda: None) -> None:
        self._end = time.monotonic() + seconds
        self._look = look
        self._stream: Any = None
        self._is_over = threading.Event()
        self._reason: BaseException | None = None
        self.is_late = False

    def trace(self, event: str, facts: Mapping[str, Any]) -> None:
        """Take note of the connection: goes into a request's extensions as ``trace`` (httpcore)."""
        if event.endswith(_CONNECTED):
            self._stream = facts["return_value"]

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, daemon=True).start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._is_over.set()
        if self._reason is not None:
            raise self._reason

    def _watch(self) -> None:
        while not self._is_over.wait(LOOK_SECONDS):
            self.is_late = time.monotonic() > self._end
            if not self.is_late:
                try:
                    self._look()
                except BaseException as reason:  # whatever it is, it is raised where the exchange was wanted
                    self._reason = reason
            if self.is_late or self._reason is not None:
                self._cut()
                return

    def _cut(self) -> None:
        found = self._stream and self._stream.get_extra_info("socket")
        if found is not None:
            with suppress(OSError):
                found.shutdown(socket.SHUT_RDWR)
