"""One pass over a file's frames for everybody who wants to see them, within limits of number, size and time."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Protocol

from studio.errors import UnreadableMedia
from studio.inspection.report import MediaFacts
from studio.media import Image, iter_frames, read_image, sniff_mime_type

# Beyond the largest usual frame a handful of them would fill the memory; blending transparent ones takes more of it.
MAX_PIXELS = 8192 * 4320
MAX_TRANSPARENT_PIXELS = 4096 * 2304
_TRANSPARENT = ("rgba", "bgra", "argb", "abgr", "la", "pa", "p", "pal8", "gbrap", "ya8")


class Viewer(Protocol):
    """Somebody who looks at frames."""

    @property
    def is_done(self) -> bool:
        """Whether it has seen enough."""

    def look(self, image: Image) -> None:
        """Look at the next frame, (H, W, 3) uint8 RGB."""


def show(path: Path, facts: MediaFacts, viewers: tuple[Viewer, ...], *, max_seconds: float) -> None:
    """Show a file's frames from the first on until every viewer is done, the file ends or is damaged, or time is up."""
    if facts.width is None or facts.height is None or facts.width * facts.height > _most_pixels(facts):
        return
    deadline = time.monotonic() + max_seconds
    try:
        with closing(_images(path)) as images:
            for image in images:
                waiting = [viewer for viewer in viewers if not viewer.is_done]
                for viewer in waiting:
                    viewer.look(image)
                if all(viewer.is_done for viewer in waiting) or time.monotonic() > deadline:
                    return
    except UnreadableMedia:
        return  # whole frames before the damage were seen


def _most_pixels(facts: MediaFacts) -> int:
    name = (facts.pixel_format or "").lower()
    is_transparent = name in _TRANSPARENT or name.startswith("yuva") or facts.container == "gif"
    return MAX_TRANSPARENT_PIXELS if is_transparent else MAX_PIXELS


def _images(path: Path) -> Generator[Image, None, None]:
    mime_type = sniff_mime_type(path)
    if mime_type is not None and mime_type.startswith("image/") and mime_type not in ("image/gif", "image/webp"):
        yield read_image(path)
    elif mime_type is not None:
        for timed in iter_frames(path):
            yield timed.image
