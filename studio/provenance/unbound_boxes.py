"""The parts of an MP4 that C2PA's hard binding leaves out.

The BMFF hash excludes ``ftyp``, ``free`` and ``skip`` boxes (C2PA 2.4, "BMFF-based hash"), so a change there goes
unnoticed. Signing does not touch them; their digest is put into our own assertion before signing. The record's own box
cannot be hashed into itself, and the padding of its signature is covered by nothing: signers fill it with zeros, so
anything else was put there by somebody else.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from studio.media.boxes import top_level_boxes

UNBOUND = (b"ftyp", b"free", b"skip")
PIECE_BYTES = 2**20
MAX_RECORD_BYTES = 2**26


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


def has_foreign_padding(path: Path) -> bool:
    """Say whether something other than zeros stands in the padding of a signature, where a thousand bytes would fit."""
    with open(path, "rb") as file:
        for kind, start, size in top_level_boxes(file):
            if kind == b"uuid" and size <= MAX_RECORD_BYTES:
                file.seek(start)
                if any(any(run) for run in _paddings(file.read(size))):
                    return True
    return False


def _paddings(record: bytes) -> Iterator[bytes]:
    """Yield the byte strings under the CBOR text key ``pad`` (RFC 8949: 0x63 a text of 3, 0x58 / 0x59 its length)."""
    for match in re.finditer(rb"\x63pad(?:\x58(.)|\x59(..))", record, flags=re.DOTALL):
        length = int.from_bytes(match[1] or match[2], "big")
        yield record[match.end() : match.end() + length]
