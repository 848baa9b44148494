"""The boxes that MP4 and MOV files are made of."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import BinaryIO

# An hour of fragments of a second each has some 7,000; a file of millions only keeps its reader busy.
MAX_BOXES = 100_000


def top_level_boxes(file: BinaryIO) -> Iterator[tuple[bytes, int, int]]:
    """Yield (kind, start, size in bytes) of the top-level boxes (ISO/IEC 14496-12, 4.2).

    Ends where no box can stand, and after 100,000 of them; the last one may claim more bytes than the file has.
    """
    end = file.seek(0, os.SEEK_END)
    start = 0
    for _ in range(MAX_BOXES):
        if start + 8 > end:
            return
        file.seek(start)
        header = file.read(16)
        size = int.from_bytes(header[:4], "big")
        if size == 1:
            size = int.from_bytes(header[8:16], "big")
        elif size == 0:
            size = end - start
        if size < 8:
            return
        yield header[4:8], start, size
        start += size
