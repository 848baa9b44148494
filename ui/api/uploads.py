"""Files that arrive over HTTP: streamed to a folder of their own in the studio's home, and removed afterwards."""

from __future__ import annotations

import asyncio
import re
import secrets
import shutil
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from fastapi import Request
from filelock import FileLock, Timeout
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from studio.disk import is_full, require_room
from studio.errors import DiskFull, StoreFault
from ui.api.bodies import chunks, media_type, unsupported_type
from ui.api.problems import Refusal

MAX_PICTURE_BYTES = 64 * 2**20
MAX_VIDEO_BYTES = 4 * 2**30
MAX_PARTS, MAX_FIELD_BYTES = 48, 2**16
_BATCH_BYTES = 2**20
_MULTIPART = "multipart/form-data"
_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a form holds. fields: text by name. files: where each file of it lies, by the name of its part.

    Of a part that may be given several times the names are ``name.0``, ``name.1`` and so on.
    """

    fields: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


class UploadFolder:
    """Where uploads, and what is made to be sent, lie while a request lasts.

    What servers that died left behind is removed by the next one that starts: see `sweep`.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._own: tuple[Path, FileLock] | None = None
        self._guard = threading.Lock()

    @asynccontextmanager
    async def room(self) -> AsyncIterator[Path]:
        """Yield an empty folder that is there for as long as the context lasts. Raises `StoreFault` or `DiskFull`."""
        folder = await asyncio.to_thread(self._new)
        try:
            yield folder
        finally:
            await asyncio.shield(asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True))

    def sweep(self) -> None:
        """Remove what servers that died left behind; what cannot be removed stays for the next one."""
        for path in self._root.glob("*.lock"):
            lock = FileLock(path, blocking=False)
            with suppress(Timeout, OSError):
                lock.acquire()
                _remove(path.with_suffix(""), lock)

    def close(self) -> None:
        """Remove everything that this server still has."""
        with self._guard:
            if self._own is not None:
                _remove(*self._own)
            self._own = None

    def _new(self) -> Path:
        try:
            with self._guard:
                if self._own is None:
                    self._own = self._claim()
                folder = self._own[0] / secrets.token_hex(8)
                folder.mkdir(mode=0o700, parents=True)
        except OSError as error:
            raise _fault(error, self._root) from error
        return folder

    def _claim(self) -> tuple[Path, FileLock]:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = self._root / secrets.token_hex(8)
        lock = FileLock(own.with_suffix(".lock"))
        lock.acquire()
        return own, lock


async def receive_form(
    request: Request, folder: Path, *, files: frozenset[str], lists: frozenset[str] = frozenset(), limit: int
) -> Form:
    """Write the files of a form into a folder. files: names of the parts that are files. limit: bytes of the whole.

    lists: of files that may be given several times.

    Raises a `Refusal`: 400, 408, 413, 415 or 422; `DiskFull` or `StoreFault`.
    """
    kind, options = parse_options_header(request.headers.get("content-type"))
    if media_type(request) != _MULTIPART or kind != _MULTIPART.encode():
        async for _ in chunks(request, MAX_FIELD_BYTES):  # so that the answer is heard
            pass
        raise unsupported_type(request, _MULTIPART)
    reader = _FormReader(folder, options.get(b"boundary", b""), files, lists)
    try:
        batch = bytearray()
        async for chunk in chunks(request, limit):
            batch += chunk
            if len(batch) >= _BATCH_BYTES:
                await asyncio.to_thread(reader.feed, bytes(batch))
                batch.clear()
        await asyncio.to_thread(reader.feed, bytes(batch))
        return reader.finish()
    finally:
        reader.close()


class _FormReader:
    """Takes a form apart as it arrives."""

    def __init__(self, folder: Path, boundary: bytes, files: frozenset[str], lists: frozenset[str]) -> None:
        self._folder = folder
        self._files = files | lists
        self._lists = lists
        self._given: Counter[str] = Counter()
        self._form = Form()
        self._headers: dict[bytes, bytes] = {}
        self._header, self._value = b"", b""
        self._name = ""
        self._stream: IO[bytes] | None = None
        self._is_nameless = False
        self._text = bytearray()
        self._parts = 0
        self._is_whole = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks(), max_header_count=8, max_header_size=4096)  # type: ignore[arg-type]
        except MultipartParseError as error:
            raise _malformed(str(error)) from None
        if not 0 < len(boundary) <= 200:
            raise _malformed("it states no boundary")

    def _callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_header,
            "on_header_value": self._on_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._on_data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def feed(self, data: bytes) -> None:
        """Take the next piece of the body."""
        require_room(self._folder, len(data), what="the upload")
        try:
            self._parser.write(data)
        except MultipartParseError as error:
            raise _malformed(str(error)) from None
        except OSError as error:
            raise _fault(error, self._folder) from error

    def finish(self) -> Form:
        """Return the form once all of it was taken."""
        if not self._is_whole:
            raise _malformed("it ends in the middle")
        return self._form

    def close(self) -> None:
        """Let go of the file at hand."""
        if self._stream is not None:
            with suppress(OSError):
                self._stream.close()

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise Refusal(413, "the form has too many parts", allowed=f"up to {MAX_PARTS}")
        self._headers, self._text = {}, bytearray()

    def _on_header(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _end_header(self) -> None:
        self._headers[self._header.lower()] = self._value
        self._header, self._value = b"", b""

    def _open(self) -> None:
        kind, options = parse_options_header(self._headers.get(b"content-disposition"))
        if kind != b"form-data" or b"name" not in options:
            raise _malformed("a part has no name")
        if self._headers.get(b"content-transfer-encoding", b"binary").lower() not in (b"binary", b"8bit", b"7bit"):
            raise _malformed("a part is encoded; send it as it is")
        self._name = _text(options[b"name"])
        if self._name in self._form.fields or self._name in self._form.files:
            raise _wrong_part(self._name, "it is given twice", "once")
        filename = options.get(b"filename")
        if filename is None:
            if self._name in self._files:
                raise _wrong_part(self._name, "this part must be a file", "a part with a filename")
            return
        if self._name not in self._files:
            raise _wrong_part(self._name, "this part is no file", ", ".join(sorted(self._files)))
        self._is_nameless = not filename
        if self._name in self._lists:
            self._given[self._name] += 1
            self._name = f"{self._name}.{self._given[self._name] - 1}"
        path = self._folder / self._name / _safe_name(filename)
        if path.parent.exists():
            raise _wrong_part(self._name, "it is given twice", "once")
        path.parent.mkdir(mode=0o700)
        self._stream = open(path, "xb")  # noqa: SIM115
        self._form.files[self._name] = path

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._stream is not None:
            self._stream.write(data[start:end])
            return
        self._text += data[start:end]
        if len(self._text) > MAX_FIELD_BYTES:
            raise Refusal(413, "a field is too long", field=self._name, allowed=f"up to {MAX_FIELD_BYTES} bytes")

    def _end(self) -> None:
        if self._stream is None:
            self._form.fields[self._name] = _text(bytes(self._text))
            return
        is_empty = self._stream.tell() == 0
        self._stream.close()
        self._stream = None
        if is_empty and not self._is_nameless:
            raise _wrong_part(self._name, "the file is empty", "a file with something in it")
        if is_empty:  # what browsers send for a field without a file
            self._form.files.pop(self._name).unlink()

    def _finish(self) -> None:
        self._is_whole = True


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _malformed("a field is not UTF-8") from None


def _safe_name(filename: bytes) -> str:
    """Return a name that no file system and no header can misunderstand; the ending is what matters of it."""
    last = re.split(r"[/\\]", filename.decode("utf-8", "replace"))[-1]
    stem, dot, ending = _UNSAFE.sub("_", last).strip("._-").rpartition(".")
    name = f"{stem[:60]}{dot}{ending[:12]}" if dot else ending[:60]
    return name or "upload"


def _remove(folder: Path, lock: FileLock) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()


def _malformed(why: str) -> Refusal:
    return Refusal(400, f"the form cannot be read: {why.rstrip('.')}", code="invalid_form", allowed=_MULTIPART)


def _wrong_part(name: str, message: str, allowed: str) -> Refusal:
    return Refusal(422, message, code="unsupported_value", field=name[:80], allowed=allowed)


def _fault(error: OSError, folder: Path) -> StoreFault | DiskFull:
    if is_full(error):
        return DiskFull("there is no room for the file", got=folder, fix="free some space")
    return StoreFault(f"the file cannot be written ({error.strerror or error})", got=folder)
