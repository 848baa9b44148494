"""A few frames of a long video: all are decoded up to the last one wanted, and only the wanted ones become pictures."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from studio.media.containers import open_container
from studio.media.files import sniff_mime_type
from studio.media.salvage import decode_on
from studio.media.types import Image
from studio.media.video_walk import Upright, converted
from studio.media.videos import iter_frames, video_stream

_DECODER_THREADS = 2


def pick_frames(path: Path | str, indices: Collection[int], *, field: str = "video") -> Iterator[tuple[int, Image]]:
    """Yield (index, picture) of the wanted frames in order, (H, W, 3) uint8 RGB as `VideoWalk` gives them.

    What cannot be decoded counts for nothing, and indices that the video does not reach are left out.
    Raises `UnreadableMedia` for what is no video at all.
    """
    wanted = sorted(set(indices))
    if not wanted:
        return
    if sniff_mime_type(path, field=field) == "image/webp":
        for index, timed in enumerate(iter_frames(path, max_frames=wanted[-1] + 1, field=field)):
            if index in wanted:
                yield index, timed.image
        return
    with open_container(Path(path), field=field) as (container, _mime_type):
        stream = video_stream(container, Path(path), field)
        stream.thread_type, stream.thread_count = "AUTO", _DECODER_THREADS
        upright = Upright()
        for index, frame in enumerate(decode_on(container, stream, lambda: None)):
            image = converted(frame, upright) if index in wanted else None
            if image is not None:
                yield index, image
            if index >= wanted[-1]:
                return
