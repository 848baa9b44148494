"""A sheet of paper for Pillow: drawn at twice the size and reduced, so that every edge is smooth."""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

from studio.media import Image

if TYPE_CHECKING:
    import PIL.Image
    import PIL.ImageFont

Colour = tuple[int, int, int]
Points = Sequence[tuple[float, float]]

PAPER, PANEL, RULE = (255, 255, 255), (246, 248, 250), (223, 228, 235)
INK, MUTED, FAINT = (22, 30, 44), (92, 104, 122), (146, 156, 171)
CURVE, CURVE_WASH, MARK = (42, 82, 152), (220, 229, 243), (112, 84, 158)
# Told apart by shape and word as well: one man in twelve cannot tell these red and green by colour.
COLOURS = {"failed": (184, 44, 34), "passed": (30, 112, 68), "inconclusive": (140, 98, 14)}
WASHES = {"failed": (251, 224, 220), "passed": (222, 240, 229), "inconclusive": (250, 240, 214)}

_FINER = 2
_DRAWN = set("·–—…’“”")


class Canvas:
    """Draws in pixels of the finished picture, from its upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        import PIL.Image
        import PIL.ImageDraw

        self._image = PIL.Image.new("RGB", (width * _FINER, height * _FINER), PAPER)
        self._drawing = PIL.ImageDraw.Draw(self._image)

    def text(
        self, x: float, y: float, words: str, size: float, colour: Colour = INK, *, anchor: str = "ls",
        is_bold: bool = False, room: float | None = None, halo: Colour | None = None,
    ) -> float:  # fmt: skip
        """Write a line and return its width. anchor: as Pillow's; ``ls`` is left on the base line.

        room: what does not fit into so many pixels is cut off, with an ellipsis. halo: a rim around the letters.
        """
        line = plain(words) if room is None else fitted(plain(words), size, room)
        if halo is not None:
            self._drawing.text((x * _FINER, y * _FINER), line, font=_font(size), fill=halo, anchor=anchor,
                               stroke_width=4 * _FINER, stroke_fill=halo)  # fmt: skip
        self._drawing.text(
            (x * _FINER, y * _FINER), line, font=_font(size), fill=colour, anchor=anchor,
            stroke_width=size * _FINER / 64 if is_bold else 0, stroke_fill=colour,
        )  # fmt: skip
        return width_of(line, size)

    def box(
        self, x: float, y: float, width: float, height: float, fill: Colour | None = None, *, radius: float = 0,
        outline: Colour | None = None, line_width: float = 1,
    ) -> None:  # fmt: skip
        """Draw a rectangle."""
        corners = (x * _FINER, y * _FINER, (x + width) * _FINER - 1, (y + height) * _FINER - 1)
        self._drawing.rounded_rectangle(
            corners, radius * _FINER, fill=fill, outline=outline, width=round(line_width * _FINER) if outline else 0
        )

    def line(self, points: Points, colour: Colour, width: float = 1) -> None:
        """Draw a line through points."""
        scaled = [(x * _FINER, y * _FINER) for x, y in points]
        self._drawing.line(scaled, fill=colour, width=max(1, round(width * _FINER)), joint="curve")

    def dashes(self, start: tuple[float, float], end: tuple[float, float], colour: Colour, width: float = 1) -> None:
        """Draw a dashed line, upright or level."""
        length = abs(end[0] - start[0]) + abs(end[1] - start[1])
        step = (end[0] - start[0]) / max(length, 1e-9), (end[1] - start[1]) / max(length, 1e-9)
        for place in range(0, int(length), 8):
            stop = min(place + 5.0, length)
            self.line([(start[0] + step[0] * along, start[1] + step[1] * along) for along in (place, stop)],
                      colour, width)  # fmt: skip

    def area(self, points: Points, fill: Colour) -> None:
        """Fill what points enclose."""
        self._drawing.polygon([(x * _FINER, y * _FINER) for x, y in points], fill=fill)

    def disc(self, x: float, y: float, radius: float, fill: Colour | None, outline: Colour | None = None) -> None:
        """Draw a disc around a point."""
        corners = tuple(value * _FINER for value in (x - radius, y - radius, x + radius, y + radius))
        self._drawing.ellipse(corners, fill=fill, outline=outline, width=round(1.5 * _FINER))

    def picture(self, x: float, y: float, width: int, height: int, pixels: Image) -> None:
        """Lay a picture, (h, w, 3) uint8 RGB, over a rectangle of its proportions."""
        import PIL.Image

        size = width * _FINER, height * _FINER
        scaled = PIL.Image.fromarray(pixels).resize(size, PIL.Image.Resampling.LANCZOS)
        self._image.paste(scaled, (round(x * _FINER), round(y * _FINER)))

    def finished(self) -> PIL.Image.Image:
        """Return the picture."""
        return self._image.reduce(_FINER)


def plain(words: str) -> str:
    """Return what Pillow's own font can draw: accents fall, and what is left of other scripts is a question mark."""
    folded = unicodedata.normalize("NFKD", words)
    kept = (letter for letter in folded if not unicodedata.combining(letter))
    return "".join(letter if " " <= letter <= "~" or letter in _DRAWN else "?" for letter in kept)


def fitted(words: str, size: float, room: float) -> str:
    """Cut a line to so many pixels, with an ellipsis where something is lost."""
    if width_of(words, size) <= room:
        return words
    kept = bisect_right(range(len(words)), room, key=lambda end: width_of(words[:end] + "…", size)) - 1
    return words[: max(kept, 0)].rstrip() + "…"


def wrapped(words: str, size: float, room: float, most: int) -> list[str]:
    """Break words into at most so many lines of so many pixels; the last one is cut where they do not suffice."""
    lines, line = [], ""
    for word in plain(words).split():
        longer = f"{line} {word}".strip()
        if line and width_of(longer, size) > room:
            lines.append(line)
            line = word
        else:
            line = longer
    lines.append(line)
    rest = " ".join(lines[most - 1 :])
    return [fitted(item, size, room) for item in (*lines[: most - 1], rest) if item]


def width_of(words: str, size: float) -> float:
    """Return the width of a line, pixels."""
    return float(_font(size).getlength(words)) / _FINER


@cache
def _font(size: float) -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    import PIL.ImageFont

    return PIL.ImageFont.load_default(size * _FINER)
