"""Sees to it that there is room for what gradio takes in, and that nothing is left of what does not come whole.

Gradio writes an upload to a file of its own beside the others, and gives it its name at the end. It forgets the file
when the disk is full, or when the client goes.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from studio.disk import require_room
from ui.api.bodies import SECONDS_BETWEEN_CHUNKS

_PATH = "/gradio_api/upload"
_HALF = "tmp*"


class Uploads:
    """An ASGI middleware before gradio, behind the door. folder: where gradio puts what is uploaded."""

    def __init__(self, app: ASGIApp, *, folder: Path) -> None:
        self._app = app
        self._folder = folder
        self._underway = 0
        self._has_left = False
        # What a server that was killed left. Another may be taking something in just now; who pauses for longer is cut.
        remove_halves(folder, unchanged_seconds=2 * SECONDS_BETWEEN_CHUNKS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or raise `DiskFull`."""
        if scope["type"] != "http" or scope["path"] != _PATH:
            await self._app(scope, receive, send)
            return
        size = int(Headers(scope=scope).get("content-length", "0"))
        await asyncio.to_thread(require_room, self._folder, size, what="the upload")
        self._underway += 1
        try:
            await self._app(scope, receive, send)
        except BaseException:
            self._has_left = True
            raise
        finally:
            self._underway -= 1
            # Whose each file is, nobody knows but gradio: while none comes in, all are left over. Not in a thread, so
            # that none can begin to come in meanwhile.
            if self._has_left and not self._underway:
                remove_halves(self._folder)
                self._has_left = False


def remove_halves(folder: Path, *, unchanged_seconds: float = 0.0) -> None:
    """Remove what uploads left that did not come whole, if it has not changed for so long."""
    for path in folder.glob(_HALF):
        with suppress(OSError):
            if path.is_file() and time.time() - path.stat().st_mtime >= unchanged_seconds:
                path.unlink()
