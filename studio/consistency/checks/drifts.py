"""Colour and exposure drift: the whole picture slowly changes its tint or its brightness."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.calibration import rank_of, threshold_of
from studio.consistency.check import ClipContext, Measured, WindowCheck, inconclusive, verdict_of
from studio.consistency.report import CheckResult, Event
from studio.consistency.tiles import always_lit
from studio.consistency.timeline import Timeline
from studio.consistency.window import WINDOW_FRAMES, Window

_MIN_FRAMES = 12
_AGREEING_PERCENTILE = 25
# With fewer tiles than this share of the picture lit, a growing subject looks like a growing light.
_LEAST_LIT_SHARE = 0.12

Floats = NDArray[np.float64]


class _Drift(WindowCheck):
    """Adds up what motion does not explain, tile by tile, and asks what most of the picture agrees on.

    The sum of the motion-compensated residual over a window, of the tiles that are lit throughout (a gain changes
    nothing in black), in the direction that three quarters of them share: so much of it that only a quarter changes
    less. So neither a subject that comes, goes or grows nor what a pan brings into view is taken for a drift.
    value: that, or the same over 80, 160 ... frames divided by the square root of how many times longer those are, as
    the errors of longer sums grow like that.
    """

    words: ClassVar[str]
    channels: ClassVar[slice]
    series_unit: ClassVar[str] = "levels"

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._stretches: list[tuple[int, int, Floats]] = []
        self._next_frame = 0

    def measure(self, window: Window) -> Measured | str:
        usable = window.usable
        if usable.sum() < _MIN_FRAMES:
            return f"fewer than {_MIN_FRAMES} frames that can be compared"
        lit = always_lit(window)
        if lit.mean() < _LEAST_LIT_SHARE:
            return "too little of the picture is lit throughout"
        steps = np.where(usable[:, None, None], window.motion("residual")[:, lit][..., self.channels], 0)
        self._go_on(window, steps)
        sums = np.cumsum(steps, axis=0)
        series = np.array([np.linalg.norm(agreed(item)) for item in sums])
        value = float(np.linalg.norm(agreed(sums[-1])))
        return Measured(value=value, series=series, frame_threshold=self.threshold)

    def _go_on(self, window: Window, steps: NDArray[np.float64]) -> None:
        """Keep the sum of the frames that no window before had."""
        new = window.indices >= self._next_frame
        if new.any():
            frames = window.indices[new]
            self._stretches.append((int(frames[0]), int(frames[-1]), agreed(steps[new].sum(axis=0))))
            self._next_frame = int(frames[-1]) + 1

    def finish(self, timeline: Timeline) -> CheckResult:
        result = super().finish(timeline)
        if result.value is None:
            return inconclusive(self, result.reason)
        value, first, last = self._longest_drift()
        if value <= result.value:
            return result
        event = Event(first_frame=first, last_frame=last, value=value, reason=f"{self.words} between frames {first} "
                      f"and {last}", rank=rank_of(self.id, value))  # fmt: skip
        return verdict_of(self, value, series=result.series, series_unit=result.series_unit,
                          events=[event, *result.events], worst_frames=[last, first])  # fmt: skip

    def _longest_drift(self) -> tuple[float, int, int]:
        """Return the highest value over spans of more than a window, and its first and last frame."""
        path = np.cumsum([item for _, _, item in self._stretches], axis=0)
        best, span = (0.0, 0, 0), 4
        while span < len(path):
            moved = np.linalg.norm(path[span:] - path[:-span], axis=1)
            place = int(np.argmax(moved))
            first, last = self._stretches[place + 1][0], self._stretches[place + span][1]
            value = float(moved[place]) / max(1.0, (last - first + 1) / WINDOW_FRAMES) ** 0.5
            best = max(best, (value, first, last))
            span *= 2
        return best

    def describe(self, value: float, first: int, last: int, region: object) -> str:
        return f"{self.words} up to frame {last}"


class ColourDrift(_Drift):
    """The whole picture changes its tint: a and b of Lab. Threshold: from clean clips (`calibration.json`)."""

    id: ClassVar[str] = "colour_drift"
    title: ClassVar[str] = "Colour drift"
    unit: ClassVar[str] = "levels"
    threshold: ClassVar[float] = threshold_of("colour_drift")
    words: ClassVar[str] = "the whole picture changes its tint"
    channels: ClassVar[slice] = slice(1, 3)


class ExposureDrift(_Drift):
    """The whole picture grows lighter or darker: L of Lab. Threshold: from clean clips (`calibration.json`)."""

    id: ClassVar[str] = "exposure_drift"
    title: ClassVar[str] = "Exposure drift"
    unit: ClassVar[str] = "levels"
    threshold: ClassVar[float] = threshold_of("exposure_drift")
    words: ClassVar[str] = "the whole picture changes its brightness"
    channels: ClassVar[slice] = slice(0, 1)


def agreed(changes: NDArray[np.floating]) -> Floats:
    """Return (k,): by how much three quarters of (m, k) changes go in one direction at least, 0 where they disagree."""
    low, high = np.percentile(changes, (_AGREEING_PERCENTILE, 100 - _AGREEING_PERCENTILE), axis=0)
    return np.asarray(np.maximum(low, 0) + np.minimum(high, 0), np.float64)
