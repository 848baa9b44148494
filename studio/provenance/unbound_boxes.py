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
                    stream.seek(start)
                    digest.update(kind + (end - start).to_bytes(8, "big") + stream.read(end - start))
        except ValueError:
            return None
    return digest.hexdigest()


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
