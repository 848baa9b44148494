"""A digest over the parts of an MP4 that C2PA's hard binding leaves out.

The BMFF hash excludes ``ftyp``, ``free`` and ``skip`` boxes (C2PA 2.4, "BMFF-based hash"), so a change there goes
unnoticed. Signing does not touch them; their digest is put into our own assertion before signing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

UNBOUND = (b"ftyp", b"free", b"skip")
PIECE_BYTES = 2**20


def unbound_sha256(path: Path) -> str | None:
    """Return the hex digest over type, length and bytes of the top-level boxes left out, in file order.

    None for a file that is not made of whole boxes.
    """
    digest = hashlib.sha256()
    with open(path, "rb") as stream:
        size = path.stat().st_size
        try:
            for kind, start, end in _boxes(stream, size):
                if kind in UNBOUND:
                    digest.update(kind + (end - start).to_bytes(8, "big"))
                    _update(digest, stream, start, end)
        except ValueError:
            return None
    return digest.hexdigest()


def _update(digest: hashlib._Hash, stream: BinaryIO, start: int, end: int) -> None:
    """Feed a part of the file piece by piece: a stranger's padding may be larger than the memory."""
    stream.seek(start)
    while (left := end - stream.tell()) > 0 and (piece := stream.read(min(left, PIECE_BYTES))):
        digest.update(piece)


def _boxes(stream: BinaryIO, size: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) of the top-level boxes (ISO 14496-12, 4.2). Raises ValueError where they do not fit."""
    position = 0
    while position < size:
        stream.seek(position)
        header = stream.read(16)
        length, kind = int.from_bytes(header[:4], "big"), header[4:8]
        if length == 1:
            length = int.from_bytes(header[8:16], "big")
        elif length == 0:
            length = size - position
        if length < 8 or position + length > size:
            raise ValueError(f"box {kind!r} at {position} does not fit")
        yield kind, position, position + length
        position += length
