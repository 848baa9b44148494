"""Frames into still and moving pictures: JPEG, PNG, WebP and GIF; used by the gate's own modules alone."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from studio.errors import SealFailed
from studio.export.encoder import EncodedFacts, checked, raw_input
from studio.export.ffmpeg import QUIET, disk_faults, executable, feed, removed_afterwards

Walk = Callable[[], Iterable[NDArray[np.uint8]]]

# Pixels on the longer side of the small picture that travels inside a signed file.
_THUMBNAIL_SIDE = 640
_WEBP_QUALITY = 86


def encode_jpeg(image: NDArray[np.uint8], quality: int = 90) -> bytes:
    """Return an (H, W, 3) uint8 RGB image as JPEG without metadata. quality: 1 to 95; 4:4:4 colour from 90 up."""
    import PIL.Image

    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(
        buffer, "JPEG", quality=quality, subsampling=0 if quality >= 90 else 2, optimize=True
    )
    return buffer.getvalue()


def encode_png(image: NDArray[np.uint8]) -> bytes:
    """Return an (H, W, 3) uint8 RGB image as PNG, exact to the last bit, without metadata."""
    import PIL.Image

    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def thumbnail(image: NDArray[np.uint8]) -> bytes:
    """Return a small JPEG of an (H, W, 3) uint8 RGB image."""
    import PIL.Image

    picture = PIL.Image.fromarray(image)
    picture.thumbnail((_THUMBNAIL_SIDE, _THUMBNAIL_SIDE))
    return encode_jpeg(np.asarray(picture, np.uint8), 85)


def write_gif(walk: Walk, destination: Path, *, width: int, height: int, frame_rate: Fraction) -> EncodedFacts:
    """Write frames as a GIF that loops for ever, with one palette made for this clip.

    walk: starts a walk through the (H, W, 3) uint8 RGB frames; it is called twice, for the palette and for the picture,
    so that one frame at a time is held. GIF counts time in hundredths of a second; 50 frames per second is the most
    that players show. Raises as `encode_video` does.
    """
    palette = destination.with_name(f".{destination.name}.palette.png")
    partial = destination.with_name(f".{destination.name}.partial")
    raw = (executable(), *QUIET, *raw_input((width, height), frame_rate))
    with removed_afterwards(palette), removed_afterwards(partial):
        make = ("-vf", "palettegen=stats_mode=full", "-frames:v", "1", "-update", "1", "-f", "image2")
        if feed([*raw, *make, f"file:{palette}"], _contiguous(walk(), width, height)) == 0:
            raise SealFailed("there are no frames to encode", field="frames")
        use = ("-lavfi", "[0:v][1:v]paletteuse=dither=sierra2_4a:diff_mode=rectangle", "-fps_mode", "passthrough")
        command = [*raw, "-i", f"file:{palette}", *use, "-loop", "0", "-fflags", "+bitexact", "-f", "gif"]
        num_frames = feed([*command, f"file:{partial}"], _contiguous(walk(), width, height))
        return _publish(partial, destination, width, height, num_frames, frame_rate)


def write_webp(walk: Walk, destination: Path, *, width: int, height: int, frame_rate: Fraction) -> EncodedFacts:
    """Write frames as an animated WebP that loops for ever.

    Every frame is a picture of its own, also where it repeats the one before: libwebp's own animation encoder makes
    such frames one, and the file would have fewer than the clip. What did not change at all is left transparent.
    walk: starts a walk through the (H, W, 3) uint8 RGB frames. Raises as `encode_video` does.
    """
    partial = destination.with_name(f".{destination.name}.partial")
    with removed_afterwards(partial):
        command = [
            *(executable(), *QUIET, *raw_input((width, height), frame_rate), "-vf", "format=yuva420p"),
            *("-c:v", "libwebp", "-lossless", "0", "-quality", str(_WEBP_QUALITY), "-compression_level", "4"),
            *("-cr_threshold", "1", "-cr_size", "16"),
            *("-fps_mode", "passthrough", "-loop", "0", "-fflags", "+bitexact", "-f", "webp", f"file:{partial}"),
        ]
        num_frames = feed(command, _contiguous(walk(), width, height))
        if num_frames == 0:
            raise SealFailed("there are no frames to encode", field="frames")
        return _publish(partial, destination, width, height, num_frames, frame_rate)


def write_still(image: NDArray[np.uint8], destination: Path, *, mime_type: str, frame_rate: Fraction) -> EncodedFacts:
    """Write one (H, W, 3) uint8 RGB image as PNG, JPEG or WebP. frame_rate: of the clip that it comes from."""
    height, width = image.shape[:2]
    content = _STILLS[mime_type](image)
    with disk_faults():
        destination.write_bytes(content)
    return EncodedFacts(path=destination, width=width, height=height, num_frames=1, frame_rate=frame_rate,
                        size_bytes=len(content))  # fmt: skip


def _encode_webp(image: NDArray[np.uint8]) -> bytes:
    import PIL.Image

    buffer = io.BytesIO()
    PIL.Image.fromarray(image).save(buffer, "WEBP", quality=92, method=4)
    return buffer.getvalue()


def _contiguous(frames: Iterable[NDArray[np.uint8]], width: int, height: int) -> Iterator[NDArray[np.uint8]]:
    return (np.ascontiguousarray(frame) for frame in checked(frames, width, height))


def _publish(
    partial: Path, destination: Path, width: int, height: int, num_frames: int, frame_rate: Fraction
) -> EncodedFacts:
    with disk_faults():
        size_bytes = partial.stat().st_size
        os.replace(partial, destination)
    return EncodedFacts(path=destination, width=width, height=height, num_frames=num_frames, frame_rate=frame_rate,
                        size_bytes=size_bytes)  # fmt: skip


_STILLS: dict[str, Callable[[NDArray[np.uint8]], bytes]] = {
    "image/png": encode_png,
    "image/jpeg": lambda image: encode_jpeg(image, 94),
    "image/webp": _encode_webp,
}
