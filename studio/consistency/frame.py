"""One frame as the checks see it; what several of them need is computed once, when the first asks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from studio.media import Image

ANALYSIS_PIXELS = 320 * 180


@dataclass(frozen=True, kw_only=True, eq=False)
class AnalysisFrame:
    """index: 0 for the first. time_seconds: since the first frame. image: (H, W, 3) uint8 RGB, full size."""

    index: int
    time_seconds: float
    image: Image

    @cached_property
    def small(self) -> Image:
        """(h, w, 3) uint8 RGB of about 320x180 pixels: the mean of whole blocks, so that no pattern aliases.

        Pictures below half of that are enlarged by a whole factor, so that motion has room to be measured.
        """
        import cv2

        height, width = self.image.shape[:2]
        scale = (width * height / ANALYSIS_PIXELS) ** 0.5
        factor = max(1, round(scale))
        if factor > 1:
            size = (max(1, width // factor), max(1, height // factor))
            return _bytes(cv2.resize(self.image, size, interpolation=cv2.INTER_AREA))
        enlargement = min(8, round(1 / scale))
        if enlargement > 1:
            size = (width * enlargement, height * enlargement)
            return _bytes(cv2.resize(self.image, size, interpolation=cv2.INTER_CUBIC))
        return self.image

    @cached_property
    def lab(self) -> Image:
        """(h, w, 3) uint8 Lab of `small` after a 3x3 blur, OpenCV's 8-bit levels: L 0..255, a and b around 128."""
        import cv2

        return _bytes(cv2.cvtColor(cv2.blur(self.small, (3, 3)), cv2.COLOR_RGB2LAB))

    @cached_property
    def luma(self) -> NDArray[np.uint8]:
        """(H, W) uint8 luma of the full picture, BT.601."""
        import cv2

        return _bytes(cv2.cvtColor(self.image, cv2.COLOR_RGB2GRAY))


def _bytes(value: Any) -> NDArray[np.uint8]:
    """Give OpenCV's result the type that its stubs do not state."""
    return np.asarray(value, np.uint8)
