"""Animated WebP pictures, which ffmpeg writes but does not read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from studio.errors import UnreadableMedia
from studio.media.files import open_regular_file
from studio.media.types import TimedFrame

MAX_WEBP_BYTES = 2**29
MAX_WEBP_PIXELS = 64_000_000
# Far more than any animation has; a hostile file may consist of nothing but tiny chunks.
_MAX_CHUNKS = 200_000


def iter_webp_frames(path: Path, *, field: str) -> Iterator[TimedFrame]:
    """Yield the frames of a WebP picture, a still one being a clip of one frame; transparent parts are laid on white.

    Raises `UnreadableMedia` that blames `field`, after the frames before the damage.
    """
    import PIL.Image

    with open_regular_file(path, field=field) as file:
        if os.fstat(file.fileno()).st_size > MAX_WEBP_BYTES:  # the decoder reads it whole
            raise _unreadable(path, "too large", field)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", PIL.Image.DecompressionBombWarning)  # our own, lower cap follows
                picture = PIL.Image.open(file, formats=("WEBP",))
        except Exception as error:  # a decoder fed with damaged data raises nearly anything
            raise _unreadable(path, "damaged; no frame can be decoded", field) from error
        if picture.width * picture.height > MAX_WEBP_PIXELS:
            raise _unreadable(path, "too large", field)
        shown_at = 0.0
        for index in range(getattr(picture, "n_frames", 1)):
            try:
                picture.seek(index)
                rgba = picture.convert("RGBA")
            except Exception as error:  # as above
                raise _unreadable(path, f"damaged after {index} frames", field) from error
            white = PIL.Image.new("RGB", rgba.size, "white")
            white.paste(rgba.convert("RGB"), mask=rgba.getchannel("A"))
            yield TimedFrame(image=np.array(white), time_seconds=shown_at)
            shown_at += picture.info.get("duration", 0) / 1000


def count_webp_frames(path: Path, *, field: str) -> int:
    """Return how many frames a WebP picture holds, 1 for a still one, by its chunks (RFC 9649, 2.7)."""
    with open_regular_file(path, field=field) as file:
        return max(_count_chunks(file, b"ANMF"), 1)


def _count_chunks(file: BinaryIO, wanted: bytes) -> int:
    end = file.seek(0, os.SEEK_END)
    start, count = 12, 0
    for _ in range(_MAX_CHUNKS):
        if start + 8 > end:
            break
        file.seek(start)
        header = file.read(8)
        count += header[:4] == wanted
        size = int.from_bytes(header[4:], "little")
        start += 8 + size + size % 2
    return count


def _unreadable(path: Path, what: str, field: str) -> UnreadableMedia:
    return UnreadableMedia(f"the animation is {what}", field=field, got=path, allowed="a whole WebP picture",
                           fix="fetch or export the file again")  # fmt: skip
