"""Sharpness: the picture turns soft for a moment, or softer and softer."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.calibration import threshold_of
from studio.consistency.check import Measured, WindowCheck
from studio.consistency.report import Region
from studio.consistency.tiles import is_mostly_plain
from studio.consistency.window import Window

Series = NDArray[np.float64]

_SIDE_FRAMES = 3
_MIN_FRAMES = 2 * _SIDE_FRAMES
# A true step happens from one frame to the next; what takes longer is movement.
_SUDDEN_SHARE = 1.5
# Pixels of `small` per frame by which the speed may change before a step counts half: motion blur.
_BLURRING_SPEED = 2.0
# Slow changes are common: a trend weighs less than a step of the same size (95th percentiles of clean clips).
_TREND_WEIGHT = 0.7
_TREND_SHARE = 5
# Enlarging a picture lowers the energy of its Laplacian by up to the fourth power of the factor where it has nothing
# finer to show, and not at all where it has; the square accounts for slow zooms, and leaves real softness to be seen.
_ZOOM_POWER = 2.0
# Levels. More light or contrast raises the energy by the square without making anything sharper.
_CONTRAST_FLOOR = 2.0


class Sharpness(WindowCheck):
    """Measures how the energy of the Laplacian changes, in natural logarithms, within windows of 40 analysed frames.

    value: the greater of the largest step and 0.7 times the trend. A step is the difference between the medians of
    three frames before and three after, no more than 1.5 times the change from one frame to the next, and less where
    the camera's or the subject's speed changes with it (motion blur). The trend is the difference between the medians
    of the last and the first fifth, less what the measured zoom and the change of contrast account for. Frames of
    fades are left out, and nothing is compared across a cut.
    Threshold: from clean clips (`calibration.json`).
    """

    id: ClassVar[str] = "sharpness"
    title: ClassVar[str] = "Sharpness"
    unit: ClassVar[str] = "natural logarithm of the Laplacian's energy"
    threshold: ClassVar[float] = threshold_of("sharpness")

    def measure(self, window: Window) -> Measured | str:
        if window.usable.any() and is_mostly_plain(window):
            return "too much of the picture is plain to tell a soft one from a sharp one"
        energy = np.array([frame.sharpness for frame in window.frames])
        relative = energy - 2 * np.log(np.array([frame.contrast for frame in window.frames]) + _CONTRAST_FLOOR)
        stretches = [stretch for stretch in _stretches(window) if len(stretch) >= _MIN_FRAMES]
        if not stretches:
            return f"no shot shows {_MIN_FRAMES} frames in a row outside of fades"
        figures = np.full(len(window), np.nan)
        value = 0.0
        zooms = _zooms(window)
        for stretch in stretches:
            steps = _steps(energy[stretch]) / (1 + _speed_changes(window.speed[stretch]) / _BLURRING_SPEED)
            courses = [_trend(item[stretch], np.cumsum(zooms[stretch])) for item in (energy, relative)]
            trend, course = min(courses, key=lambda item: item[0])
            figures[stretch] = np.maximum(steps, course) if trend >= self.threshold else steps
            value = max(value, float(steps.max()), trend)
        return Measured(value=value, series=figures, frame_threshold=self.threshold)

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"the picture becomes softer or sharper in frames {first} to {last} without a reason in its movement"


def _stretches(window: Window) -> list[NDArray[np.intp]]:
    """Return the positions of frames that belong together: of one shot, and no part of a fade."""
    shot = np.cumsum(window.broken)
    places = np.arange(len(window))
    return [places[(shot == number) & ~window.fading] for number in np.unique(shot)]


def _steps(energy: Series) -> Series:
    """Return the step at each frame, 0 where there are not enough frames on both sides."""
    count = len(energy)
    steps = np.zeros(count)
    runs = np.lib.stride_tricks.sliding_window_view(energy, _SIDE_FRAMES)
    medians = np.median(runs, axis=1)
    at = np.arange(_SIDE_FRAMES, count - _SIDE_FRAMES + 1)
    lasting = np.abs(medians[at] - medians[at - _SIDE_FRAMES])
    sudden = np.abs(energy[at] - energy[at - 1])
    steps[at] = np.minimum(lasting, _SUDDEN_SHARE * sudden)
    return steps


def _speed_changes(speed: NDArray[np.float32]) -> Series:
    """Return how much the speed around each frame varies, pixels per frame."""
    padded = np.pad(speed.astype(np.float64), _SIDE_FRAMES, mode="edge")
    runs = np.lib.stride_tricks.sliding_window_view(padded, 2 * _SIDE_FRAMES + 1)
    return np.asarray(np.ptp(runs, axis=1))


def _zooms(window: Window) -> Series:
    """Return how much larger each frame shows things than the one before, in natural logarithms."""
    if not window.has_motion:
        return np.zeros(len(window))
    moves = window.motion("affine")
    scale = 1 + (moves[:, 0, 0] + moves[:, 1, 1]).astype(np.float64) / 2
    return np.asarray(np.where(window.usable, np.log(np.clip(scale, 0.5, 2.0)), 0.0))


def _trend(energy: Series, zoom: Series) -> tuple[float, Series]:
    """Return the weighted trend, and how far each frame is from the start by the same measure."""
    length = max(2, len(energy) // _TREND_SHARE)
    course = _beyond(energy - float(np.median(energy[:length])), zoom)
    change = float(np.median(energy[-length:]) - np.median(energy[:length]))
    return float(_beyond(np.array([change]), zoom[-1:])[0]), course


def _beyond(change: Series, zoom: Series) -> Series:
    """Return by how much a change goes beyond what the zoom since the start may have done."""
    allowed = -_ZOOM_POWER * zoom
    lowest, highest = np.minimum(allowed, 0), np.maximum(allowed, 0)
    return _TREND_WEIGHT * np.maximum(np.maximum(change - highest, lowest - change), 0)
