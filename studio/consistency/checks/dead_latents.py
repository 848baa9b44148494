"""Dead latents: a blotch that stays where it is, and as it is, while the camera moves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from studio.consistency.check import Measured, WindowCheck
from studio.consistency.checks.stills import NOTHING_TO_SEE, stills, throughout
from studio.consistency.picture import SPREAD_SCALE, PictureFacts
from studio.consistency.report import Region
from studio.consistency.window import Window, tile_region

Maps = NDArray[np.float64]

# Cells: the side of the square looked at, and how far beside it the picture must move.
_INNER_SIDES = (2, 3)
_GAP = 1
_MIN_PICTURES = 4
# Pixels of `small` per frame, and the share of the frames that must move so fast.
_CAMERA_SPEED, _MOVING_SHARE = 0.5, 0.6
# Levels: how much the inside differs from its surroundings at least, and what coding alone changes.
_LEAST_CONTRAST = 4.0
_NOISE = 0.3
_SPREAD_WEIGHT = 0.5


class DeadLatents(WindowCheck):
    """Looks for a small patch that stands still, plain and of its own lightness, where all around it moves.

    value: by how much more the picture changes on each of the four sides than inside: the least change of luma from
    eighth to eighth frame in cells of 8x8 pixels on the side that changes least, over the largest change inside plus
    half the standard deviation there plus 0.3 levels. Only told while the camera moves (the centre by half a pixel of
    the picture at about 320x180 or more, in 60 % of the frames), and otherwise inconclusive: before a camera that
    stands still, a plain thing that lies there looks the same. A logo has letters, so it is not plain.
    Threshold: set by hand, five times the .5 and less of clean clips: it is said of few clips, so data are thin.
    """

    id: ClassVar[str] = "dead_latents"
    title: ClassVar[str] = "Dead spots"
    unit: ClassVar[str] = "times the change inside"
    threshold: ClassVar[float] = 5.0

    def measure(self, window: Window) -> Measured | str:
        is_moving = (window.camera_speed >= _CAMERA_SPEED) & window.usable
        if is_moving.sum() < _MOVING_SHARE * len(window):
            return "the camera does not move enough to tell a dead spot from a thing that lies there"
        if window.broken[1:].any():
            return "every stretch of the clip holds a cut"
        pictures = stills(window)
        if len(pictures) < _MIN_PICTURES:
            return NOTHING_TO_SEE
        value, region = deadest(pictures)
        return throughout(window, value, self.threshold, region)

    def describe(self, value: float, first: int, last: int, region: Region | None) -> str:
        return f"a spot stands still in frames {first} to {last} while everything around it moves"


def deadest(pictures: Sequence[PictureFacts]) -> tuple[float, Region | None]:
    """Return the figure of the deadest spot and where it is."""
    light = np.stack([picture.cells for picture in pictures]).astype(np.float64)
    spread = np.stack([picture.cell_spread for picture in pictures]).astype(np.float64).max(axis=0) / SPREAD_SCALE
    middle = light.mean(axis=0)
    change = np.abs(np.diff(light, axis=0)).min(axis=0)
    largest = np.abs(light - np.median(light, axis=0)).max(axis=0)
    rows, columns = change.shape
    value, region = 0.0, None
    for side in _INNER_SIDES:
        reach = side + 2 * _GAP + 2
        if min(rows, columns) < reach:
            continue
        contrast = _inner(middle, side)[None] - _sides(middle, side)
        stands_out = np.maximum(contrast.min(axis=0), -contrast.max(axis=0)) >= _LEAST_CONTRAST
        inside = _inner(largest, side) + _SPREAD_WEIGHT * _inner(spread, side) + _NOISE
        figures = np.where(stands_out, _sides(change, side).min(axis=0) / inside, 0.0)
        row, column = np.unravel_index(int(figures.argmax()), figures.shape)
        if figures[row, column] > value:
            value = float(figures[row, column])
            region = tile_region(int(row) + 1, int(column) + 1, side + 2, side + 2, (rows, columns))
    return value, region


def _inner(cells: Maps, side: int) -> Maps:
    """Return the mean inside each square. cells: (r, c)."""
    reach, start = side + 2 * _GAP + 2, _GAP + 1
    means = _means(cells, side, side)
    return means[start : start + cells.shape[0] - reach + 1, start : start + cells.shape[1] - reach + 1]


def _sides(cells: Maps, side: int) -> Maps:
    """Return the means of the four strips around each square, above, below, left and right: (4, ...)."""
    reach, start = side + 2 * _GAP + 2, _GAP + 1
    rows, columns = cells.shape[0] - reach + 1, cells.shape[1] - reach + 1
    level, upright = _means(cells, 1, side), _means(cells, side, 1)
    return np.stack([
        level[:rows, start : start + columns],
        level[reach - 1 : reach - 1 + rows, start : start + columns],
        upright[start : start + rows, :columns],
        upright[start : start + rows, reach - 1 : reach - 1 + columns],
    ])  # fmt: skip


def _means(cells: Maps, high: int, wide: int) -> Maps:
    sums = np.zeros((cells.shape[0] + 1, cells.shape[1] + 1))
    sums[1:, 1:] = cells.cumsum(axis=0).cumsum(axis=1)
    inside = sums[high:, wide:] - sums[:-high, wide:] - sums[high:, :-wide] + sums[:-high, :-wide]
    return np.asarray(inside / (high * wide))
