"""Things that fade in or out over several frames, where nothing in the scene brings them."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from studio.consistency.calibration import threshold_of
from studio.consistency.check import Measured, WindowCheck
from studio.consistency.report import Region
from studio.consistency.tiles import block_region, blocks, carried_sums, is_mostly_plain, peak
from studio.consistency.window import Window

_MIN_FRAMES = 8
_BLOCK = 3
_MEMORY = 12
_FLOOR = 15.0
_LARGEST_STEP = 10.0
_USUAL_PERCENTILE = 90
# Sums of fewer steps say little.
_LEAST_STEPS = 4


class SlowAppearance(WindowCheck):
    """Finds patches that turn into another colour over some frames.

    Per tile of 8x8 pixels at 320x180: |sum of unexplained steps in L, a, b| / (sum of their lengths + 15 levels),
    carried along the motion with a memory of 12 frames; none counts for more than 10 levels, as what changes at once
    is another check's. value: the mean of 3x3 tiles less the 90th percentile of the
    picture, as light that changes everywhere is no thing that appears; the highest over a window.
    Threshold: from clean clips (`calibration.json`).
    """

    id: ClassVar[str] = "slow_appear"
    title: ClassVar[str] = "Things that fade in or out"
    unit: ClassVar[str] = "coherence"
    threshold: ClassVar[float] = threshold_of("slow_appear")

    def measure(self, window: Window) -> Measured | str:
        usable = window.usable
        if usable.sum() < _MIN_FRAMES:
            return "too few frames in a row that can be compared"
        if is_mostly_plain(window):
            return "too much of the picture is plain to follow how it moves"
        steps = window.motion("jump")
        lengths = np.linalg.norm(steps, axis=3, keepdims=True)
        steps = steps * np.minimum(1, _LARGEST_STEP / np.maximum(lengths, 1e-6))
        sums = carried_sums(window, steps, _MEMORY)
        share = blocks(np.linalg.norm(sums[..., :-1], axis=3) / (sums[..., -1] + _FLOOR), _BLOCK)
        share -= np.percentile(share, _USUAL_PERCENTILE, axis=(1, 2), keepdims=True)
        for index in range(len(window)):
            if not usable[max(0, index - _LEAST_STEPS + 1) : index + 1].all():
                share[index] = 0
        by_frame = share.max(axis=(1, 2))
        regions = [block_region(peak(item), _BLOCK, steps.shape[1:3]) for item in share]
        return Measured(value=float(by_frame.max()), series=np.where(usable, by_frame, np.nan),
                        frame_threshold=self.threshold, regions=regions)  # fmt: skip

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"something fades in or out up to frame {last}"
