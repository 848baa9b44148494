"""What kind of file this is, from its first bytes: a name's ending proves nothing."""

from __future__ import annotations

from pathlib import Path

HEAD_BYTES = 64

# Boxes an old QuickTime file may start with, before files had a type box.
_QUICKTIME_STARTS = (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
_BRANDS = {
    b"qt  ": "video/quicktime",
    b"M4A ": "audio/mp4",
    b"M4B ": "audio/mp4",
    b"heic": "image/heic",
    b"heix": "image/heic",
    b"mif1": "image/heif",
    b"avif": "image/avif",
    b"avis": "image/avif",
}
_RIFF_FORMS = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/avi"}
_PREFIXES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"ID3", "audio/mpeg"),
    (b"fLaC", "audio/flac"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"II*\x00", "image/tiff"),
    (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
)


def sniff_mime_type(path: Path) -> str | None:
    """Return the file's type as its content tells, or None if that is not a known picture, film or sound.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return mime_type_of(file.read(HEAD_BYTES))


def mime_type_of(head: bytes) -> str | None:
    """Return the type of a file that starts with these bytes (`HEAD_BYTES` are enough), or None."""
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    if head[:4] == b"RIFF":
        return _RIFF_FORMS.get(head[8:12])
    if head[4:8] in _QUICKTIME_STARTS:
        return "video/quicktime"
    return next((mime_type for prefix, mime_type in _PREFIXES if head.startswith(prefix)), None)
