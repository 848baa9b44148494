"""What a file is, judged by its first bytes and never by its name; and a safe way to open it."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from studio.errors import UnreadableMedia
from studio.media.boxes import top_level_boxes

HEAD_BYTES = 1024
_QUICKTIME_BOXES = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_EBML = b"\x1a\x45\xdf\xa3"
_MATROSKA_SEGMENT = b"\x18\x53\x80\x67"
_MPEG_TS_PACKET_BYTES = 188


def open_regular_file(path: Path, *, field: str) -> BinaryIO:
    """Open a file for reading; anything but a non-empty regular file is refused, and a FIFO never blocks.

    Raises `UnreadableMedia` that blames `field`.
    """
    try:
        # Non-blocking, because opening a FIFO without a writer would otherwise wait for ever.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (OSError, ValueError) as error:
        raise _not_openable(path, error, field) from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or status.st_size == 0:
        os.close(descriptor)
        raise _not_a_media_file(path, status, field)
    return os.fdopen(descriptor, "rb")


def sniff_mime_type(path: Path | str, *, field: str = "file") -> str | None:
    """Return the media type that the content announces, such as ``video/mp4``, or None for anything else.

    Raises `UnreadableMedia` that blames `field` when the file cannot be opened at all.
    """
    with open_regular_file(Path(path), field=field) as file:
        return sniff_head(file.read(HEAD_BYTES))


def sniff_head(head: bytes) -> str | None:
    """Return the media type of a file that starts with `head` (`HEAD_BYTES` of it, or all)."""
    for magic, mime_type in _MAGIC:
        if head.startswith(magic):
            return mime_type
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[:4] == _EBML:
        return "video/webm" if b"webm" in head[:64] else "video/x-matroska"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[4:8] in _QUICKTIME_BOXES:
        return "video/quicktime"
    return _sniff_weak_signs(head)


def _sniff_weak_signs(head: bytes) -> str | None:
    """Recognise formats that start with a byte or two, which text may start with as well."""
    if head[:2] == b"BM" and head[6:10] == bytes(4):
        return "image/bmp"
    if len(head) == HEAD_BYTES and set(head[::_MPEG_TS_PACKET_BYTES]) == {0x47}:
        return "video/mp2t"
    if len(head) > 2 and head[0] == 0xFF and head[1] & 0xE6 == 0xE2:
        return "audio/mpeg"
    return None


def has_index_first(file: BinaryIO) -> bool:
    """Say whether an MP4 or MOV file has its ``moov`` box before its ``mdat`` box."""
    for kind, _start, _size in top_level_boxes(file):
        if kind in (b"moov", b"mdat"):
            return kind == b"moov"
    return False


def is_cut_short(file: BinaryIO, mime_type: str) -> bool:
    """Say whether the container claims more bytes than the file has, as after a broken download or copy.

    Only where the container states its size: MP4 and MOV boxes, RIFF, and a Matroska segment of known size.
    """
    actual = file.seek(0, os.SEEK_END)
    if mime_type in ("video/mp4", "video/quicktime"):
        return any(start + size > actual for _kind, start, size in top_level_boxes(file))
    file.seek(0)
    head = file.read(HEAD_BYTES)
    if head[:4] == b"RIFF":
        claimed = int.from_bytes(head[4:8], "little")
        return claimed not in (0, 0xFFFFFFFF) and claimed + 8 > actual
    if head[:4] == _EBML:
        return _matroska_end(head) > actual
    return False


def _matroska_end(head: bytes) -> int:
    """Return the offset at which the segment ends by its own account, 0 where it does not say (RFC 8794, 4 and 6.2)."""
    start = head.find(_MATROSKA_SEGMENT) + len(_MATROSKA_SEGMENT)
    if start < len(_MATROSKA_SEGMENT) or start >= len(head) or head[start] == 0:
        return 0
    length = 9 - head[start].bit_length()
    value = int.from_bytes(head[start : start + length], "big") & ((1 << 7 * length) - 1)
    return 0 if value == (1 << 7 * length) - 1 else start + length + value


def _not_openable(path: Path, error: OSError | ValueError, field: str) -> UnreadableMedia:
    if isinstance(error, FileNotFoundError):
        return UnreadableMedia("there is no such file", field=field, got=path, fix="check the path")
    if isinstance(error, PermissionError):
        return UnreadableMedia("the file may not be read", field=field, got=path, fix="allow this user to read it")
    reason = getattr(error, "strerror", None) or error
    return UnreadableMedia(f"the file cannot be opened ({reason})", field=field, got=path, fix="check the path")


def _not_a_media_file(path: Path, status: os.stat_result, field: str) -> UnreadableMedia:
    if stat.S_ISREG(status.st_mode):
        return UnreadableMedia("the file is empty (0 bytes)", field=field, got=path, fix="choose another file")
    what = "a folder" if stat.S_ISDIR(status.st_mode) else "a device, pipe or socket"
    return UnreadableMedia(f"this is {what}", field=field, got=path, allowed="a regular file", fix="choose a file")


_MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"OggS", "application/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"FLV\x01", "video/x-flv"),
)
_RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
_BRANDS = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"avif": "image/avif",
    b"avis": "image/avif",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heic",
}
