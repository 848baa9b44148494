"""The pictures of a window that were looked at closely, for the checks of what a single picture shows."""

from __future__ import annotations

import numpy as np

from studio.consistency.check import BLANK_CONTRAST, Measured
from studio.consistency.picture import PictureFacts
from studio.consistency.report import Region
from studio.consistency.window import Window

NOTHING_TO_SEE = "no frame shows a whole picture: they fade or are plain"


def stills(window: Window) -> list[PictureFacts]:
    """Return the facts of every eighth frame but for fading and plain ones."""
    return [
        frame.picture
        for frame, is_fading in zip(window.frames, window.fading, strict=True)
        if frame.picture is not None and not is_fading and frame.contrast >= BLANK_CONTRAST
    ]


def throughout(window: Window, value: float, threshold: float, region: Region | None = None) -> Measured:
    """Return what holds for every frame of a window alike."""
    regions = [region] * len(window) if region is not None else ()
    return Measured(value=value, series=np.full(len(window), value), frame_threshold=threshold, regions=regions)
