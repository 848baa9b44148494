"""Things that appear, vanish or jump: a part of the picture is something else from one frame to the next."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.calibration import threshold_of
from studio.consistency.check import Measured, WindowCheck
from studio.consistency.facts import THUMB_COLUMNS, THUMB_ROWS
from studio.consistency.report import Region
from studio.consistency.tiles import Maps, block_region, blocks, peak
from studio.consistency.window import Window

_MIN_FRAMES = 7
_BLOCK = 3
_FLOOR = 6.0
_NEAR = (-4, -3, -2, 2, 3, 4)
_NEXT = (-3, -2, 2, 3)
# Only so many frames of a window are looked at once more.
_CANDIDATES = 6
# Widths of the frame per second: what moves no faster has not jumped, though the flow may have lost it.
_PLAUSIBLE_SPEED = 1.0
_PATCH_REACH = 2


class ObjectPop(WindowCheck):
    """Finds patches whose contents are replaced at once and stay so.

    A thing that pops in, pops out or jumps leaves a residual that motion does not explain, in one frame alone, and the
    frames after do not take it back. value: step x step / (6 + unrest), in levels. step: mean of 24x24 pixels at
    320x180, L, a and b together, the least of three: in its frame, with the two frames after, with the two before;
    and no more than what is left when the patch may come from, or have gone to, anywhere within reach of a thing that
    crosses the frame in a second (an object may move faster than optical flow can follow). unrest: what stays
    unexplained nearby in the frames around, where things hide and show each other all the time, and the most that does
    so anywhere in the picture. Threshold: from clean clips (`calibration.json`).
    """

    id: ClassVar[str] = "object_pop"
    title: ClassVar[str] = "Things that appear, vanish or jump"
    unit: ClassVar[str] = "levels"
    threshold: ClassVar[float] = threshold_of("object_pop")

    def measure(self, window: Window) -> Measured | str:
        usable = window.usable
        if usable.sum() < _MIN_FRAMES:
            return "too few frames in a row that can be compared"
        steps, unrest = lasting_steps(window.motion("jump"), usable)
        scores = steps * steps / (_FLOOR + unrest)
        by_frame = scores.max(axis=(1, 2)).astype(np.float64)
        tiles = window.motion("jump").shape[1:3]
        regions = [block_region(peak(item), _BLOCK, tiles) for item in scores]
        # Where the flow lost a thing that merely moves fast, the score is taken back; the rest cannot be the worst.
        ranked = np.argsort(-by_frame)
        for index in ranked[:_CANDIDATES]:
            place = peak(scores[index])
            least = min(float(steps[index][place]), _unexplained(window, int(index), place, tiles))
            by_frame[index] = least * least / (_FLOOR + unrest[index][place])
        by_frame[ranked[_CANDIDATES:]] = np.minimum(
            by_frame[ranked[_CANDIDATES:]], by_frame[ranked[:_CANDIDATES]].max()
        )
        series = np.where(usable, by_frame, np.nan)
        return Measured(value=float(by_frame.max()), series=series, frame_threshold=self.threshold, regions=regions)

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"something appears, vanishes or jumps at frame {first}"


def lasting_steps(jumps: Maps, usable: NDArray[np.bool_]) -> tuple[Maps, Maps]:
    """Return (n, r, c) steps that last, and the unrest around them, of (n, fr, fc, 3) unexplained changes; levels."""
    import cv2

    step = blocks(np.moveaxis(jumps, 3, 1), _BLOCK)
    step[~usable] = 0
    size = np.abs(step).sum(axis=1)
    count = len(step)
    padded = np.concatenate([np.zeros_like(step[:2]), step, np.zeros_like(step[:2])])
    after = np.abs(step + padded[3 : 3 + count] + padded[4 : 4 + count]).sum(axis=1)
    before = np.abs(step + padded[1 : 1 + count] + padded[:count]).sum(axis=1)
    lasting = np.minimum(size, np.minimum(after, before))
    around = np.stack([cv2.dilate(item, np.ones((5, 5), np.uint8)) for item in size])
    most = size.max(axis=(1, 2))
    unrest = np.zeros_like(around)
    for index in range(count):
        near, next_to = _others(index, _NEAR, usable), _others(index, _NEXT, usable)
        unrest[index] = around[near].mean(axis=0) if near else around[index]
        unrest[index] += most[next_to].mean() if next_to else 0
    return lasting, unrest


def _others(index: int, shifts: tuple[int, ...], usable: NDArray[np.bool_]) -> list[int]:
    return [index + shift for shift in shifts if 0 <= index + shift < len(usable) and usable[index + shift]]


def _unexplained(window: Window, index: int, place: tuple[int, int], tiles: tuple[int, int]) -> float:
    """Return by how many levels a patch differs from all that could have moved there, or that it could have become."""
    if index == 0:
        return 0.0
    rows, columns = tiles
    high, wide = min(_BLOCK, rows), min(_BLOCK, columns)
    middle = (high / 2 + place[0]) / rows * THUMB_ROWS, (wide / 2 + place[1]) / columns * THUMB_COLUMNS
    reach = _PLAUSIBLE_SPEED / window.frames_per_second
    reaches = int(np.ceil(THUMB_ROWS * reach * columns / rows)), int(np.ceil(THUMB_COLUMNS * reach))
    earlier, now = (window.frames[number].thumb.astype(np.float32) for number in (index - 1, index))
    centre = int(middle[0]), int(middle[1])
    return max(_least_difference(now, earlier, centre, reaches), _least_difference(earlier, now, centre, reaches))


def _least_difference(picture: Maps, other: Maps, centre: tuple[int, int], reaches: tuple[int, int]) -> float:
    """Return the mean over a patch of |L| + |a| + |b| differences to its best match nearby in another (27, 48, 3)."""
    sides = [slice(max(0, at - _PATCH_REACH), at + _PATCH_REACH + 1) for at in centre]
    patch = picture[sides[0], sides[1]]
    rows, columns = (
        slice(max(0, side.start - reach), side.stop + reach) for side, reach in zip(sides, reaches, strict=True)
    )
    area = other[rows, columns]
    high, wide = patch.shape[:2]
    views = np.lib.stride_tricks.sliding_window_view(area, (high, wide), axis=(0, 1))
    differences = np.abs(views - np.moveaxis(patch, 2, 0)).sum(axis=2).mean(axis=(2, 3))
    return float(differences.min())
