"""Serves a sealed file byte for byte: ranges, validators, and a name that cannot harm."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from studio.errors import StoreFault
from studio.library.asset import Asset
from ui.api.doorman import HEAD
from ui.api.problems import Refusal

_CHUNK_BYTES = 2**18
_RANGE = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)


class SealedFile(Response):
    """The bytes of an asset, or one range of them. Several ranges at once are answered with the whole, as is allowed.

    Raises `StoreFault` where the file is gone or has another size, `Refusal` with 416 for a range it does not have.
    """

    def __init__(self, asset: Asset, headers: Mapping[str, str]) -> None:
        path, size = asset.path, asset.size_bytes
        self._is_empty = headers.get("if-none-match", "") in (f'"{asset.sha256}"', "*")
        found = None if self._is_empty else _range(headers, size, asset.sha256)
        first, last = found or (0, size - 1)
        self._first, self._left = first, last - first + 1
        self.background = None
        self.status_code = 304 if self._is_empty else 206 if found else 200
        self._file = _open(asset, path)
        told = {
            "etag": f'"{asset.sha256}"',
            "accept-ranges": "bytes",
            "content-disposition": f'inline; filename="{asset.id}{path.suffix}"',
            "cache-control": "private, no-cache",
        }
        if not self._is_empty:
            told |= {"content-type": asset.mime_type, "content-length": str(self._left)}
        if self.status_code == 206:
            told["content-range"] = f"bytes {first}-{last}/{size}"
        self.init_headers(told)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it; a client that goes away ends it."""
        with self._file as file:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            is_bodyless = self._is_empty or scope.get(HEAD, False)
            file.seek(self._first)
            left = 0 if is_bodyless else self._left
            gone = asyncio.create_task(_until_disconnected(receive))
            try:
                while left > 0 and not gone.done():
                    chunk = await asyncio.to_thread(file.read, min(_CHUNK_BYTES, left))
                    if not chunk:
                        break  # it became shorter meanwhile; the length that was told lets the client notice
                    left -= len(chunk)
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            finally:
                gone.cancel()
            if left == 0 or is_bodyless:
                await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _open(asset: Asset, path: Path) -> BinaryIO:
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise StoreFault(
            f"the file of this asset cannot be read ({error.strerror or error})", field="asset", got=asset.id
        ) from error
    if os.fstat(file.fileno()).st_size != asset.size_bytes:
        file.close()
        raise StoreFault("the file of this asset was changed", field="asset", got=asset.id, fix="POST /v1/verify")
    return file


def _range(headers: Mapping[str, str], size: int, sha256: str) -> tuple[int, int] | None:
    """Return the first and the last byte that are asked for, None for all of them."""
    condition = headers.get("if-range")
    found = _RANGE.fullmatch(headers.get("range", "").replace(" ", ""))
    if found is None or found.groups() == ("", "") or condition not in (None, f'"{sha256}"'):
        return None
    start, end = found.groups()
    if not start:
        first, last = max(size - int(end), 0), size - 1
        is_there = int(end) > 0 and size > 0
    else:
        first, last = int(start), min(int(end), size - 1) if end else size - 1
        if end and int(end) < first:
            return None  # not a range at all: as if it had not been asked for
        is_there = first < size
    if not is_there:
        raise Refusal(
            416,
            "the file has no such range",
            field="Range",
            got=headers["range"],
            allowed=f"bytes 0 to {size - 1}",
            headers={"content-range": f"bytes */{size}"},
        )
    return first, last
