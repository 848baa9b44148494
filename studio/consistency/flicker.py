"""Global flicker: the whole picture pulses between lighter and darker."""

from __future__ import annotations

from fractions import Fraction
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.check import AnalysisFrame, Direction, inconclusive, result
from studio.consistency.report import CheckResult

_MIN_FRAMES = 5
_JUDGED_RATE = 30
_CALIBRATED_RATE = 24
_WINDOW_SECONDS = 1.7


class GlobalFlicker:
    """Measures how mean lightness zigzags.

    value: median over time of |L[i-1] - 2 L[i] + L[i+1]|, L the mean OpenCV 8-bit Lab lightness of the frame at about
    320x180. The second difference of a fade, pan or drift is near 0, and a median ignores cuts. Of a longer clip the
    worst stretch of 1.7 s counts, the length this was calibrated on; stretches lie end to end. Threshold .9 levels:
    the 95th percentile of 37 clean clips; AUC .970 / .989 / 1.00 for gains of sd 1.5 / 4 / 10 %
    (facts/consistency.md 3.2, 3.5, 4.1).
    Above 30 frames per second the neighbours are taken further apart, so that 60 is judged as 30. Below 24, where
    plain motion changes more from frame to frame, the figure is scaled by rate / 24 (our choice, not measured there).
    """

    id: ClassVar[str] = "global_flicker"
    title: ClassVar[str] = "Global flicker"
    unit: ClassVar[str] = "levels"
    direction: ClassVar[Direction] = "higher_is_worse"
    threshold: ClassVar[float] = 0.9

    def __init__(self, frame_rate: Fraction) -> None:
        self._lag = max(1, round(frame_rate / _JUDGED_RATE))
        self._window = max(_MIN_FRAMES, round(float(frame_rate) * _WINDOW_SECONDS))
        self._scale = min(1.0, float(frame_rate) / _CALIBRATED_RATE)
        self._lightness: list[float] = []

    def update(self, frame: AnalysisFrame) -> None:
        self._lightness.append(frame.mean_lightness)

    def finish(self) -> CheckResult:
        lag, lightness = self._lag, np.array(self._lightness)
        if len(lightness) < _MIN_FRAMES + 2 * (lag - 1):
            return inconclusive(self, f"fewer than {_MIN_FRAMES + 2 * (lag - 1)} frames")
        zigzag = np.abs(lightness[: -2 * lag] - 2 * lightness[lag:-lag] + lightness[2 * lag :]) * self._scale
        value, start = _worst_stretch(zigzag, self._window)
        edge: list[float | None] = [None] * lag
        seconds = round((start + lag) / (self._window / _WINDOW_SECONDS), 1)
        return result(self, value, series=[*edge, *map(float, zigzag), *edge], series_unit="levels",
                      frame_threshold=self.threshold * 2,
                      reason=f"the whole picture flickers in brightness, most from {seconds} s on")  # fmt: skip


def _worst_stretch(series: NDArray[np.float64], length: int) -> tuple[float, int]:
    """Return the highest median over stretches of `length`, the last one flush with the end, and where it begins."""
    last = max(0, len(series) - length)
    starts = sorted({*range(0, last + 1, length), last})
    medians = [float(np.median(series[start : start + length])) for start in starts]
    worst = int(np.argmax(medians))
    return medians[worst], starts[worst]
