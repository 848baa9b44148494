"""How much moves, and how the camera moves: so that a still picture does not count as consistent."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from studio.consistency.check import Check, ClipContext, Direction, shortened
from studio.consistency.report import CheckResult
from studio.consistency.timeline import Timeline
from studio.consistency.window import Window

# Widths of the frame, or shares of its size, per second.
PAN_SPEED = 0.035
ZOOM_SPEED = 0.04


class MotionAmount(Check):
    """Measures the mean speed of the picture's contents in widths of the frame per second, over the whole clip.

    Below the threshold nothing moves to speak of: then the other checks had nothing to judge, and this one says
    "inconclusive" rather than "passed". Threshold: set by hand, half a pixel a second at 320x180. The reason names the
    camera's move: pan from 0.035 widths, zoom from 4 % a second, the median over windows of a robust affine fit.
    """

    id: ClassVar[str] = "motion"
    title: ClassVar[str] = "Amount of motion"
    unit: ClassVar[str] = "widths/s"
    direction: ClassVar[Direction] = "lower_is_worse"
    threshold: ClassVar[float] = 0.002

    def __init__(self, clip: ClipContext) -> None:
        super().__init__(clip)
        self._speeds: dict[int, float] = {}
        self._cameras: list[tuple[float, float, float]] = []

    def judge(self, window: Window) -> None:
        usable = window.usable
        if not usable.any():
            return
        per_second = window.frames_per_second / window.shape[1]
        speeds = window.speed * per_second
        self._speeds |= {
            int(index): float(speeds[place]) for place, index in enumerate(window.indices) if usable[place]
        }
        moves = np.median(window.motion("affine")[usable], axis=0)
        zoom = float((moves[0, 0] + moves[1, 1]) / 2 * window.frames_per_second)
        self._cameras.append((float(moves[0, 2] * per_second), float(moves[1, 2] * per_second), zoom))

    def finish(self, timeline: Timeline) -> CheckResult:
        series = [self._speeds.get(index) for index in range(self._num_frames)]
        known = [speed for speed in series if speed is not None]
        value = float(np.mean(known)) if known else None
        is_moving = value is not None and value >= self.threshold
        short, step = shortened(series)
        return CheckResult(
            id=self.id,
            title=self.title,
            unit=self.unit,
            threshold=self.threshold,
            score=None if value is None else 1 - 1 / (1 + (value / self.threshold) ** 2),
            value=value,
            passed=True if is_moving else None,
            reason=self._camera() if is_moving else "hardly anything moves, so the other checks had little to judge",
            series=short,
            series_step=step,
            series_unit=self.unit,
        )

    def _camera(self) -> str:
        """Name the camera's move."""
        right, down, zoom = np.median(np.array(self._cameras), axis=0)
        words = []
        if abs(right) >= PAN_SPEED:
            words.append("pans left" if right > 0 else "pans right")  # contents that go right: the camera goes left
        if abs(down) >= PAN_SPEED:
            words.append("tilts up" if down > 0 else "tilts down")
        if abs(zoom) >= ZOOM_SPEED:
            words.append("moves in" if zoom > 0 else "moves out")
        return f"the camera {' and '.join(words)}" if words else "the camera stands still"
