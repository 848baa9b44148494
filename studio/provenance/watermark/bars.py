"""Finding the picture inside black or coloured bars."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_PLAIN = 3.0  # levels: a line of a bar varies less, coding noise included
_SAME = 6.0  # levels between neighbouring lines of one bar
_SMALLEST_BAR, _SMALLEST_PICTURE = 0.02, 0.25  # shares of a side


@dataclass(frozen=True)
class Area:
    """A part of a frame, in pixels."""

    top: int
    left: int
    height: int
    width: int

    def cut(self, frame: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return this part of a frame."""
        return frame[self.top : self.top + self.height, self.left : self.left + self.width]


def whole(frame: NDArray[np.uint8]) -> Area:
    """Return the area of a whole frame."""
    return Area(0, 0, frame.shape[0], frame.shape[1])


def picture_area(frame: NDArray[np.uint8]) -> Area:
    """Return where the picture is in a frame that may have bars on two or four sides. frame: (H, W, 3) uint8."""
    import cv2

    gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)
    top, bottom = _inside(gray)
    left, right = _inside(gray[top:bottom].T)
    return Area(top, left, bottom - top, right - left)


def _inside(lines: NDArray[np.float32]) -> tuple[int, int]:
    """Return the first line after the leading bar and the first one of the trailing bar."""
    size = len(lines)
    first = _bar(lines)
    last = size - _bar(lines[::-1])
    if last - first < _SMALLEST_PICTURE * size:
        return 0, size  # one plain colour all over: not a bar but the picture
    return (first if first >= _SMALLEST_BAR * size else 0), (last if size - last >= _SMALLEST_BAR * size else size)


def _bar(lines: NDArray[np.float32]) -> int:
    is_plain = lines.std(axis=1) < _PLAIN
    means = lines.mean(axis=1)
    is_bar = is_plain & (np.abs(means - means[0]) < _SAME)
    return int(np.argmin(is_bar)) if not is_bar.all() else len(lines)
