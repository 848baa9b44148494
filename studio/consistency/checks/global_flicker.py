"""Global flicker: the whole picture pulses between lighter and darker."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.calibration import threshold_of
from studio.consistency.check import Measured, WindowCheck
from studio.consistency.report import Region
from studio.consistency.tiles import lit_median
from studio.consistency.window import Window

_MIN_PAIRS = 3
# Levels: below that a percentage of the light is a percentage of noise.
_DARKEST = 30.0


class GlobalFlicker(WindowCheck):
    """Measures how the light of the whole picture alternates.

    Per frame: the median over the tiles that are not black of what motion leaves unexplained in L, in percent of the
    picture's light. value: the square root of the mean over a window of -g[i] g[i+1]: fades, drifts and slow changes of
    light have neighbours of the same sign, and errors of the flow cancel in the median. Pans and zooms, which move the
    mean of the picture, do not show. In the recordings of the benchmark clean clips stay below .6 %, where a gain of
    sd 4 % measures from 1.8 % on, also in clips that are nearly black.
    Threshold: from clean clips (`calibration.json`).
    """

    id: ClassVar[str] = "global_flicker"
    title: ClassVar[str] = "Global flicker"
    unit: ClassVar[str] = "% of light"
    threshold: ClassVar[float] = threshold_of("global_flicker")

    def measure(self, window: Window) -> Measured | str:
        usable = window.usable
        pairs = usable[:-1] & usable[1:]
        if pairs.sum() < _MIN_PAIRS:
            return "too few frames in a row that can be compared"
        gains = light_changes(window)
        turns = np.where(pairs, -gains[:-1] * gains[1:], 0.0)
        series = np.full(len(window), np.nan)
        series[1:] = np.where(pairs, np.sqrt(np.maximum(turns, 0)), np.nan)
        value = float(np.sqrt(max(0.0, turns.sum() / pairs.sum())))
        return Measured(value=value, series=series, frame_threshold=self.threshold)

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"the whole picture flickers in brightness in frames {first} to {last}"


def light_changes(window: Window) -> NDArray[np.float64]:
    """Return (n,): by how many percent the light changed since the frame before, 0 where that is not known."""
    changes = np.zeros(len(window))
    for place, frame in enumerate(window.frames):
        if frame.motion is not None:
            light = lit_median(frame.thumb[:, :, :1].astype(np.float32), frame.thumb)[0]
            changes[place] = 100 * lit_median(frame.motion.residual, frame.thumb)[0] / max(light, _DARKEST)
    return changes
