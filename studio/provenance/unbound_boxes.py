"""The parts of an MP4 that C2PA's hard binding leaves out.

The BMFF hash excludes ``ftyp``, ``free`` and ``skip`` boxes (C2PA 2.4, "BMFF-based hash"), so a change there goes
unnoticed. Signing does not touch them; their digest is put into our own assertion before signing. The record's own box
cannot be hashed into itself; `record_layout` looks at it.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import BinaryIO

from studio.media.boxes import top_level_boxes

UNBOUND = (b"ftyp", b"free", b"skip")
PIECE_BYTES = 2**20


def unbound_sha256(path: Path) -> str | None:
    """Return the hex digest over type, length and bytes of the top-level boxes left out, in file order.

    None for a file that is not made of whole boxes.
    """
    digest = hashlib.sha256()
    end = 0
    with open(path, "rb") as file:
        for kind, start, size in top_level_boxes(file):
            end = start + size
            if kind in UNBOUND:
                digest.update(kind + size.to_bytes(8, "big"))
                _update(digest, file, start, end)
    return digest.hexdigest() if end == path.stat().st_size else None


def _update(digest: hashlib._Hash, file: BinaryIO, start: int, end: int) -> None:
    """Feed a part of the file piece by piece: a stranger's padding may be larger than the memory."""
    file.seek(start)
    while (left := end - file.tell()) > 0 and (piece := file.read(min(left, PIECE_BYTES))):
        digest.update(piece)
