"""Content Credentials that do not fit into a file are kept beside it, under its name or its stem."""

from __future__ import annotations

import os
from pathlib import Path

from studio.errors import UnreadableMedia
from studio.media import open_regular_file

# Containers without a place for them.
SIDECAR_TYPES = ("video/webm", "video/x-matroska")
SIDECAR_SUFFIX = ".c2pa"
# Tens of kilobytes are usual; more than this is no record, wherever it stands.
MAX_RECORD_BYTES = 2**26


def sidecar_of(path: Path) -> Path:
    """Return where the studio writes the credentials of a file that cannot hold them."""
    return path.with_suffix(SIDECAR_SUFFIX)


def places_beside(path: Path, mime_type: str | None) -> tuple[tuple[Path, bool], ...]:
    """Return where the record of a file that carries none would stand, and whether one that does not fit counts.

    Under the name of the file it is meant for this file. Under its stem alone it may belong to another file of that
    stem, unless this is a kind of file that cannot carry a record itself.
    """
    return (path.with_name(path.name + SIDECAR_SUFFIX), True), (sidecar_of(path), mime_type in SIDECAR_TYPES)


def record_at(place: Path) -> bytes | None:
    """Return the record kept at this place; None where there is none of a sane size that can be read."""
    try:
        with open_regular_file(place, field="file") as file:
            return file.read() if os.fstat(file.fileno()).st_size <= MAX_RECORD_BYTES else None
    except (UnreadableMedia, OSError):
        return None


def record_beside(path: Path, mime_type: str | None) -> bytes | None:
    """Return the credentials that are meant for a file and kept beside it; None where there are none to be read.

    They count only if the file holds none itself.
    """
    found = (record_at(place) for place, is_meant in places_beside(path, mime_type) if is_meant)
    return next((record for record in found if record is not None), None)
