"""Frame order: frames are swapped, shuffled or played backwards."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.calibration import threshold_of
from studio.consistency.check import BLANK_CONTRAST, Measured, WindowCheck
from studio.consistency.facts import Floats
from studio.consistency.report import Region
from studio.consistency.transitions import held_still
from studio.consistency.window import Window

_MIN_FRAMES = 6
# Added to all distances, in levels and in shares of the usual step, so that noise is not divided by noise.
_FLOOR, _FLOOR_SHARE, _SHAKY_FLOOR_SHARE = 0.3, 0.25, 0.75
# The camera shakes when its speed changes by so many pixels a frame, and this share of it; texture is needed to tell.
_SHAKE_PIXELS, _SHAKE_SHARE, _TEXTURE_GRADIENT = 0.15, 0.3, 0.7
_STEADIER = 0.9
# A step by which so much of the picture gets brighter and hardly any darker, or the other way round, is one of light
# and says nothing about order; what moves does both.
_LIGHT_SHARE, _LIGHT_RETURN, _LIGHT_LEVELS = 0.25, 0.1, 1.0
_CYCLE_REACH = 2
# Of two frames this much or more is no chance: light or a pattern that alternates with every frame.
_CYCLE_OF_SWAPS = 1.5
_LONGEST_MARKED = 12


class FrameOrder(WindowCheck):
    """Looks for frames that would make a smoother clip if they were played the other way round.

    value: for the stretch of two frames or more where that is most: the two steps that lead into it and out of it, over
    what they would be if it were reversed, or over the steps before and after them if those are larger. Steps are mean
    differences of lightness thumbnails with light and contrast evened out. It is divided by the same figure for the
    stretches one and two frames earlier and later (for a stretch of two only where that is 1.5 or more), since a motion
    that comes round again and again gains nothing in particular. Where the camera shakes, thumbnails are held still by
    its measured moves.
    The idea is what a path gains when two neighbours on it are swapped, widened to the 2-opt move of the travelling
    salesman problem (Croes, 1958). Threshold: from benchmarks/consistency.
    """

    id: ClassVar[str] = "frame_order"
    title: ClassVar[str] = "Frame order"
    unit: ClassVar[str] = "ratio"
    threshold: ClassVar[float] = threshold_of("frame_order")

    def measure(self, window: Window) -> Measured | str:
        count = len(window)
        if count < _MIN_FRAMES:
            return f"fewer than {_MIN_FRAMES} frames to compare"
        gain = _gains(window)
        series = np.zeros(count)
        series[1:-1] = np.maximum(gain.max(axis=0), gain.max(axis=1))
        for first, last in np.argwhere(gain >= self.threshold) + 1:
            if last - first < _LONGEST_MARKED:
                within = slice(first, last + 1)
                series[within] = np.maximum(series[within], gain[first - 1, last - 1])
        return Measured(value=float(gain.max()), series=series, frame_threshold=self.threshold)

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"frames {first} to {last} are out of order or run backwards"


def _gains(window: Window) -> Floats:
    """Return (n - 2, n - 2): the gain of reversing frames i to j, at [i - 1, j - 1]; 0 where j <= i or unknown."""
    thumbs = window.stack("thumb")[..., 0].astype(np.float32)
    distances, share = _distances(thumbs), _FLOOR_SHARE
    if _shakes(window):
        held = _distances(held_still(thumbs, window.motion("affine"), window.shape))
        if np.median(np.diag(held, 1)) < _STEADIER * np.median(np.diag(distances, 1)):
            distances, share = held, _SHAKY_FLOOR_SHARE
    steps = np.diag(distances, 1)
    floor = _FLOOR + share * float(np.median(steps))
    beside = (np.concatenate([steps[1:2], steps[:-1]]) + np.concatenate([steps[1:], steps[-2:-1]])) / 2
    into, out = steps[:-1, None], steps[None, 1:]
    links = distances[:-2, 1:-1] + distances[1:-1, 2:]
    least = beside[:-1, None] + beside[None, 1:]
    gain = (into + out + floor) / (np.maximum(links, least) + floor)
    cycle = _of_neighbours(np.triu((into + out + floor) / (links + floor), 1))
    swaps = np.where(cycle > _CYCLE_OF_SWAPS, gain / cycle, gain)
    blocks, swaps = np.triu(gain / cycle, 2), np.triu(swaps, 1) - np.triu(swaps, 2)
    known = _judgeable(window, thumbs)
    return np.asarray((blocks + swaps) * (known[:-1, None] & known[None, 1:]), np.float32)


def _distances(thumbs: Floats) -> Floats:
    """Return (n, n) mean absolute differences, levels, of (n, 27, 48) pictures with light and contrast evened out."""
    flat = thumbs.reshape(len(thumbs), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    spread = flat.std(axis=1, keepdims=True) + 1.0
    flat *= np.median(spread) / spread
    return np.stack([np.abs(flat - item).mean(axis=1) for item in flat])


def _of_neighbours(gain: Floats) -> Floats:
    """Return for each item the largest of those up to two places before and after on its diagonal, at least 1."""
    count, reach = len(gain), _CYCLE_REACH
    padded = np.pad(gain, reach)
    largest = np.ones_like(gain)
    for shift in range(-reach, reach + 1):
        if shift:
            place = slice(reach + shift, reach + shift + count)
            largest = np.maximum(largest, padded[place, place])
    return largest


def _judgeable(window: Window, thumbs: Floats) -> NDArray[np.bool_]:
    """Return (n - 1,) whether the step to each frame but the first is one of content, and no fade."""
    change = np.diff(thumbs, axis=0)
    brighter, darker = (change > _LIGHT_LEVELS).mean(axis=(1, 2)), (change < -_LIGHT_LEVELS).mean(axis=(1, 2))
    most, least = np.maximum(brighter, darker), np.minimum(brighter, darker)
    is_light = (most > _LIGHT_SHARE) & (least < _LIGHT_RETURN * most)
    shown = ~window.fading & (window.stack("contrast") >= BLANK_CONTRAST)
    return np.asarray(shown[1:] & shown[:-1] & ~is_light, bool)


def _shakes(window: Window) -> bool:
    if not window.has_motion or float(np.median(window.motion("gradient"))) < _TEXTURE_GRADIENT:
        return False
    shift = window.motion("affine")[1:, :, 2]
    jerk = float(np.median(np.hypot(*np.diff(shift, axis=0).T)))
    return jerk > _SHAKE_PIXELS and jerk > _SHAKE_SHARE * float(np.median(np.hypot(*shift.T)))
