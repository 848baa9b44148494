"""Appearance drift: a surface turns into another, too slowly for any one frame to show it."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from studio.consistency.calibration import threshold_of
from studio.consistency.check import Measured, WindowCheck
from studio.consistency.report import Region
from studio.consistency.tiles import Maps, block_region, blocks, carried_sums, peak
from studio.consistency.window import Window

_MIN_FRAMES = 12
_BLOCK = 3
_MEMORY = 30
_FLOOR = 1.0
_HOLD_FRAMES = 6
_SPEED_WEIGHT = 0.05


class AppearanceDrift(WindowCheck):
    """Finds patches that change in the same direction for about three quarters of a second.

    Errors of the flow and noise change their sign from frame to frame; a cross-fade of one face into another does not.
    Per tile of 8x8 pixels at 320x180: |sum of signed residuals| / (sum of their sizes + 1), residuals of L over the
    gradient around them, carried along the motion with a memory of 30 frames. value: the mean of 3x3 tiles that holds
    for 6 frames, divided by 1 + 0.05 x speed (pixels per frame); the highest over a window. It says that the look of
    something changed, never that an identity was kept: a face that is reshaped smoothly cannot be seen so.
    Threshold: from clean clips (`calibration.json`).
    """

    id: ClassVar[str] = "appearance_drift"
    title: ClassVar[str] = "Appearance drift"
    unit: ClassVar[str] = "coherence"
    threshold: ClassVar[float] = threshold_of("appearance_drift")

    def measure(self, window: Window) -> Measured | str:
        usable = window.usable
        if usable.sum() < _MIN_FRAMES:
            return "too few frames in a row that can be compared"
        coherent = held(coherence(window), _HOLD_FRAMES) / (1 + _SPEED_WEIGHT * window.speed[:, None, None])
        by_frame = coherent.max(axis=(1, 2))
        regions = [block_region(peak(item), _BLOCK, window.motion("drift").shape[1:3]) for item in coherent]
        return Measured(value=float(by_frame.max()), series=np.where(usable, by_frame, np.nan),
                        frame_threshold=self.threshold, regions=regions)  # fmt: skip

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"a part of the picture turns into something else up to frame {last}"


def coherence(window: Window) -> Maps:
    """Return (n, r, c): how much of what changed lately changed in one direction, 0 to 1, per block of fine tiles."""
    sums = carried_sums(window, window.motion("drift")[..., None], _MEMORY)
    return blocks(np.abs(sums[..., 0]) / (sums[..., 1] + _FLOOR), _BLOCK)


def held(maps: Maps, num_frames: int) -> Maps:
    """Return (n, r, c) maps: the least of each frame and the `num_frames` - 1 before it, 0 where there are fewer."""
    least = np.zeros_like(maps)
    for index in range(num_frames - 1, len(maps)):
        least[index] = maps[index - num_frames + 1 : index + 1].min(axis=0)
    return least
