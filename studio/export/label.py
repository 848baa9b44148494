"""The visible label: words or a roundel that say "AI", burned into every frame, off unless asked for.

The wording and the place follow what the EU's Code of Practice on marking and labelling AI-generated content (June
2026, section 2) says of labels: the capital letters AI come first, in the upper right corner, from the first frame on.
The roundel is our own drawing, not the European Commission's artwork: that may be had from the Commission's site, free
and without attribution, by those who must show exactly it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageFont import FreeTypeFont, ImageFont

Frame = NDArray[np.uint8]
Label = Callable[[Frame], Frame]

GENERATED, MODIFIED = "AI GENERATED", "AI MODIFIED"

# Shares of the frame's short side. A twentieth at each edge is what television calls action-safe.
_MARGIN, _LETTERS, _ROUNDEL = 0.05, 0.045, 0.09
_LEAST_LETTERS, _LEAST_ROUNDEL = 9, 20  # pixels; smaller ones cannot be read
_BOX = (0, 0, 0, 190)  # dark enough for white letters on a white picture
_FINER = 4  # times the size at which the roundel is drawn


def label_of(kind: str | None, height: int, width: int, *, is_modified: bool = False) -> Label | None:
    """Return a function that draws the label into a copy of a frame; None where no label is wanted.

    kind: ``text`` or ``icon``. height, width: of the frames, pixels. is_modified: an existing clip was changed.
    The function takes and returns (H, W, 3) uint8 RGB.

    Raises:
        ValueError: no such kind.
    """
    if kind is None:
        return None
    match kind:
        case "text":
            stamp = _words(MODIFIED if is_modified else GENERATED, height, width)
        case "icon":
            stamp = _roundel(min(max(_LEAST_ROUNDEL, round(_ROUNDEL * min(height, width))), height, width))
        case _:
            raise ValueError(f"kind: expected text, icon or None, got {kind}")
    return _stamper(stamp, height, width)


def _stamper(stamp: Image, height: int, width: int) -> Label:
    pixels = np.asarray(stamp, np.uint16)
    rows, columns = pixels.shape[:2]
    margin = round(_MARGIN * min(height, width))
    top, left = min(margin, height - rows), max(width - margin - columns, 0)
    opacity = pixels[..., 3:]
    colour, remaining = pixels[..., :3] * opacity, 255 - opacity

    def draw(frame: Frame) -> Frame:
        if frame.shape != (height, width, 3) or frame.dtype != np.uint8:
            raise ValueError(f"frame: expected {(height, width, 3)} uint8, got {frame.shape} {frame.dtype}")
        labelled = frame.copy()
        region = labelled[top : top + rows, left : left + columns]
        region[:] = (region * remaining + colour + 127) // 255
        return labelled

    return draw


def _words(words: str, height: int, width: int) -> Image:
    """Return white letters on a dark box that fits between the margins."""
    import PIL.Image
    import PIL.ImageDraw

    room = width - 2 * round(_MARGIN * min(height, width))
    size = max(_LEAST_LETTERS, round(_LETTERS * min(height, width)))
    while size > _LEAST_LETTERS and _box_size(words, size)[0] > room:
        size -= 1
    if _box_size(words, size)[0] > room:
        words = words[:2]  # "AI" alone: a tiny frame has no room for more that could be read
    columns, rows = _box_size(words, size)
    stamp = PIL.Image.new("RGBA", (min(columns, width), min(rows, height)))
    drawing = PIL.ImageDraw.Draw(stamp)
    drawing.rounded_rectangle((0, 0, columns - 1, rows - 1), radius=rows // 4, fill=_BOX)
    drawing.text(
        (columns / 2, rows / 2),
        words,
        font=_font(size),
        fill="white",
        anchor="mm",
        stroke_width=max(0.4, size / 30),
        stroke_fill="white",
    )
    return stamp


def _box_size(words: str, size: int) -> tuple[int, int]:
    return round(_font(size).getlength(words) + 1.2 * size), round(1.9 * size)


def _roundel(diameter: int) -> Image:
    """Return a white disc with a dark rim and the dark letters AI."""
    import PIL.Image
    import PIL.ImageDraw

    large = diameter * _FINER
    stamp = PIL.Image.new("RGBA", (large, large))
    drawing = PIL.ImageDraw.Draw(stamp)
    drawing.ellipse((0, 0, large - 1, large - 1), fill=(16, 16, 16, 235))
    rim = large // 16
    drawing.ellipse((rim, rim, large - 1 - rim, large - 1 - rim), fill=(255, 255, 255, 235))
    stroke = max(large // 60, 1)
    font = _font(round(0.55 * large))
    drawing.text((large / 2, large / 2), "AI", font=font, fill="black", anchor="mm", stroke_width=stroke)
    return stamp.resize((diameter, diameter), PIL.Image.Resampling.LANCZOS)


def _font(size: int) -> FreeTypeFont | ImageFont:
    """Return the font that Pillow brings along, so that a label looks the same on every machine."""
    import PIL.ImageFont

    return PIL.ImageFont.load_default(size)
