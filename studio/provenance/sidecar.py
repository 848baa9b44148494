"""Content Credentials that do not fit into a file are kept beside it, under the same name."""

from __future__ import annotations

from pathlib import Path

# Containers without a place for them.
SIDECAR_TYPES = ("video/webm", "video/x-matroska")
SIDECAR_SUFFIX = ".c2pa"
# Tens of kilobytes are usual; more than this is no record.
_MAX_BYTES = 2**26


def sidecar_of(path: Path) -> Path:
    """Return where the credentials of a file are looked for when they are not inside."""
    return path.with_suffix(SIDECAR_SUFFIX)


def record_beside(path: Path, mime_type: str | None) -> bytes | None:
    """Return the credentials beside a file of a kind that cannot hold them; None where there are none to be read."""
    place = sidecar_of(path)
    if mime_type not in SIDECAR_TYPES or not place.is_file() or place.stat().st_size > _MAX_BYTES:
        return None
    return place.read_bytes()
